"""Trials of `fer benchmark ssl`: their label budgets, their equal training, and their cache."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from test_comparison import PARAMS, RECIPE, init_tiny_model, write_unified
from torch import nn

from fer.core.table import write_csv
from fer.experiments import benchmark
from fer.experiments.arms import FIXED_95, METHODS, NO_POOL, TRUE_LABELS
from fer.experiments.comparison import fit_steps
from fer.experiments.gains import TEACHER, TEACHER_CORRECTED, VOTE, VOTE_CORRECTED, MethodResult, compute_gains
from fer.experiments.trials import Trial, describe_limits, read_benchmark_data
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


def make_trial(
    path: Path,
    budget: int | None = 5,
    seed: int = 0,
    params: Params = PARAMS,
    draw: Literal["balanced", "natural"] = "balanced",
    replicas: int = 1,
) -> Trial:
    recipe, epoch_faces = fit_steps(RECIPE, 8, "se")
    data = read_benchmark_data(path, params)
    return Trial(data, budget, draw, seed, replicas, "se", recipe, epoch_faces, params)


def run_trial(trial: Trial, folder: Path, *methods: str) -> dict[str, MethodResult]:
    teachers = benchmark.train_teachers(trial, folder)
    students = {method: benchmark.evaluate_student(trial, method, teachers, folder) for method in methods}
    return benchmark.evaluate_baselines(trial, teachers) | students


def edit_table(folder: Path, **columns: Any) -> None:
    """Replace columns of the table by functions of the table."""
    table = pd.read_csv(folder / "table.csv", keep_default_na=False)
    write_csv(folder / "table.csv", table.assign(**columns))


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
    labels = read_benchmark_data(folder, PARAMS).labels
    truth = pd.read_csv(folder / "truth.csv", keep_default_na=False)["emotion"]
    pool = read_benchmark_data(folder, PARAMS).rows["unlabelled"]
    assert (labels[pool] >= 0).tolist() == (truth.iloc[pool] != "").tolist()
    assert 0 < (labels[pool] >= 0).sum() < len(pool)


def test_natural_labels_are_as_many_at_the_frequencies_of_training(folder: Path) -> None:
    edit_table(folder, emotion=lambda table: table["emotion"].where(table["emotion"] != "sad", "happy"))
    balanced, small, natural = (
        make_trial(folder, budget, draw=draw) for budget, draw in ((5, "balanced"), (3, "natural"), (5, "natural"))
    )
    faces = natural.data
    assert len(natural.labelled_rows) == len(balanced.labelled_rows) == 30
    assert len(small.labelled_rows) == 18
    assert set(small.labelled_rows) < set(natural.labelled_rows) != set(balanced.labelled_rows)
    pool = natural.predicted_rows[natural.fold == "unlabelled"]
    assert sorted([*pool, *natural.labelled_rows]) == sorted([*faces.rows["unlabelled"], *faces.rows["train"]])
    shares = [
        np.mean([(faces.labels[make_trial(folder, 5, s, draw=draw).labelled_rows] == 3).mean() for s in range(20)])
        for draw in ("balanced", "natural")
    ]
    assert shares == pytest.approx([1 / 6, 2 / 7], abs=0.03)
    assert balanced.folder_name == "5/0"
    assert natural.folder_name == "5_natural/0"
    everything = [make_trial(folder, None, draw=draw) for draw in ("balanced", "natural")]
    assert everything[0].folder_name == everything[1].folder_name == "all/0"
    assert everything[0].fingerprint_inputs(TEACHER) == everything[1].fingerprint_inputs(TEACHER)


def test_every_method_trains_with_equal_settings_and_is_cached(
    folder: Path, training_calls: list[dict[str, Any]], tmp_path: Path
) -> None:
    trial = make_trial(folder)
    results = run_trial(trial, tmp_path, *METHODS)
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

    repeated = run_trial(trial, tmp_path, *METHODS)
    assert len(training_calls) == 1 + len(METHODS), "no training was repeated"
    for method, result in results.items():
        np.testing.assert_array_equal(result.test, repeated[method].test)
    table = compute_gains({(5, 0): results, (None, 0): results}, held_out_labels(trial), PARAMS.emotions)
    assert len(table) == 2 * (2 + len(METHODS))


def held_out_labels(trial: Trial) -> dict[str, np.ndarray]:
    return {fold: trial.data.labels[trial.data.rows[fold]] for fold in ("valid", "test")}


def test_replicas_differ_and_their_vote_labels_the_pool(
    folder: Path, training_calls: list[dict[str, Any]], tmp_path: Path
) -> None:
    run_trial(make_trial(folder), tmp_path, NO_POOL, FIXED_95, "softmatch", "online_fixmatch")
    assert len(training_calls) == 5
    trial = make_trial(folder, replicas=3)
    results = run_trial(trial, tmp_path, NO_POOL, FIXED_95, "softmatch", "online_fixmatch")
    names = [call["name"].split(", ")[-1] for call in training_calls[5:]]
    assert names == ["teacher_1", "teacher_2", FIXED_95, "softmatch"], "what does not learn from the vote is kept"
    teachers = [training_calls[index] for index in (0, 5, 6)]
    assert len({call["seed"] for call in teachers}) == len({float(call["start"].sum()) for call in teachers}) == 3
    assert [len(results[method].test) for method in (TEACHER, TEACHER_CORRECTED, VOTE, VOTE_CORRECTED)] == [3, 3, 1, 1]

    logits = benchmark.train_teachers(trial, tmp_path)
    pool = trial.fold == "unlabelled"
    single = [benchmark.student_targets(trial, {name: values}, "softmatch").targets for name, values in logits.items()]
    targets = benchmark.student_targets(trial, logits, "softmatch").targets
    np.testing.assert_allclose(targets[pool], np.mean(single, axis=0)[pool], atol=1e-6)


def test_corrected_predictions_have_the_prior_of_validation(folder: Path) -> None:
    trial = make_trial(folder)
    logits = np.random.default_rng(0).normal(0, 1, (len(trial.fold), 1, 7)).astype(np.float32)
    logits[:, :, 1] += 3  # predicted far too often
    results = benchmark.evaluate_baselines(trial, {TEACHER: logits})
    for fold in ("valid", "test"):
        plain, corrected = ((getattr(results[name], fold) == 1).mean() for name in (TEACHER, TEACHER_CORRECTED))
        assert plain > 0.6
        assert corrected < 0.4


def test_what_the_table_cannot_say_is_noted(folder: Path) -> None:
    data, emotions = read_benchmark_data(folder, PARAMS), PARAMS.emotions
    assert describe_limits(data, emotions, 3, 3, "balanced") == [
        "The vote is the mean of 3 teachers, and labels the pool."
    ]
    few = {"valid": data.rows["valid"][data.labels[data.rows["valid"]] != 1][:50]}
    small = replace(data, rows=data.rows | few)
    assert describe_limits(small, emotions, 1, 2, "natural") == [
        "Labels are drawn at natural frequencies; their number in all is that of balanced budgets.",
        "One teacher in each trial: there is no vote, and the variance of training alone is unknown.",
        "Intervals and verdicts need at least 3 seeds.",
        "Validation has 50 faces, too few for a prior: corrected rows need 70.",
        "The fold valid has no faces of disgust, which are not corrected to the prior.",
    ]
    without_test = replace(data, rows=data.rows | {"test": data.rows["test"][data.labels[data.rows["test"]] > 1]})
    assert describe_limits(without_test, emotions, 3, 3, "balanced")[-1] == (
        "The fold test has no faces of angry, disgust, which are not measured."
    )


def test_rows_without_a_prior_or_a_vote_are_left_out(
    folder: Path, training_calls: list[dict[str, Any]], tmp_path: Path
) -> None:
    trial = make_trial(folder, replicas=2)
    assert list(run_trial(trial, tmp_path)) == [TEACHER, TEACHER_CORRECTED, VOTE, VOTE_CORRECTED]
    few = replace(trial.data, rows=trial.data.rows | {"valid": trial.data.rows["valid"][:20]})
    assert list(run_trial(replace(trial, data=few), tmp_path / "few")) == [TEACHER, VOTE]
    assert list(run_trial(replace(trial, replicas=1), tmp_path)) == [TEACHER, TEACHER_CORRECTED]


def is_fear(table: pd.DataFrame) -> pd.Series:
    return table["emotion"] == "fear"


def test_an_emotion_absent_from_validation_is_no_obstacle(
    folder: Path, training_calls: list[dict[str, Any]], tmp_path: Path
) -> None:
    edit_table(
        folder, emotion=lambda table: table["emotion"].mask((table["fold"] == "valid") & is_fear(table), "happy")
    )
    trial = make_trial(folder)
    assert set(run_trial(trial, tmp_path, "softmatch")) == {TEACHER, TEACHER_CORRECTED, "softmatch"}
    assert not (held_out_labels(trial)["valid"] == 2).any()


def test_only_methods_with_changed_params_are_trained_again(
    folder: Path, training_calls: list[dict[str, Any]], tmp_path: Path
) -> None:
    def run(params: Params) -> None:
        run_trial(make_trial(folder, params=params), tmp_path, FIXED_95, "softmatch", "online_fixmatch")

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
    run_trial(trial, tmp_path, NO_POOL)
    assert [call["logit_adjustment"] for call in training_calls] == [0.0, 0.5]


def test_students_can_start_from_the_teachers_weights(
    folder: Path, training_calls: list[dict[str, Any]], tmp_path: Path
) -> None:
    trial = make_trial(folder, params=params_with(start="teacher"))
    run_trial(trial, tmp_path, NO_POOL)
    weights = load_file(tmp_path / TEACHER / "weights.safetensors")
    assert torch.equal(training_calls[1]["start"], weights["0.weight"])
    (tmp_path / TEACHER / "weights.safetensors").unlink()
    with pytest.raises(InputError, match=r"teacher\.json: damaged"):
        run_trial(trial, tmp_path, FIXED_95)


@pytest.mark.parametrize("fold", ["train", "valid", "test"])
def test_a_fold_without_faces_is_reported(folder: Path, fold: str) -> None:
    edit_table(folder, fold=lambda table: table["fold"].replace(fold, "excluded"))
    with pytest.raises(InputError, match=f"the fold {fold} has no faces"):
        read_benchmark_data(folder, PARAMS)


def test_a_budget_that_hides_nothing_and_a_missing_pool_are_reported(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--budgets 20: no emotion has more than 16 labels; use a smaller number"):
        benchmark.train_teachers(make_trial(folder, 20), tmp_path)
    edit_table(folder, fold=lambda table: table["fold"].replace("unlabelled", "excluded"))
    with pytest.raises(InputError, match="all labels: there are no unlabelled faces"):
        benchmark.train_teachers(make_trial(folder, None), tmp_path)


def test_the_oracle_needs_a_known_truth(folder: Path) -> None:
    assert make_trial(folder, None).has_truth
    truth = pd.read_csv(folder / "truth.csv", keep_default_na=False)
    write_csv(folder / "truth.csv", truth.assign(emotion=""))
    assert not make_trial(folder, None).has_truth
    assert make_trial(folder, 5).has_truth, "hidden labels are a truth"


def test_a_run_of_another_version_is_reported_and_kept(
    folder: Path, training_calls: list[dict[str, Any]], tmp_path: Path
) -> None:
    trial = make_trial(folder)
    run_trial(trial, tmp_path)
    path = tmp_path / f"{TEACHER}.json"
    stored = json.loads(path.read_text())
    del stored["run_with"]["draw"]
    path.write_text(json.dumps(stored))
    with pytest.raises(InputError, match=r"teacher\.json: a run of another version of fer; use another --out, or del"):
        run_trial(trial, tmp_path)
    assert json.loads(path.read_text()) == stored
    assert len(training_calls) == 1
