"""How training sets and pools are read."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fer.core import store
from fer.core.table import TABLE_COLUMNS
from fer.params import load_params
from fer.runtime.errors import InputError
from fer.training import examples
from fer.training.checkpoint import compute_fingerprint
from fer.training.examples import read_labelled_sets, read_pseudo_labelled_set, read_unlabelled_pool

EMOTIONS = ("happy", "sad")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write four faces: two for training, one of them with votes and a copy, one unlabelled and one for validation."""
    np.save(tmp_path / "faces.npy", np.arange(4, dtype=np.uint8)[:, None, None].repeat(9, 1).reshape(4, 3, 3))
    (tmp_path / "augmented").mkdir()
    np.save(tmp_path / "augmented/faces.npy", np.full((1, 3, 3), 9, dtype=np.uint8))
    np.save(tmp_path / "augmented/parents.npy", np.array([0]))
    table = pd.DataFrame({"id": list("abcd"), "fold": ["train", "unlabelled", "valid", "train"]})
    table = table.assign(emotion=["sad", "", "sad", "happy"], votes=["sad:6 happy:2 NF:2", "", "sad:6 happy:4", ""])
    table = table.assign(source="mine", group="", twin_in_train=False, reason="")
    table[list(TABLE_COLUMNS)].to_csv(tmp_path / "table.csv", index=False)
    return tmp_path


@pytest.mark.parametrize(("targets", "first"), [("labels", [0, 1]), ("votes", [0.25, 0.75])])
def test_training_targets_are_labels_or_votes_and_validation_targets_are_labels(
    folder: Path, targets: str, first: list[float]
) -> None:
    paths = folder / "faces.npy", folder / "table.csv", folder / "augmented"
    train, valid = read_labelled_sets(*paths, EMOTIONS, targets)
    assert np.asarray(train.pixels)[:, 0, 0].tolist() == [0, 3, 9]
    assert train.targets.tolist() == [first, [1, 0], first]
    assert train.weights.tolist() == [1, 1, 1]
    assert np.asarray(valid.pixels)[:, 0, 0].tolist() == [2]
    assert valid.targets.tolist() == [[0, 1]]


RETRAIN = load_params(Path(__file__).parents[2] / "params.yaml").retrain


@pytest.mark.parametrize(
    ("labels", "weight", "targets", "weights"),
    [("soft", 0.5, [[0.25, 0.75]], [0.5]), ("hard", 1.0, [[0, 1]], [1]), ("soft", 0.0, [], [])],
)
def test_accepted_faces_get_their_pseudo_labels_as_targets(
    folder: Path, labels: str, weight: float, targets: list[list[float]], weights: list[float]
) -> None:
    np.save(folder / "accepted.npy", np.array([False, True, False, False]))
    np.save(folder / "probs.npy", np.full((4, 2), [0.25, 0.75], dtype=np.float32))
    np.save(folder / "weights.npy", np.array([0, 1, 0, 0], dtype=np.float32))
    np.save(folder / "reviewed.npy", np.zeros(4, dtype=bool))
    arguments = folder / "faces.npy", folder / "table.csv", folder
    retrain = RETRAIN.model_copy(update={"labels": labels, "weight": weight})
    accepted_set = read_pseudo_labelled_set(*arguments, retrain)
    assert (accepted_set.targets.tolist(), accepted_set.weights.tolist()) == (targets, weights)
    assert np.asarray(accepted_set.pixels)[:, 0, 0].tolist() == [1] * len(weights)
    np.save(folder / "reviewed.npy", np.array([False, True, False, False]))
    reviewed_set = read_pseudo_labelled_set(*arguments, retrain)
    assert reviewed_set.weights.tolist() == [1], "a reviewed face has the weight of a label"


def test_labelled_and_accepted_faces_and_the_pool_stay_in_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, array in (("accepted", [False, True, False, False]), ("reviewed", [False] * 4), ("weights", [1.0] * 4)):
        np.save(folder / f"{name}.npy", np.array(array))
    np.save(folder / "probs.npy", np.full((4, 2), 0.5, dtype=np.float32))
    paths = folder / "faces.npy", folder / "table.csv"
    _, valid = read_labelled_sets(*paths, None, EMOTIONS, "labels")
    monkeypatch.setattr(store, "read_rows", lambda *_: pytest.fail("faces are read"))
    monkeypatch.setattr(examples, "read_rows", lambda _, rows: np.zeros((len(rows), 3, 3), dtype=np.uint8))
    train, _ = read_labelled_sets(*paths, folder / "augmented", EMOTIONS, "labels")
    accepted = read_pseudo_labelled_set(*paths, folder, RETRAIN)
    online = RETRAIN.model_copy(update={"online": RETRAIN.online.model_copy(update={"policy": "fixmatch"})})
    pool = read_unlabelled_pool(*paths, folder, online, valid)
    both = train + accepted
    assert compute_fingerprint(*both.arrays(), *pool.fingerprint_inputs())
    assert (len(both), both.size, len(pool.pixels)) == (4, 3, 1)
    monkeypatch.undo()
    assert np.asarray(both.pixels)[:, 0, 0].tolist() == [0, 3, 9, 1]


@pytest.mark.parametrize("fold", ["test", "valid", "train", "excluded"])
def test_an_accepted_face_outside_the_pool_is_rejected(folder: Path, fold: str) -> None:
    table = pd.read_csv(folder / "table.csv", dtype=str, keep_default_na=False)
    table.loc[1, ["fold", "emotion"]] = fold, "sad"
    table.to_csv(folder / "table.csv", index=False)
    np.save(folder / "accepted.npy", np.array([False, True, False, False]))
    np.save(folder / "weights.npy", np.array([0, 1, 0, 0], dtype=np.float32))
    np.save(folder / "reviewed.npy", np.zeros(4, dtype=bool))
    with pytest.raises(InputError, match=f"row 1 is accepted, but its fold is {fold}, not unlabelled; label again"):
        read_pseudo_labelled_set(folder / "faces.npy", folder / "table.csv", folder, RETRAIN)


@pytest.mark.parametrize(("alignment", "prior"), [("none", None), ("valid", [0, 1]), ("uniform", [0.5, 0.5])])
def test_the_pool_is_read_if_online_labelling_is_on(folder: Path, alignment: str, prior: list[float] | None) -> None:
    paths = folder / "faces.npy", folder / "table.csv"
    np.save(folder / "reviewed.npy", np.zeros(4, dtype=bool))
    _, valid = read_labelled_sets(*paths, folder / "augmented", EMOTIONS, "labels")
    online = RETRAIN.online.model_copy(update={"policy": "fixmatch", "alignment": alignment})
    pool = read_unlabelled_pool(*paths, folder, RETRAIN.model_copy(update={"online": online}), valid)
    assert pool is not None
    assert np.asarray(pool.pixels)[:, 0, 0].tolist() == [1]
    assert (None if pool.target_prior is None else pool.target_prior.tolist()) == prior
    assert pool.n_classes == 2
    assert read_unlabelled_pool(*paths, folder, RETRAIN, valid) is None, "params.yaml turns it off"


@pytest.mark.parametrize("unlabelled", [False, True])
def test_an_empty_or_reviewed_pool_is_none(folder: Path, unlabelled: bool) -> None:
    faces, table = folder / "faces.npy", folder / "table.csv"
    np.save(folder / "reviewed.npy", np.full(4, unlabelled))
    if not unlabelled:
        table.write_text(table.read_text().replace("unlabelled", "excluded"))
    _, valid = read_labelled_sets(faces, table, None, EMOTIONS, "labels")
    online = RETRAIN.online.model_copy(update={"policy": "fixmatch"})
    assert read_unlabelled_pool(faces, table, folder, RETRAIN.model_copy(update={"online": online}), valid) is None
