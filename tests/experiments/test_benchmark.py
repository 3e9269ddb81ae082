"""Trials of `fer benchmark ssl`: what they share, what they hide, and that none is run twice."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from test_comparison import CHOSEN, RECIPE, tiny, unified
from torch import nn

from fer.core.files import write_csv
from fer.experiments import benchmark, benchmark_plot
from fer.experiments.arms import FIXED_95, METHODS, NO_POOL, TRUE_LABELS
from fer.experiments.benchmark import Trial
from fer.experiments.comparison import fit_steps
from fer.experiments.gains import TEACHER, compute_gains
from fer.nn import weights as nn_weights
from fer.params import Params
from fer.runtime.errors import InputError
from fer.training.params import Recipe


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Unified faces, of which every fifth training face is unlabelled, half of those with a hidden truth."""
    path = unified(tmp_path / "unified", 280)
    table = pd.read_csv(path / "table.csv", keep_default_na=False)
    train = np.flatnonzero(table["fold"] == "train")[::5]
    truth = pd.Series("", index=table.index)
    truth.iloc[train[::2]] = table["emotion"].iloc[train[::2]]
    table.loc[train, ["fold", "emotion"]] = ["unlabelled", ""]
    table["id"] = [f"{row}.png" for row in range(len(table))]
    write_csv(path / "table.csv", table)
    write_csv(path / "truth.csv", pd.DataFrame({"id": table["id"], "emotion": truth}))
    return path


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What each training was given, as they come; networks are tiny."""
    calls: list[dict[str, Any]] = []
    learn = benchmark.train_network

    def noted(network: nn.Module, train: Any, valid: Any, **options: Any) -> Any:
        calls.append(options | {"train": train, "start": next(network.parameters()).detach().clone()})
        return learn(network, train, valid, **options)

    def made(
        name: str, recipe: Recipe, emotions: list[str], size: int, seed: int
    ) -> tuple[nn.Module, nn_weights.ModelConfig]:
        facts = nn_weights.ModelConfig(
            network=name, emotions=tuple(emotions), size=size, dropout=recipe.dropout, input_px=None
        )
        return tiny(name, recipe, emotions, size, seed)[0], facts

    def save(network: nn.Module, facts: object, to: Path) -> None:
        save_file(network.state_dict(), to / "weights.safetensors")

    def load(network: nn.Module, of: Path) -> None:
        network.load_state_dict(load_file(of / "weights.safetensors"))

    monkeypatch.setattr(benchmark, "train_network", noted)
    monkeypatch.setattr("fer.experiments.benchmark.init_model", made)
    monkeypatch.setattr(benchmark.nn_weights, "save_model", save)
    monkeypatch.setattr(benchmark.nn_weights, "load_weights", load)
    return calls


def trial(path: Path, budget: int | None = 5, seed: int = 0, chosen: Params = CHOSEN, steps: int = 8) -> Trial:
    recipe, epoch_faces = fit_steps(RECIPE, steps, "se")
    return Trial(benchmark.read_benchmark_data(path, chosen), budget, seed, "se", recipe, epoch_faces, chosen)


def changed(**retrain: Any) -> Params:
    return CHOSEN.model_copy(update={"retrain": CHOSEN.retrain.model_copy(update=retrain)})


def test_a_budget_keeps_so_many_labels_and_hides_the_others_in_the_pool(folder: Path) -> None:
    few, more, all_ = (trial(folder, budget) for budget in (3, 5, None))
    faces = few.data
    assert np.bincount(faces.labels[few.labelled_rows]).tolist() == [3] * 7
    assert set(few.labelled_rows) < set(more.labelled_rows) < set(all_.labelled_rows) == set(faces.train)
    for one in (few, more, all_):
        pool = one.predicted_rows[one.fold == "unlabelled"]
        assert sorted([*pool, *one.labelled_rows]) == sorted([*faces.pool, *faces.train])
        np.testing.assert_array_equal(one.predicted_rows[one.fold == "valid"], faces.valid)
    assert set(trial(folder, seed=1).labelled_rows) != set(more.labelled_rows)


def test_the_truth_of_hidden_labels_is_known_and_of_others_not(folder: Path) -> None:
    labels = benchmark.read_benchmark_data(folder, CHOSEN).labels
    truth = pd.read_csv(folder / "truth.csv", keep_default_na=False)["emotion"]
    pool = benchmark.read_benchmark_data(folder, CHOSEN).pool
    assert (labels[pool] >= 0).tolist() == (truth.iloc[pool] != "").tolist()
    assert 0 < (labels[pool] >= 0).sum() < len(pool)


def test_every_arm_trains_alike_and_is_stored(folder: Path, trained: list[dict[str, Any]], tmp_path: Path) -> None:
    one = trial(folder)
    teacher = benchmark.train_teacher(one, tmp_path)
    first = {arm: benchmark.evaluate_method(one, arm, teacher, tmp_path) for arm in (TEACHER, *METHODS)}
    assert len(trained) == 1 + len(METHODS)
    assert len({(call["epoch_faces"], call["recipe"].epochs, call["seed"]) for call in trained[1:]}) == 1
    assert trained[0]["seed"] != trained[1]["seed"]
    starts = [call["start"] for call in trained[1:]]
    assert all(torch.equal(start, starts[0]) for start in starts)
    assert [call["unlabelled"] is not None for call in trained[1:]] == [arm.startswith("online_") for arm in METHODS]
    sizes = dict(zip(METHODS, (len(call["train"]) for call in trained[1:]), strict=True))
    assert sizes[NO_POOL] == len(one.labelled_rows)
    assert sizes[TRUE_LABELS] == len(one.labelled_rows) + first[TRUE_LABELS].n_pseudo_labels > sizes[NO_POOL]
    assert first[TRUE_LABELS].pseudo_label_precision == 1

    again = {
        arm: benchmark.evaluate_method(one, arm, benchmark.train_teacher(one, tmp_path), tmp_path) for arm in first
    }
    assert len(trained) == 1 + len(METHODS), "nothing was trained anew"
    for arm, found in first.items():
        np.testing.assert_array_equal(found.test, again[arm].test)
    table = compute_gains({(5, 0): first})
    assert len(table) == 1 + len(METHODS)
    benchmark_plot.plot_gains(tmp_path / "one.png", table)
    benchmark_plot.plot_gains(tmp_path / "two.png", compute_gains({(5, 0): first, (None, 0): first}))
    assert (tmp_path / "two.png").stat().st_size > (tmp_path / "one.png").stat().st_size > 10_000


def test_an_arm_is_run_again_where_what_it_learns_by_has_changed_and_others_are_not(
    folder: Path, trained: list[dict[str, Any]], tmp_path: Path
) -> None:
    def run(chosen: Params) -> None:
        one = trial(folder, chosen=chosen)
        teacher = benchmark.train_teacher(one, tmp_path)
        for arm in (FIXED_95, "softmatch", "online_fixmatch"):
            benchmark.evaluate_method(one, arm, teacher, tmp_path)

    run(CHOSEN)
    counts = [len(trained)]
    for chosen in (
        changed(labels="hard"),
        changed(labels="hard", online=CHOSEN.retrain.online.model_copy(update={"threshold": 0.5})),
    ):
        run(chosen)
        counts.append(len(trained))
    assert counts == [4, 6, 7]


def test_students_may_begin_with_the_teachers_weights(
    folder: Path, trained: list[dict[str, Any]], tmp_path: Path
) -> None:
    one = trial(folder, chosen=changed(start="teacher"))
    teacher = benchmark.train_teacher(one, tmp_path)
    benchmark.evaluate_method(one, NO_POOL, teacher, tmp_path)
    weights = load_file(tmp_path / TEACHER / "weights.safetensors")
    assert torch.equal(trained[1]["start"], weights["0.weight"])
    (tmp_path / TEACHER / "weights.safetensors").unlink()
    with pytest.raises(InputError, match=r"teacher\.json: damaged"):
        benchmark.evaluate_method(one, FIXED_95, teacher, tmp_path)


@pytest.mark.parametrize("fold", ["train", "valid", "test"])
def test_a_fold_without_faces_is_told(folder: Path, fold: str) -> None:
    table = pd.read_csv(folder / "table.csv", keep_default_na=False)
    write_csv(folder / "table.csv", table.assign(fold=table["fold"].where(table["fold"] != fold, "excluded")))
    with pytest.raises(InputError, match=f"the fold {fold} has no faces"):
        benchmark.read_benchmark_data(folder, CHOSEN)


def test_a_budget_that_hides_nothing_and_a_missing_pool_are_told(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="20 labels of each emotion: no emotion has more than 16; take fewer, or all"):
        benchmark.train_teacher(trial(folder, 20), tmp_path)
    table = pd.read_csv(folder / "table.csv", keep_default_na=False)
    write_csv(folder / "table.csv", table.assign(fold=table["fold"].replace("unlabelled", "excluded")))
    with pytest.raises(InputError, match="all labels: there are no unlabelled faces"):
        benchmark.train_teacher(trial(folder, None), tmp_path)
