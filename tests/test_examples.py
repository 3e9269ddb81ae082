"""What a network learns from."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fer.examples import read_labelled
from fer.labels import COLUMNS

EMOTIONS = ("happy", "sad")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four faces, two to train on, of which one has votes and a copy."""
    np.save(tmp_path / "faces.npy", np.arange(4, dtype=np.uint8)[:, None, None].repeat(9, 1).reshape(4, 3, 3))
    (tmp_path / "augmented").mkdir()
    np.save(tmp_path / "augmented/faces.npy", np.full((1, 3, 3), 9, dtype=np.uint8))
    np.save(tmp_path / "augmented/parents.npy", np.array([0]))
    table = pd.DataFrame({"id": list("abcd"), "fold": ["train", "unlabelled", "valid", "train"]})
    table = table.assign(emotion=["sad", "", "sad", "happy"], votes=["sad:6 happy:2 NF:2", "", "sad:6 happy:4", ""])
    table = table.assign(source="mine", group="", twin_in_train=False, reason="")
    table[list(COLUMNS)].to_csv(tmp_path / "table.csv", index=False)
    return tmp_path


@pytest.mark.parametrize(("targets", "first"), [("labels", [0, 1]), ("votes", [0.25, 0.75])])
def test_a_face_is_learnt_as_its_label_or_its_votes_and_validated_as_its_label(
    folder: Path, targets: str, first: list[float]
) -> None:
    paths = folder / "faces.npy", folder / "table.csv", folder / "augmented"
    train, valid = read_labelled(*paths, EMOTIONS, targets)
    assert train.pixels[:, 0, 0].tolist() == [0, 3, 9]
    assert train.targets.tolist() == [first, [1, 0], first]
    assert train.weights.tolist() == [1, 1, 1]
    assert valid.pixels[:, 0, 0].tolist() == [2]
    assert valid.targets.tolist() == [[0, 1]]
