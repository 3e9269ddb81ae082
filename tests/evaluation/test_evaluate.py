"""Metrics, audits, comparisons and warnings agree with the predictions and labels that they are computed from."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from fer.core.files import write_json
from fer.core.labels import EMOTIONS, ENSEMBLE
from fer.core.table import TABLE_COLUMNS
from fer.evaluation import evaluate, inputs
from fer.evaluation.inputs import HeldOutFaces, RoundPredictions, RoundPseudoLabels
from fer.evaluation.verdict import compare_rounds
from fer.predictions import metrics
from fer.predictions.calibration import compute_probs
from fer.predictions.ensembles import StoredLogits
from fer.predictions.prior import correct_to_prior
from fer.runtime.errors import InputError

EMOTIONS = EMOTIONS[:7]
BINS = 15


def make_table(n: int, seed: int = 0, emotions: int = 7) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    fold = random.choice(["train", "valid", "test", "unlabelled", "excluded"], n)
    emotion = np.array(EMOTIONS)[random.integers(0, emotions, n)]
    table = pd.DataFrame(
        {
            "id": [f"{row}.png" for row in range(n)],
            "source": random.choice(["one", "other"], n),
            "fold": fold,
            "emotion": np.where(fold == "unlabelled", "", emotion),
            "votes": "",
            "group": "",
            "twin_in_train": np.isin(fold, ["test", "valid"]) & (random.random(n) < 0.2),
            "reason": "",
        }
    )
    return table[list(TABLE_COLUMNS)]


def make_logits(table: pd.DataFrame, seed: int = 0, skill: float = 2.0) -> np.ndarray:
    random = np.random.default_rng(seed)
    views = random.normal(size=(len(table), 1, len(EMOTIONS))) + 0.1 * random.normal(
        size=(len(table), 2, len(EMOTIONS))
    )
    logits = views.astype(np.float32)
    for row, emotion in enumerate(table["emotion"]):
        if emotion:
            logits[row, :, EMOTIONS.index(emotion)] += skill
    return 3 * logits


def make_stored_logits(*logits: np.ndarray) -> dict[str, StoredLogits]:
    return {f"network_{i}": StoredLogits(array, ("plain", "flip"), "") for i, array in enumerate(logits)}


def make_predictions(table: pd.DataFrame, *logits: np.ndarray) -> tuple[RoundPredictions, HeldOutFaces]:
    faces, stored = inputs.select_held_out(table, EMOTIONS), make_stored_logits(*logits)
    return inputs.calibrate_round(stored, faces, seed=0, weights=dict.fromkeys(stored, 1.0)), faces


def evaluate_round(table: pd.DataFrame, *logits: np.ndarray) -> dict[str, Any]:
    predictions, faces = make_predictions(table, *logits)
    return evaluate.evaluate_rounds({0: predictions}, faces, EMOTIONS, BINS)[0]


def test_metrics_agree_with_scikit_learn() -> None:
    table = make_table(400)
    logits = make_logits(table)
    results = evaluate_round(table, logits)["network_0"]
    probs = compute_probs(logits, results["temperature"])
    folds = {
        "test": table["fold"] == "test",
        "test_without_twins": (table["fold"] == "test") & ~table["twin_in_train"],
    }
    for fold, mask in folds.items():
        actual = table["emotion"][mask].to_numpy()
        predicted = np.array(EMOTIONS)[probs[mask.to_numpy()].argmax(axis=1)]
        assert results[fold]["n"] == mask.sum()
        assert results[fold]["accuracy"] == pytest.approx(accuracy_score(actual, predicted))
        assert results[fold]["macro_f1"] == pytest.approx(f1_score(actual, predicted, average="macro"))
        assert results[fold]["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(actual, predicted))
    assert 0 < results["test_without_twins"]["n"] < results["test"]["n"]


def test_the_sources_add_up_to_the_test_fold() -> None:
    results = evaluate_round(table := make_table(400), make_logits(table))[ENSEMBLE]
    parts = results["test_by_source"].values()
    assert set(results["test_by_source"]) == {"one", "other"}
    assert sum(part["n"] for part in parts) == results["test"]["n"]
    hits = sum(part["accuracy"] * part["n"] for part in parts)
    assert hits == pytest.approx(results["test"]["accuracy"] * results["test"]["n"])


def test_the_ensemble_of_one_network_is_that_network() -> None:
    results = evaluate_round(table := make_table(200), make_logits(table))
    assert {"temperature": results["network_0"]["temperature"]} | results[ENSEMBLE] == results["network_0"]


def test_corrected_metrics_are_of_predictions_corrected_to_the_validation_fold() -> None:
    table = make_table(2000)
    rare = table["emotion"].isin(["fear", "sad"]) & (np.arange(2000) % 8 > 0)  # balanced logits, unbalanced faces
    table = table[~rare].reset_index(drop=True)
    predictions, faces = make_predictions(table, make_logits(table, 0, 0.7), make_logits(table, 1, 0.7))
    results = evaluate.evaluate_rounds({0: predictions}, faces, EMOTIONS, BINS)[0]
    for name, probs in predictions.calibrated.all_probs.items():
        corrected = results[name]["corrected_to_prior"]
        corrected_probs, factors = correct_to_prior(probs, faces.labels, ~faces.test, 0)
        assert list(corrected) == ["factors", "valid", "test", "test_without_twins", "test_by_source"]
        assert corrected["factors"] == dict(zip(EMOTIONS, factors.tolist(), strict=True))
        assert corrected["factors"]["fear"] < 0.5 < corrected["factors"]["happy"]
        for fold, mask in (("valid", ~faces.test), ("test", faces.test)):
            expected = metrics.compute_metrics(corrected_probs[mask], faces.labels[mask], EMOTIONS, BINS)
            assert corrected[fold] == expected
            assert corrected[fold]["accuracy"] > results[name][fold]["accuracy"] + 0.02


def test_the_single_crop_is_the_plain_view() -> None:
    table = make_table(300)
    logits = make_logits(table)
    results = evaluate_round(table, logits)
    test = (table["fold"] == "test").to_numpy()
    correct = np.array(EMOTIONS)[logits[test, 0].argmax(axis=1)] == table["emotion"][test]
    for name in ("network_0", ENSEMBLE):
        assert results[name]["single_crop"]["test"] == pytest.approx(correct.mean())
        assert results[name]["single_crop"]["test"] != results[name]["test"]["accuracy"]


def test_a_network_of_weight_0_is_evaluated_outside_the_ensemble() -> None:
    table = make_table(300)
    stored = make_stored_logits(*(make_logits(table, seed) for seed in range(2)))
    faces = inputs.select_held_out(table, EMOTIONS)
    predictions = inputs.calibrate_round(stored, faces, 0, {"network_0": 0.0, "network_1": 1.0})
    results = evaluate.evaluate_rounds({0: predictions}, faces, EMOTIONS, BINS)[0]
    assert results[ENSEMBLE]["test"] == results["network_1"]["test"] != results["network_0"]["test"]


def test_an_ensemble_of_independent_networks_beats_each_of_them() -> None:
    table = make_table(1000)
    results = evaluate_round(table, *(make_logits(table, seed) for seed in range(3)))
    single = [results[f"network_{i}"]["test"]["accuracy"] for i in range(3)]
    assert results[ENSEMBLE]["test"]["accuracy"] > max(single)


def test_the_metrics_of_the_test_fold_do_not_depend_on_order() -> None:
    table = make_table(300)
    logits = make_logits(table)
    order = np.random.default_rng(1).permutation(len(table))
    original = evaluate_round(table, logits)["network_0"]
    permuted = evaluate_round(table.iloc[order].reset_index(drop=True), logits[order])["network_0"]
    for fold in ("test", "test_without_twins"):
        assert flatten(permuted[fold]) == pytest.approx(flatten(original[fold]), abs=1e-6)


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, float]:
    items = ((f"{prefix}.{key}", value) for key, value in tree.items())
    return {
        name: number
        for key, value in items
        for name, number in (flatten(value, key) if isinstance(value, dict) else {key: value}).items()
    }


def test_only_held_out_faces_are_evaluated() -> None:
    table = make_table(300)
    logits = make_logits(table)
    not_held_out = ~table["fold"].isin(["valid", "test"]).to_numpy()
    changed = table.assign(emotion=table["emotion"].mask(not_held_out, "happy"))
    assert evaluate_round(changed, np.where(not_held_out[:, None, None], 9, logits)) == evaluate_round(table, logits)


def test_ratios_of_an_absent_emotion_are_left_out(tmp_path: Path) -> None:
    results = evaluate_round(table := make_table(200, emotions=6), make_logits(table))
    write_json(tmp_path / "evaluate.json", results)
    neutral = results["network_0"]["test"]["per_emotion"]["neutral"]
    assert neutral["support"] == 0
    assert "recall" not in neutral
    assert "NaN" not in (tmp_path / "evaluate.json").read_text()


def test_the_test_fold_without_twins_may_be_empty() -> None:
    table = make_table(200)
    table["twin_in_train"] = table["fold"] == "test"
    assert evaluate_round(table, make_logits(table))["network_0"]["test_without_twins"] == {"n": 0}


def test_calibration_lowers_the_calibration_error() -> None:
    predictions, faces = make_predictions(table := make_table(4000), make_logits(table))
    curves = evaluate.reliability_table({0: predictions}, faces, BINS)
    error = {
        name: float((part["n"] * (part["confidence"] - part["accuracy"]).abs()).sum() / part["n"].sum())
        for name, part in curves.groupby("calibration")
    }
    assert error["after"] < error["before"] / 2
    assert (curves.groupby("calibration")["n"].sum() == faces.test.sum()).all()


def test_the_error_before_calibration_is_at_temperature_1() -> None:
    table = make_table(4000)
    logits = [make_logits(table, seed) for seed in range(2)]
    results = evaluate_round(table, *logits)
    uncalibrated = {f"network_{i}": compute_probs(array, 1.0) for i, array in enumerate(logits)}
    for name, probs in (uncalibrated | {ENSEMBLE: np.mean(list(uncalibrated.values()), axis=0)}).items():
        for fold, error in results[name]["ece_before_calibration"].items():
            mask = (table["fold"] == fold).to_numpy()
            labels = np.array([EMOTIONS.index(emotion) for emotion in table["emotion"][mask]])
            assert error == pytest.approx(metrics.expected_calibration_error(probs[mask], labels, BINS), abs=1e-4)
            if name != ENSEMBLE:
                assert results[name][fold]["ece"] < error
        assert list(results[name]["ece_before_calibration"]) == ["valid", "test"]


def test_the_confusion_table_has_a_row_for_each_test_face() -> None:
    table = make_table(300)
    predictions, faces = make_predictions(table, make_logits(table))
    rows = evaluate.confusion_table({0: predictions, 1: predictions}, faces, EMOTIONS)
    rows = rows[rows["round"] == 1]
    assert rows["actual"].tolist() == table["emotion"][table["fold"] == "test"].tolist()
    accuracy = evaluate.evaluate_rounds({1: predictions}, faces, EMOTIONS, BINS)[1][ENSEMBLE]["test"]["accuracy"]
    assert (rows["actual"] == rows["predicted"]).mean() == pytest.approx(accuracy)


def test_a_suspiciously_high_accuracy_is_reported() -> None:
    table = make_table(900)
    good, poor, perfect = (make_logits(table, skill=skill) for skill in (3.0, 0.5, 100.0))

    def find_warnings(round_: int, logits: np.ndarray) -> list[str]:
        predictions, faces = make_predictions(table, logits)
        return evaluate.sanity_warnings({round_: predictions}, faces, EMOTIONS)

    assert find_warnings(0, good) == []
    warnings = find_warnings(1, np.where((table["fold"] == "test").to_numpy()[:, None, None], good, poor))
    assert len(warnings) == 2, "one for each source"
    for line in warnings:
        assert re.match(r"round 1, \w+: .* of \d+ test faces .* more than chance .*near-duplicate images", line)
    warnings = find_warnings(0, perfect)
    assert warnings
    assert all(re.search(r"all \d+ test faces are recognised", line) for line in warnings)


@pytest.mark.parametrize("fold", ["valid", "test"])
def test_an_emotion_without_faces_in_a_fold_is_reported(fold: str) -> None:
    table = make_table(900)
    table = table[(table["fold"] != fold) | (table["emotion"] != "fear")].reset_index(drop=True)
    warnings = evaluate.sanity_warnings({}, inputs.select_held_out(table, EMOTIONS), EMOTIONS)
    effect = " and predictions of fear are not corrected to the prior" if fold == "valid" else ""
    expected = f"no {fold} face is labelled fear, so their metrics are missing{effect}; add a source with such faces"
    assert warnings == [expected]


def test_a_validation_fold_with_fewer_faces_than_emotions_is_reported() -> None:
    table = make_table(900)
    valid_rows = table.index[table["fold"] == "valid"]
    table = table.drop(valid_rows[6:]).reset_index(drop=True)
    (warning,) = evaluate.sanity_warnings({}, inputs.select_held_out(table, EMOTIONS), EMOTIONS)
    assert warning.endswith(
        f"and predictions of {', '.join(EMOTIONS)} are not corrected to the prior; add a source with such faces"
    )
    results = evaluate_round(table, make_logits(table))["network_0"]
    assert set(results["corrected_to_prior"]["factors"].values()) == {1}
    assert results["corrected_to_prior"]["test"] == results["test"]


def make_pseudo_labels(n: int, threshold: float, is_known: bool = True) -> RoundPseudoLabels:
    random = np.random.default_rng(0)
    truth = random.integers(0, 7, n)
    probs = random.dirichlet(np.full(7, 0.3), n).astype(np.float32)
    probs[: n // 2] = np.eye(7)[truth[: n // 2]] * 0.9 + probs[: n // 2] * 0.1
    truth = truth if is_known else np.full(n, -1)
    summary = {"thresholds": dict.fromkeys(EMOTIONS, threshold), "reviewed": 0, "set_aside": 0}
    return RoundPseudoLabels(np.arange(n), probs, probs.max(axis=1) >= threshold, truth, summary)


def test_the_audit_measures_accepted_and_correct_pseudo_labels() -> None:
    labels = make_pseudo_labels(500, 0.8)
    results = evaluate.audit_rounds({1: labels}, EMOTIONS)[1]
    correct = (labels.probs.argmax(axis=1) == labels.truth)[labels.accepted]
    assert (results["unlabelled"], results["truth_known"], results["accepted"]) == (500, 500, labels.accepted.sum())
    assert results["coverage"] == labels.accepted.mean()
    assert results["precision"] == pytest.approx(correct.mean())
    assert results["precision_interval"]["low"] < results["precision"] < results["precision_interval"]["high"]
    per_emotion = results["per_emotion"].values()
    assert sum(values["share_of_accepted"] for values in per_emotion) == pytest.approx(1)
    assert sum(values["accepted"] for values in per_emotion) == results["accepted"]


def test_the_coverage_curve_agrees_with_the_audit() -> None:
    labels = make_pseudo_labels(500, 0.8)
    curve = evaluate.coverage_table({1: labels}).set_index("threshold").loc[0.8]
    audit = evaluate.audit_rounds({1: labels}, EMOTIONS)[1]
    assert curve["accepted"] == audit["accepted"]
    assert curve["coverage"] == audit["coverage"]
    assert curve["precision"] == pytest.approx(audit["precision"])


@pytest.mark.parametrize("labels", [make_pseudo_labels(50, 1.1), make_pseudo_labels(50, 0.8, is_known=False)])
def test_without_accepted_faces_or_truth_there_is_no_precision(labels: RoundPseudoLabels) -> None:
    results = evaluate.audit_rounds({1: labels}, EMOTIONS)[1]
    assert "precision" not in json.dumps(results)
    assert results["accepted"] == labels.accepted.sum()


def test_an_empty_pool_has_no_curve_and_counts_of_0() -> None:
    labels = make_pseudo_labels(0, 0.8)
    audit = evaluate.audit_rounds({1: labels}, EMOTIONS)[1]
    assert audit == dict.fromkeys(["unlabelled", "truth_known", "accepted", "reviewed", "set_aside"], 0)
    assert len(evaluate.coverage_table({1: labels})) == 0
    assert list(evaluate.coverage_table({1: labels})) == list(evaluate.coverage_table({}))


def test_the_summary_holds_the_metrics_of_the_ensemble() -> None:
    table = make_table(400)
    predictions, faces = make_predictions(table, make_logits(table), make_logits(table, 1))
    rounds, pseudo_labels = {0: predictions, 1: predictions}, {1: make_pseudo_labels(50, 0.8)}
    results = evaluate.evaluate_rounds(rounds, faces, EMOTIONS, BINS)
    audit = evaluate.audit_rounds(pseudo_labels, EMOTIONS)
    comparisons = compare_rounds(rounds, faces, [dict.fromkeys(predictions.calibrated.probs, 1.0)], EMOTIONS, 0)
    summary = evaluate.summary_metrics(results, audit, comparisons)
    common = {"test_accuracy", "test_macro_f1", "test_ece", "valid_accuracy", "valid_macro_f1"}
    common |= {f"{fold}_{key}_corrected" for fold in ("test", "valid") for key in ("accuracy", "macro_f1")}
    labels = {"pseudo_labels", "pseudo_label_coverage", "pseudo_label_precision"}
    labels |= {"gain_over_round_0", "macro_f1_gain_over_round_0"}
    assert (set(summary[0]), set(summary[1])) == (common, common | labels)
    assert summary[0]["test_accuracy"] == results[0][ENSEMBLE]["test"]["accuracy"]
    corrected = results[0][ENSEMBLE]["corrected_to_prior"]
    assert summary[0]["test_macro_f1_corrected"] == corrected["test"]["macro_f1"]
    assert summary[0]["valid_accuracy_corrected"] == corrected["valid"]["accuracy"]
    assert summary[1]["pseudo_labels"] == audit[1]["accepted"]
    assert summary[1]["gain_over_round_0"]["low"] < summary[1]["gain_over_round_0"]["difference"] == 0
    assert summary[1]["macro_f1_gain_over_round_0"]["difference"] == 0


@pytest.fixture
def pseudo_label_folder(tmp_path: Path) -> tuple[Path, pd.DataFrame]:
    """A folder as `pseudo_label` writes it, and its table."""
    table = make_table(100)
    np.save(tmp_path / "accepted.npy", np.ones(100, dtype=bool))
    np.save(tmp_path / "probs.npy", np.full((100, 7), 1 / 7, dtype=np.float32))
    np.save(tmp_path / "reviewed.npy", np.zeros(100, dtype=bool))
    write_json(tmp_path / "summary.json", {"thresholds": dict.fromkeys(EMOTIONS, 0.5), "reviewed": 2, "set_aside": 1})
    return tmp_path, table


def test_only_unlabelled_faces_are_audited(pseudo_label_folder: tuple[Path, pd.DataFrame]) -> None:
    folder, table = pseudo_label_folder
    truth = pd.Series(np.where(table["fold"] == "unlabelled", "sad", ""))
    results = inputs.read_pseudo_labels(folder, table, truth, EMOTIONS)
    assert len(results.probs) == len(results.accepted) == (table["fold"] == "unlabelled").sum()
    assert set(results.truth) == {EMOTIONS.index("sad")}
    assert results.summary["thresholds"] == dict.fromkeys(EMOTIONS, 0.5)


def test_reviewed_faces_are_counted_and_not_audited(pseudo_label_folder: tuple[Path, pd.DataFrame]) -> None:
    folder, table = pseudo_label_folder
    reviewed = (table["fold"] == "unlabelled").to_numpy() & (table.index % 2 == 0)
    np.save(folder / "reviewed.npy", reviewed)
    results = inputs.read_pseudo_labels(folder, table, pd.Series(["sad"] * 100), EMOTIONS)
    audit = evaluate.audit_rounds({1: results}, EMOTIONS)[1]
    assert audit["unlabelled"] == audit["accepted"] == (table["fold"] == "unlabelled").sum() - reviewed.sum()
    assert (audit["reviewed"], audit["set_aside"]) == (2, 1)


def test_pseudo_labels_of_other_emotions_count_as_wrong(
    pseudo_label_folder: tuple[Path, pd.DataFrame],
) -> None:
    folder, table = pseudo_label_folder
    results = inputs.read_pseudo_labels(folder, table, pd.Series(["contempt"] * 100), EMOTIONS)
    audit = metrics.audit_pseudo_labels(results.probs, results.accepted, results.truth, EMOTIONS)
    assert audit["known"] == audit["accepted"] > 0
    assert audit["precision"] == 0


def test_wrong_numbers_of_rows_are_reported(pseudo_label_folder: tuple[Path, pd.DataFrame]) -> None:
    folder, table = pseudo_label_folder
    with pytest.raises(InputError, match="the truth has 99 rows, but the table has 100"):
        inputs.read_pseudo_labels(folder, table, pd.Series([""] * 99), EMOTIONS)
    np.save(folder / "probs.npy", np.ones((99, 7), dtype=np.float32))
    with pytest.raises(InputError, match=r"probs\.npy: has shape \(99, 7\), but \(100, 7\) is needed for this table"):
        inputs.read_pseudo_labels(folder, table, pd.Series([""] * 100), EMOTIONS)


def test_a_missing_curve_is_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"0/shallow/curve\.csv: no such file"):
        inputs.read_learning_curves(tmp_path, [0], ["shallow"])


def test_a_missing_column_is_reported(tmp_path: Path) -> None:
    (tmp_path / "0" / "shallow").mkdir(parents=True)
    (tmp_path / "0" / "shallow" / "curve.csv").write_text("epoch,train_loss\n1,2\n")
    with pytest.raises(InputError, match=r"curve\.csv: has no column learning_rate, train_accuracy"):
        inputs.read_learning_curves(tmp_path, [0], ["shallow"])
