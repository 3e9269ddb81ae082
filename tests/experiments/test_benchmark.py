"""Trials of `fer benchmark ssl`: their label budgets, their equal training, and their cache."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from test_comparison import PARAMS, RECIPE, init_tiny_model, write_unified
from torch import nn

from fer.core.table import write_csv
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
    """Return unified faces; every fifth training face is unlabelled, half of these with a known truth."""
    path = write_unified(tmp_path / "unified", 280)
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
def training_calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Return the arguments of each training, appended as they run; networks are tiny."""
    calls: list[dict[str, Any]] = []
    train_network = benchmark.train_network

    def record_call(network: nn.Module, train: Any, valid: Any, **options: Any) -> Any:
        calls.append(options | {"train": train, "start": next(network.parameters()).detach().clone()})
        return train_network(network, train, valid, **options)

    def init_model(
        name: str, recipe: Recipe, emotions: list[str], size: int, seed: int
    ) -> tuple[nn.Module, nn_weights.ModelConfig]:
        config = nn_weights.ModelConfig(
            network=name, emotions=tuple(emotions), size=size, dropout=recipe.dropout, input_px=None
        )
        return init_tiny_model(name, recipe, emotions, size, seed)[0], config

    def save(network: nn.Module, config: object, folder: Path) -> None:
        save_file(network.state_dict(), folder / "weights.safetensors")

    def load(network: nn.Module, folder: Path) -> None:
        network.load_state_dict(load_file(folder / "weights.safetensors"))

    monkeypatch.setattr(benchmark, "train_network", record_call)
    monkeypatch.setattr("fer.experiments.benchmark.init_model", init_model)
    monkeypatch.setattr(benchmark.nn_weights, "save_model", save)
    monkeypatch.setattr(benchmark.nn_weights, "load_weights", load)
    return calls


def make_trial(path: Path, budget: int | None = 5, seed: int = 0, params: Params = PARAMS, steps: int = 8) -> Trial:
    recipe, epoch_faces = fit_steps(RECIPE, steps, "se")
    return Trial(benchmark.read_benchmark_data(path, params), budget, seed, "se", recipe, epoch_faces, params)


def params_with(**retrain: Any) -> Params:
    return PARAMS.model_copy(update={"retrain": PARAMS.retrain.model_copy(update=retrain)})


def test_a_budget_keeps_its_labels_and_moves_the_other_faces_to_the_pool(folder: Path) -> None:
    small, medium, full = (make_trial(folder, budget) for budget in (3, 5, None))
    faces = small.data
    assert np.bincount(faces.labels[small.labelled_rows]).tolist() == [3] * 7
    assert set(small.labelled_rows) < set(medium.labelled_rows) < set(full.labelled_rows) == set(faces.rows["train"])
    for trial in (small, medium, full):
        pool = trial.predicted_rows[trial.fold == "unlabelled"]
        assert sorted([*pool, *trial.labelled_rows]) == sorted([*faces.rows["unlabelled"], *faces.rows["train"]])
        np.testing.assert_array_equal(trial.predicted_rows[trial.fold == "valid"], faces.rows["valid"])
    assert set(make_trial(folder, seed=1).labelled_rows) != set(medium.labelled_rows)


def test_the_truth_is_read_where_it_is_known(folder: Path) -> None:
    labels = benchmark.read_benchmark_data(folder, PARAMS).labels
    truth = pd.read_csv(folder / "truth.csv", keep_default_na=False)["emotion"]
    pool = benchmark.read_benchmark_data(folder, PARAMS).rows["unlabelled"]
    assert (labels[pool] >= 0).tolist() == (truth.iloc[pool] != "").tolist()
    assert 0 < (labels[pool] >= 0).sum() < len(pool)


def test_every_method_trains_with_equal_settings_and_is_cached(
    folder: Path, training_calls: list[dict[str, Any]], tmp_path: Path
) -> None:
    trial = make_trial(folder)
    teacher = benchmark.train_teacher(trial, tmp_path)
    results = {method: benchmark.evaluate_method(trial, method, teacher, tmp_path) for method in (TEACHER, *METHODS)}
    assert len(training_calls) == 1 + len(METHODS)
    assert len({(call["epoch_faces"], call["recipe"].epochs, call["seed"]) for call in training_calls[1:]}) == 1
    assert training_calls[0]["seed"] != training_calls[1]["seed"]
    starts = [call["start"] for call in training_calls[1:]]
    assert all(torch.equal(start, starts[0]) for start in starts)
    assert [call["unlabelled"] is not None for call in training_calls[1:]] == [
        method.startswith("online_") for method in METHODS
    ]
    sizes = dict(zip(METHODS, (len(call["train"]) for call in training_calls[1:]), strict=True))
    assert sizes[NO_POOL] == len(trial.labelled_rows)
    assert sizes[TRUE_LABELS] == len(trial.labelled_rows) + results[TRUE_LABELS].n_pseudo_labels > sizes[NO_POOL]
    assert results[TRUE_LABELS].pseudo_label_precision == 1

    repeated = {
        method: benchmark.evaluate_method(trial, method, benchmark.train_teacher(trial, tmp_path), tmp_path)
        for method in results
    }
    assert len(training_calls) == 1 + len(METHODS), "no training was repeated"
    for method, result in results.items():
        np.testing.assert_array_equal(result.test, repeated[method].test)
    table = compute_gains({(5, 0): results})
    assert len(table) == 1 + len(METHODS)
    benchmark_plot.plot_gains(tmp_path / "one.png", table)
    benchmark_plot.plot_gains(tmp_path / "two.png", compute_gains({(5, 0): results, (None, 0): results}))
    assert (tmp_path / "two.png").stat().st_size > (tmp_path / "one.png").stat().st_size > 10_000


def test_only_methods_with_changed_params_are_trained_again(
    folder: Path, training_calls: list[dict[str, Any]], tmp_path: Path
) -> None:
    def run(params: Params) -> None:
        trial = make_trial(folder, params=params)
        teacher = benchmark.train_teacher(trial, tmp_path)
        for method in (FIXED_95, "softmatch", "online_fixmatch"):
            benchmark.evaluate_method(trial, method, teacher, tmp_path)

    run(PARAMS)
    counts = [len(training_calls)]
    for params in (
        params_with(labels="hard"),
        params_with(labels="hard", online=PARAMS.retrain.online.model_copy(update={"threshold": 0.5})),
    ):
        run(params)
        counts.append(len(training_calls))
    assert counts == [4, 6, 7]


def test_only_students_depend_on_the_weights_of_pseudo_labels_and_on_logit_adjustment(
    folder: Path, training_calls: list[dict[str, Any]], tmp_path: Path
) -> None:
    pseudo_label = PARAMS.pseudo_label.model_copy(update={"weights": "confidence"})
    params = params_with(logit_adjustment=0.5).model_copy(update={"pseudo_label": pseudo_label})
    trial, default = make_trial(folder, params=params), make_trial(folder)
    assert trial.fingerprint_inputs(TEACHER) == default.fingerprint_inputs(TEACHER)
    for method, changes in (("no_pool", {"logit_adjustment"}), ("fixed", {"logit_adjustment", "weights"})):
        changed, rules = (a_trial.fingerprint_inputs(method)["rules"] for a_trial in (trial, default))
        assert {key for key in rules if rules[key] != changed[key]} == changes
    benchmark.evaluate_method(trial, NO_POOL, benchmark.train_teacher(trial, tmp_path), tmp_path)
    assert [call["logit_adjustment"] for call in training_calls] == [0.0, 0.5]


def test_students_can_start_from_the_teachers_weights(
    folder: Path, training_calls: list[dict[str, Any]], tmp_path: Path
) -> None:
    trial = make_trial(folder, params=params_with(start="teacher"))
    teacher = benchmark.train_teacher(trial, tmp_path)
    benchmark.evaluate_method(trial, NO_POOL, teacher, tmp_path)
    weights = load_file(tmp_path / TEACHER / "weights.safetensors")
    assert torch.equal(training_calls[1]["start"], weights["0.weight"])
    (tmp_path / TEACHER / "weights.safetensors").unlink()
    with pytest.raises(InputError, match=r"teacher\.json: damaged"):
        benchmark.evaluate_method(trial, FIXED_95, teacher, tmp_path)


@pytest.mark.parametrize("fold", ["train", "valid", "test"])
def test_a_fold_without_faces_is_reported(folder: Path, fold: str) -> None:
    table = pd.read_csv(folder / "table.csv", keep_default_na=False)
    write_csv(folder / "table.csv", table.assign(fold=table["fold"].where(table["fold"] != fold, "excluded")))
    with pytest.raises(InputError, match=f"the fold {fold} has no faces"):
        benchmark.read_benchmark_data(folder, PARAMS)


def test_a_budget_that_hides_nothing_and_a_missing_pool_are_reported(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--budgets 20: no emotion has more than 16 labels; use a smaller number"):
        benchmark.train_teacher(make_trial(folder, 20), tmp_path)
    table = pd.read_csv(folder / "table.csv", keep_default_na=False)
    write_csv(folder / "table.csv", table.assign(fold=table["fold"].replace("unlabelled", "excluded")))
    with pytest.raises(InputError, match="all labels: there are no unlabelled faces"):
        benchmark.train_teacher(make_trial(folder, None), tmp_path)
