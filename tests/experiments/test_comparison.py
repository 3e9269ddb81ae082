"""Jobs of `fer compare`: the same for all networks, with the right costs, and cached."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from fer.core.table import TABLE_COLUMNS, write_csv
from fer.experiments import comparison
from fer.experiments.comparison import ComparisonData, TrainingJob
from fer.params import load_params
from fer.params.sections import Predict
from fer.runtime.errors import InputError
from fer.training.params import Phase, Recipe, RecipeOverrides, Transfer

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml")
RECIPE = PARAMS.train.with_overrides(RecipeOverrides())
FOLDS = ("train", "train", "valid", "test")


def write_unified(folder: Path, n: int = 80) -> Path:
    """Write faces of all emotions, half of them for training; each emotion has a stripe of its own."""
    rng, labels = np.random.default_rng(0), np.arange(n) // 4 % len(PARAMS.emotions)
    faces = rng.integers(0, 120, (n, 16, 16), dtype=np.uint8)
    for face, label in zip(faces, labels, strict=True):
        face[:, 2 * label : 2 * label + 2] += np.uint8(100)
    table = pd.DataFrame("", index=range(n), columns=list(TABLE_COLUMNS))
    table["emotion"] = np.array(PARAMS.emotions)[labels]
    table["fold"] = [FOLDS[row % 4] for row in range(n)]
    folder.mkdir(parents=True)
    np.save(folder / "faces.npy", faces)
    write_csv(folder / "table.csv", table.assign(twin_in_train=False))
    return folder


def init_tiny_model(name: str, recipe: Recipe, emotions: list[str], size: int, seed: int) -> tuple[nn.Module, None]:
    """Replace `init_model`."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 14 * 14, len(emotions))), None


@pytest.fixture
def trained_runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the runs, appended as they are trained; networks are tiny and timed for one step."""
    names: list[str] = []
    train_network = comparison.train_network

    def count_call(*args: object, name: str, **options: object) -> object:
        names.append(name)
        return train_network(*args, name=name, **options)

    monkeypatch.setattr(comparison, "train_network", count_call)
    monkeypatch.setattr("fer.experiments.comparison.init_model", init_tiny_model)
    monkeypatch.setattr(comparison, "MIN_TIMED_SECONDS", 1e-9)
    return names


def make_job(data: ComparisonData, seed: int = 0, steps: int = 8, **changes: object) -> TrainingJob:
    recipe, epoch_faces = comparison.fit_steps(RECIPE.model_copy(update=changes), steps, "se")
    return TrainingJob("se", seed, recipe, epoch_faces, data, PARAMS)


def read_data(folder: Path, count: int | None = None) -> ComparisonData:
    return comparison.read_comparison_data(folder, PARAMS, "labels", count)


def test_a_run_is_cached_and_not_repeated(tmp_path: Path, trained_runs: list[str]) -> None:
    faces = read_data(write_unified(tmp_path / "unified"))
    first = comparison.run_job(make_job(faces), tmp_path / "se", 10)
    again = comparison.run_job(make_job(faces), tmp_path / "se", 10)
    assert trained_runs == ["se, seed 0"]
    np.testing.assert_array_equal(first.probs, again.probs)
    assert first.cost == again.cost
    assert sorted(path.name for path in (tmp_path / "se").iterdir()) == ["0.json", "0.npy"]


@pytest.mark.parametrize(
    ("changes", "key"),
    [({"dropout": 0.3}, "recipe"), ({"steps": 12}, "steps"), ({"label_smoothing": 1e-8}, "recipe")],
)
def test_a_run_with_changed_inputs_is_reported_and_repeated(
    tmp_path: Path, trained_runs: list[str], capsys: pytest.CaptureFixture[str], changes: dict[str, float], key: str
) -> None:
    faces = read_data(write_unified(tmp_path / "unified"))
    comparison.run_job(make_job(faces), tmp_path / "se", 10)
    for _ in range(2):
        comparison.run_job(make_job(faces, **changes), tmp_path / "se", 10)  # type: ignore[arg-type]
    assert len(trained_runs) == 2
    assert f"was run with other {key}" in capsys.readouterr().out


def test_other_faces_or_labels_change_the_hash(tmp_path: Path) -> None:
    folder = write_unified(tmp_path / "unified")
    hashes = [read_data(folder).sha256, read_data(folder, 20).sha256]
    faces = np.load(folder / "faces.npy")
    faces[3, 0, 0] ^= 1
    np.save(folder / "faces.npy", faces)
    hashes.append(read_data(folder).sha256)
    table = pd.read_csv(folder / "table.csv", keep_default_na=False)
    table.loc[3, "emotion"] = "happy"
    write_csv(folder / "table.csv", table)
    hashes.append(read_data(folder).sha256)
    assert len(set(hashes)) == 4


def test_an_interrupted_run_is_repeated(
    tmp_path: Path, trained_runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = read_data(write_unified(tmp_path / "unified"))
    comparison.run_job(make_job(faces), tmp_path / "se", 10)

    def interrupt(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        # `predict_logits` runs after the training and before the new result is written.
        patch.setattr(comparison, "predict_logits", interrupt)
        with pytest.raises(KeyboardInterrupt):
            comparison.run_job(make_job(faces, steps=12), tmp_path / "se", 10)
    comparison.run_job(make_job(faces), tmp_path / "se", 10)
    assert len(trained_runs) == 3, "remains of the earlier run are not used"


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '{"run_with": 1', '{"run_with": [], "cost": {}}', '{"run_with": {}, "cost": {"x": 1}}']
)
def test_a_damaged_record_is_reported(tmp_path: Path, content: str) -> None:
    faces = read_data(write_unified(tmp_path / "unified"))
    (tmp_path / "se").mkdir()
    (tmp_path / "se" / "0.json").write_text(content)
    with pytest.raises(InputError, match=r"0\.json: damaged, or without its 0\.npy; delete it"):
        comparison.run_job(make_job(faces), tmp_path / "se", 10)


def test_seeds_give_different_and_reproducible_results(tmp_path: Path, trained_runs: list[str]) -> None:
    faces = read_data(write_unified(tmp_path / "unified"))
    runs = [comparison.run_job(make_job(faces, seed), tmp_path / f"{n}", 10) for n, seed in enumerate((0, 1, 0))]
    assert not np.array_equal(runs[0].probs, runs[1].probs)
    np.testing.assert_array_equal(runs[0].probs, runs[2].probs)


def test_the_training_subset_is_reproducible_and_keeps_the_held_out_faces(tmp_path: Path) -> None:
    folder = write_unified(tmp_path / "unified")
    full, subset, again = read_data(folder), read_data(folder, 15), read_data(folder, 15)
    np.testing.assert_array_equal(subset.train.pixels, again.train.pixels)
    np.testing.assert_array_equal(subset.held_out_pixels, full.held_out_pixels)
    assert (len(subset.train), len(full.train), len(full.held_out_pixels)) == (15, 40, 40)
    with pytest.raises(InputError, match=r"--faces is 41, but .* has 40 training faces"):
        read_data(folder, 41)


@pytest.mark.parametrize("fold", ["train", "valid", "test"])
def test_a_fold_without_faces_is_reported(tmp_path: Path, fold: str) -> None:
    folder = write_unified(tmp_path / "unified")
    table = pd.read_csv(folder / "table.csv", keep_default_na=False)
    table["fold"] = table["fold"].where(table["fold"] != fold, "excluded")
    write_csv(folder / "table.csv", table)
    with pytest.raises(InputError, match=f"the fold {fold} has no faces"):
        read_data(folder)


def transfer(*epochs: int) -> Recipe:
    phases = [Phase(layers="all", epochs=n, lr=1e-3, class_weights="none") for n in epochs]
    return RECIPE.model_copy(update={"transfer": Transfer(pretrained=False, input_px=64, phases=phases)})


@pytest.mark.parametrize("recipe", [RECIPE, transfer(50, 50, 20), transfer(10, 30), transfer(3)])
@pytest.mark.parametrize("steps", [20, 60, 300])
def test_the_phases_have_the_requested_steps_in_all(recipe: Recipe, steps: int) -> None:
    short, epoch_faces = comparison.fit_steps(recipe.model_copy(update={"patience": 2}), steps, "se")
    steps_of_phases = [comparison.count_steps(epoch_faces, phase) for phase in short.phases()]
    assert sum(steps_of_phases) == steps
    assert max(sum(phase.epochs for phase in short.phases()) - comparison.FIXED_STEPS_EPOCHS, 0) <= 1
    assert short.patience is None, "early stopping would end before the last step"
    epochs = np.array([phase.epochs for phase in recipe.phases()])
    np.testing.assert_allclose(np.array(steps_of_phases) / steps, epochs / epochs.sum(), atol=0.05)


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 301])
def test_a_network_without_phases_accepts_any_number_of_steps(steps: int) -> None:
    short, epoch_faces = comparison.fit_steps(RECIPE, steps, "se")
    assert comparison.count_steps(epoch_faces, short) == steps


def test_impossible_steps_are_reported_with_a_possible_number() -> None:
    with pytest.raises(InputError, match="--steps is 301, which the epochs of vgg16 can't make; use a multiple of 5"):
        comparison.fit_steps(transfer(50, 50, 20), 301, "vgg16")


def test_multiply_accumulates_are_as_counted_by_hand() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8), nn.Flatten(), nn.Linear(1152, 7)
    )
    assert comparison.count_macs(network, 16) == 14 * 14 * 8 * 9 + 12 * 12 * 8 * 9 + 1152 * 7


def test_throughput_excludes_the_first_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faces = read_data(write_unified(tmp_path / "unified"))
    clock, steps = [0.0], []

    def take(step: comparison.TrainingStep, number: int) -> None:
        steps.append(number)
        clock[0] += 100 if number <= comparison.EAGER_CALLS else 0.5

    monkeypatch.setattr(comparison.TrainingStep, "take", take)
    monkeypatch.setattr(comparison, "MIN_TIMED_SECONDS", 6.0)
    monkeypatch.setattr("fer.experiments.comparison.time.perf_counter", lambda: clock[0])
    network, _ = init_tiny_model("se", RECIPE, PARAMS.emotions, 16, 0)
    assert comparison.measure_throughput(network, make_job(faces)) == pytest.approx(RECIPE.batch / 0.5)
    assert steps == list(range(4 + 4 + 16))


def test_the_fingerprint_has_every_input_of_a_job(tmp_path: Path) -> None:
    faces = read_data(write_unified(tmp_path / "unified"))
    first = make_job(faces)
    other_jobs = [
        make_job(faces, seed=1),
        make_job(faces, steps=12),
        make_job(faces, batch=16),
        replace(first, network="cnn"),
        replace(first, params=PARAMS.model_copy(update={"precision": "bf16"})),
        replace(first, params=PARAMS.model_copy(update={"transforms": "strong"})),
        replace(first, params=PARAMS.model_copy(update={"predict": Predict(views=["plain"], batch=256)})),
    ]
    assert all(job.fingerprint_inputs() != first.fingerprint_inputs() for job in other_jobs)
    assert json.loads(json.dumps(first.fingerprint_inputs())) == first.fingerprint_inputs()
