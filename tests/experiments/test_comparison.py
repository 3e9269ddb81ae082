"""Runs of `fer compare`: alike for all networks, costed rightly, and never repeated without need."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from fer.core.files import write_csv
from fer.core.labels import TABLE_COLUMNS
from fer.experiments import comparison
from fer.experiments.comparison import ComparisonData, TrainingJob
from fer.params import load_params
from fer.params.sections import Predict
from fer.runtime.errors import InputError
from fer.training.params import Phase, Recipe, RecipeOverrides, Transfer

CHOSEN = load_params(Path(__file__).parents[2] / "params.yaml")
RECIPE = CHOSEN.train.with_overrides(RecipeOverrides())
FOLDS = ("train", "train", "valid", "test")


def unified(folder: Path, n: int = 80) -> Path:
    """Faces of all emotions, half of them for training, a stripe apart for each emotion."""
    random, label = np.random.default_rng(0), np.arange(n) // 4 % len(CHOSEN.emotions)
    faces = random.integers(0, 120, (n, 16, 16), dtype=np.uint8)
    for face, code in zip(faces, label, strict=True):
        face[:, 2 * code : 2 * code + 2] += np.uint8(100)
    table = pd.DataFrame("", index=range(n), columns=list(TABLE_COLUMNS))
    table["emotion"] = np.array(CHOSEN.emotions)[label]
    table["fold"] = [FOLDS[row % 4] for row in range(n)]
    folder.mkdir(parents=True)
    np.save(folder / "faces.npy", faces)
    write_csv(folder / "table.csv", table.assign(twin_in_train=False))
    return folder


def tiny(name: str, recipe: Recipe, emotions: list[str], size: int, seed: int) -> tuple[nn.Module, None]:
    """In place of `training.untrained`."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 14 * 14, len(emotions))), None


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the runs that were trained, as they come; networks are tiny and are timed no longer than needed."""
    names: list[str] = []
    learn = comparison.train_network

    def counted(*args: object, name: str, **options: object) -> object:
        names.append(name)
        return learn(*args, name=name, **options)

    monkeypatch.setattr(comparison, "train_network", counted)
    monkeypatch.setattr("fer.experiments.comparison.init_model", tiny)
    monkeypatch.setattr(comparison, "MIN_TIMED_SECONDS", 1e-9)
    return names


def task(material: ComparisonData, seed: int = 0, steps: int = 8, **changes: object) -> TrainingJob:
    recipe, epoch_faces = comparison.fit_steps(RECIPE.model_copy(update=changes), steps, "se")
    return TrainingJob("se", seed, recipe, epoch_faces, material, CHOSEN)


def material(folder: Path, count: int | None = None) -> ComparisonData:
    return comparison.read_comparison_data(folder, CHOSEN, "labels", count)


def test_a_run_is_stored_and_the_same_one_is_not_repeated(tmp_path: Path, trained: list[str]) -> None:
    faces = material(unified(tmp_path / "unified"))
    first = comparison.run_job(task(faces), tmp_path / "se", 10)
    again = comparison.run_job(task(faces), tmp_path / "se", 10)
    assert trained == ["se, seed 0"]
    np.testing.assert_array_equal(first.probs, again.probs)
    assert first.cost == again.cost
    assert sorted(path.name for path in (tmp_path / "se").iterdir()) == ["0.json", "0.npy"]
    record = json.loads((tmp_path / "se" / "0.json").read_text())
    assert (
        record["figures"]["test_accuracy"]
        == (again.probs.argmax(1) == faces.held_out.labels)[faces.held_out.test].mean()
    )


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"dropout": 0.3}, "recipe"), ({"steps": 12}, "steps"), ({"label_smoothing": 1e-8}, "recipe")],
)
def test_a_run_with_other_things_is_told_and_repeated(
    tmp_path: Path, trained: list[str], capsys: pytest.CaptureFixture[str], changes: dict[str, float], named: str
) -> None:
    faces = material(unified(tmp_path / "unified"))
    comparison.run_job(task(faces), tmp_path / "se", 10)
    for _ in range(2):
        comparison.run_job(task(faces, **changes), tmp_path / "se", 10)  # type: ignore[arg-type]
    assert len(trained) == 2
    assert f"was run with other {named}" in capsys.readouterr().out


def test_other_faces_or_labels_are_another_run(tmp_path: Path) -> None:
    folder = unified(tmp_path / "unified")
    hashes = [material(folder).sha256, material(folder, 20).sha256]
    faces = np.load(folder / "faces.npy")
    faces[3, 0, 0] ^= 1
    np.save(folder / "faces.npy", faces)
    hashes.append(material(folder).sha256)
    table = pd.read_csv(folder / "table.csv", keep_default_na=False)
    table.loc[3, "emotion"] = "happy"
    write_csv(folder / "table.csv", table)
    hashes.append(material(folder).sha256)
    assert len(set(hashes)) == 4


def test_a_run_that_was_interrupted_is_repeated(
    tmp_path: Path, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = material(unified(tmp_path / "unified"))
    comparison.run_job(task(faces), tmp_path / "se", 10)

    def interrupt(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(
            comparison, "measure_ensemble", interrupt
        )  # after the answers were replaced, before the record was
        with pytest.raises(KeyboardInterrupt):
            comparison.run_job(task(faces, steps=12), tmp_path / "se", 10)
    comparison.run_job(task(faces), tmp_path / "se", 10)
    assert len(trained) == 3, "what is there of the run before is not taken for one"


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '{"run_with": 1', '{"run_with": [], "cost": {}}', '{"run_with": {}, "cost": {"x": 1}}']
)
def test_a_damaged_record_of_a_run_is_told(tmp_path: Path, content: str) -> None:
    faces = material(unified(tmp_path / "unified"))
    (tmp_path / "se").mkdir()
    (tmp_path / "se" / "0.json").write_text(content)
    with pytest.raises(InputError, match=r"0\.json: damaged, or without its 0\.npy; delete it"):
        comparison.run_job(task(faces), tmp_path / "se", 10)


def test_seeds_differ_and_do_not_disturb_each_other(tmp_path: Path, trained: list[str]) -> None:
    faces = material(unified(tmp_path / "unified"))
    runs = [comparison.run_job(task(faces, seed), tmp_path / f"{n}", 10) for n, seed in enumerate((0, 1, 0))]
    assert not np.array_equal(runs[0].probs, runs[1].probs)
    np.testing.assert_array_equal(runs[0].probs, runs[2].probs)


def test_the_faces_drawn_are_the_same_each_time_and_the_measured_ones_stay(tmp_path: Path) -> None:
    folder = unified(tmp_path / "unified")
    whole, one, other = material(folder), material(folder, 15), material(folder, 15)
    np.testing.assert_array_equal(one.train.pixels, other.train.pixels)
    np.testing.assert_array_equal(one.pixels, whole.pixels)
    assert (len(one.train), len(whole.train), len(whole.pixels)) == (15, 40, 40)
    with pytest.raises(InputError, match=r"--faces is 41, but .* has 40 training faces"):
        material(folder, 41)


@pytest.mark.parametrize("fold", ["train", "valid", "test"])
def test_a_fold_without_faces_is_told(tmp_path: Path, fold: str) -> None:
    folder = unified(tmp_path / "unified")
    table = pd.read_csv(folder / "table.csv", keep_default_na=False)
    table["fold"] = table["fold"].where(table["fold"] != fold, "excluded")
    write_csv(folder / "table.csv", table)
    with pytest.raises(InputError, match=f"the fold {fold} has no faces"):
        material(folder)


def transfer(*epochs: int) -> Recipe:
    phases = [Phase(layers="all", epochs=n, lr=1e-3, class_weights="none") for n in epochs]
    return RECIPE.model_copy(update={"transfer": Transfer(pretrained=False, input_px=64, phases=phases)})


@pytest.mark.parametrize("recipe", [RECIPE, transfer(50, 50, 20), transfer(10, 30), transfer(3)])
@pytest.mark.parametrize("steps", [20, 60, 300])
def test_all_phases_together_take_the_steps_asked_for(recipe: Recipe, steps: int) -> None:
    short, epoch_faces = comparison.fit_steps(recipe.model_copy(update={"patience": 2}), steps, "se")
    each = [comparison.count_steps(epoch_faces, phase) for phase in short.phases()]
    assert sum(each) == steps
    assert max(sum(phase.epochs for phase in short.phases()) - comparison.FIXED_STEPS_EPOCHS, 0) <= 1
    assert short.patience is None, "which would stop before the last step"
    wanted = np.array([phase.epochs for phase in recipe.phases()])
    np.testing.assert_allclose(np.array(each) / steps, wanted / wanted.sum(), atol=0.05)


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 301])
def test_a_network_without_phases_can_take_any_number_of_steps(steps: int) -> None:
    short, epoch_faces = comparison.fit_steps(RECIPE, steps, "se")
    assert comparison.count_steps(epoch_faces, short) == steps


def test_steps_that_the_phases_can_not_make_are_told_with_some_that_they_can() -> None:
    with pytest.raises(InputError, match="--steps is 301, which the epochs of vgg16 can't make; take a multiple of 5"):
        comparison.fit_steps(transfer(50, 50, 20), 301, "vgg16")


def test_multiply_accumulates_are_those_counted_by_hand() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8), nn.Flatten(), nn.Linear(1152, 7)
    )
    assert comparison.count_macs(network, 16) == 14 * 14 * 8 * 9 + 12 * 12 * 8 * 9 + 1152 * 7


def test_the_time_of_validation_and_of_the_first_batch_is_not_counted(
    tmp_path: Path, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = material(unified(tmp_path / "unified"))
    clock, steps_timed, faces_validated = [0.0], [], []

    def fit(network: nn.Module, train: object, valid: object, *, steps: int, **options: object) -> None:
        faces_validated.append(len(valid))  # type: ignore[arg-type]
        steps_timed.append(steps)
        clock[0] += 0.5 * steps if steps > 1 else 100

    monkeypatch.setattr(comparison, "train_phase", fit)
    monkeypatch.setattr(comparison, "MIN_TIMED_SECONDS", 6.0)
    monkeypatch.setattr("fer.experiments.comparison.time.perf_counter", lambda: clock[0])
    network, _ = tiny("se", RECIPE, CHOSEN.emotions, 16, 0)
    assert comparison.measure_throughput(network, task(faces)) == pytest.approx(RECIPE.batch / 0.5)
    assert steps_timed == [1, 4, 16]
    assert set(faces_validated) == {1}


def test_a_task_says_all_that_its_result_follows_from(tmp_path: Path) -> None:
    faces = material(unified(tmp_path / "unified"))
    first = task(faces)
    others = [
        task(faces, seed=1),
        task(faces, steps=12),
        task(faces, batch=16),
        replace(first, network="cnn"),
        replace(first, params=CHOSEN.model_copy(update={"precision": "bf16"})),
        replace(
            first, params=CHOSEN.model_copy(update={"transforms": CHOSEN.transforms.model_copy(update={"flip": 0.1})})
        ),
        replace(first, params=CHOSEN.model_copy(update={"predict": Predict(views=["plain"], batch=256)})),
    ]
    assert all(other.fingerprint_inputs() != first.fingerprint_inputs() for other in others)
    assert json.loads(json.dumps(first.fingerprint_inputs())) == first.fingerprint_inputs()
