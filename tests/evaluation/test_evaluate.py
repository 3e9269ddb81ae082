"""The figures, the audit and the verdict agree with what they are made of."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from fer.core.files import write_json
from fer.core.labels import EMOTIONS, ENSEMBLE, TABLE_COLUMNS
from fer.evaluation import evaluate
from fer.evaluation.evaluate import HeldOutFaces, RoundPredictions, RoundPseudoLabels
from fer.predictions import metrics
from fer.predictions.calibration import compute_probs
from fer.predictions.ensembles import StoredLogits
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


def answer(table: pd.DataFrame, *logits: np.ndarray) -> tuple[RoundPredictions, HeldOutFaces]:
    faces = evaluate.select_held_out(table, EMOTIONS)
    said = {
        f"network_{place}": StoredLogits(of_network, ("plain", "flip"), "") for place, of_network in enumerate(logits)
    }
    return evaluate.calibrate_round(said, faces, seed=0, weights=dict.fromkeys(said, 1.0)), faces


def figures(table: pd.DataFrame, *logits: np.ndarray) -> dict[str, Any]:
    said, faces = answer(table, *logits)
    return evaluate.evaluate_rounds({0: said}, faces, EMOTIONS, BINS)[0]


def test_figures_agree_with_scikit_learn() -> None:
    table = make_table(400)
    logits = make_logits(table)
    found = figures(table, logits)["network_0"]
    probs = compute_probs(logits, found["temperature"])
    folds = {
        "test": table["fold"] == "test",
        "test_without_twins": (table["fold"] == "test") & ~table["twin_in_train"],
    }
    for fold, mask in folds.items():
        actual = table["emotion"][mask].to_numpy()
        predicted = np.array(EMOTIONS)[probs[mask.to_numpy()].argmax(axis=1)]
        assert found[fold]["n"] == mask.sum()
        assert found[fold]["accuracy"] == pytest.approx(accuracy_score(actual, predicted))
        assert found[fold]["macro_f1"] == pytest.approx(f1_score(actual, predicted, average="macro"))
        assert found[fold]["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(actual, predicted))
    assert 0 < found["test_without_twins"]["n"] < found["test"]["n"]


def test_the_sources_make_up_the_test_fold() -> None:
    found = figures(table := make_table(400), make_logits(table))[ENSEMBLE]
    parts = found["test_by_source"].values()
    assert set(found["test_by_source"]) == {"one", "other"}
    assert sum(part["n"] for part in parts) == found["test"]["n"]
    right = sum(part["accuracy"] * part["n"] for part in parts)
    assert right == pytest.approx(found["test"]["accuracy"] * found["test"]["n"])


def test_the_ensemble_of_one_network_is_that_network() -> None:
    found = figures(table := make_table(200), make_logits(table))
    assert {"temperature": found["network_0"]["temperature"]} | found[ENSEMBLE] == found["network_0"]


def test_the_single_crop_is_the_plain_view_alone() -> None:
    table = make_table(300)
    logits = make_logits(table)
    found = figures(table, logits)
    test = (table["fold"] == "test").to_numpy()
    right = np.array(EMOTIONS)[logits[test, 0].argmax(axis=1)] == table["emotion"][test]
    for name in ("network_0", ENSEMBLE):
        assert found[name]["single_crop"]["test"] == pytest.approx(right.mean())
        assert found[name]["single_crop"]["test"] != found[name]["test"]["accuracy"]


def test_a_network_without_a_vote_is_measured_and_does_not_vote() -> None:
    table = make_table(300)
    logits = {f"network_{seed}": make_logits(table, seed) for seed in range(2)}
    said = {name: StoredLogits(of_network, ("plain", "flip"), "") for name, of_network in logits.items()}
    faces = evaluate.select_held_out(table, EMOTIONS)
    answered = evaluate.calibrate_round(said, faces, 0, {"network_0": 0.0, "network_1": 1.0})
    found = evaluate.evaluate_rounds({0: answered}, faces, EMOTIONS, BINS)[0]
    assert found[ENSEMBLE]["test"] == found["network_1"]["test"] != found["network_0"]["test"]


def test_the_ensemble_of_networks_that_err_apart_beats_each() -> None:
    table = make_table(1000)
    found = figures(table, *(make_logits(table, seed) for seed in range(3)))
    single = [found[f"network_{place}"]["test"]["accuracy"] for place in range(3)]
    assert found[ENSEMBLE]["test"]["accuracy"] > max(single)


def test_the_order_of_the_faces_changes_no_figure_of_the_test_fold() -> None:
    table = make_table(300)
    logits = make_logits(table)
    order = np.random.default_rng(1).permutation(len(table))
    before = figures(table, logits)["network_0"]
    after = figures(table.iloc[order].reset_index(drop=True), logits[order])["network_0"]
    for fold in ("test", "test_without_twins"):
        assert flat(after[fold]) == pytest.approx(flat(before[fold]), abs=1e-6)


def flat(figures: dict[str, Any], prefix: str = "") -> dict[str, float]:
    items = ((f"{prefix}.{key}", value) for key, value in figures.items())
    return {
        name: number
        for key, value in items
        for name, number in (flat(value, key) if isinstance(value, dict) else {key: value}).items()
    }


def test_only_the_measured_faces_count() -> None:
    table = make_table(300)
    logits = make_logits(table)
    elsewhere = ~table["fold"].isin(["valid", "test"]).to_numpy()
    other = table.assign(emotion=table["emotion"].mask(elsewhere, "happy"))
    assert figures(other, np.where(elsewhere[:, None, None], 9, logits)) == figures(table, logits)


def test_a_fold_without_an_emotion_leaves_its_ratios_out(tmp_path: Path) -> None:
    found = figures(table := make_table(200, emotions=6), make_logits(table))
    write_json(tmp_path / "evaluate.json", found)
    neutral = found["network_0"]["test"]["per_emotion"]["neutral"]
    assert neutral["support"] == 0
    assert "recall" not in neutral
    assert "NaN" not in (tmp_path / "evaluate.json").read_text()


def test_a_test_fold_whose_faces_all_have_twins_is_empty_without_them() -> None:
    table = make_table(200)
    table["twin_in_train"] = table["fold"] == "test"
    assert figures(table, make_logits(table))["network_0"]["test_without_twins"] == {"n": 0}


def test_calibration_lowers_the_error_of_confidence() -> None:
    said, faces = answer(table := make_table(4000), make_logits(table))
    curves = evaluate.reliability_table({0: said}, faces, BINS)
    error = {
        name: float((part["n"] * (part["confidence"] - part["accuracy"]).abs()).sum() / part["n"].sum())
        for name, part in curves.groupby("calibration")
    }
    assert error["after"] < error["before"] / 2
    assert (curves.groupby("calibration")["n"].sum() == faces.test.sum()).all()


def test_the_error_before_calibration_is_that_of_each_network_and_the_vote() -> None:
    table = make_table(4000)
    logits = [make_logits(table, seed) for seed in range(2)]
    found = figures(table, *logits)
    raw = {f"network_{place}": compute_probs(of_network, 1.0) for place, of_network in enumerate(logits)}
    for name, probs in (raw | {ENSEMBLE: np.mean(list(raw.values()), axis=0)}).items():
        for fold, error in found[name]["ece_before_calibration"].items():
            mask = (table["fold"] == fold).to_numpy()
            labels = np.array([EMOTIONS.index(emotion) for emotion in table["emotion"][mask]])
            assert error == pytest.approx(metrics.expected_calibration_error(probs[mask], labels, BINS), abs=1e-4)
            if name != ENSEMBLE:
                assert found[name][fold]["ece"] < error
        assert list(found[name]["ece_before_calibration"]) == ["valid", "test"]


def test_confusion_has_a_row_for_each_test_face() -> None:
    table = make_table(300)
    said, faces = answer(table, make_logits(table))
    found = evaluate.confusion_table({0: said, 1: said}, faces, EMOTIONS)
    of_round = found[found["round"] == 1]
    assert of_round["actual"].tolist() == table["emotion"][table["fold"] == "test"].tolist()
    accuracy = evaluate.evaluate_rounds({1: said}, faces, EMOTIONS, BINS)[1][ENSEMBLE]["test"]["accuracy"]
    assert (of_round["actual"] == of_round["predicted"]).mean() == pytest.approx(accuracy)


def test_the_verdict_is_on_the_test_fold_alone_and_against_round_0() -> None:
    table = make_table(2000)
    (worse, faces), (better, _) = (
        answer(table, make_logits(table, skill=1)),
        answer(table, make_logits(table, 1, skill=3)),
    )
    found = evaluate.compare_rounds({0: worse, 1: better, 2: worse}, faces)
    assert list(found) == [1, 2]
    assert all(verdict["against"] == 0 for verdict in found.values())
    assert found[1]["n"] == faces.test.sum()
    assert "helped" in found[1]["verdict"]
    assert (found[2]["difference"], found[2]["gained"], found[2]["lost"]) == (0, 0, 0)
    assert "no clear difference" in found[2]["verdict"]
    right = [figures(table, make_logits(table, seed, skill))[ENSEMBLE]["test"] for seed, skill in ((0, 1), (1, 3))]
    assert found[1]["difference"] == pytest.approx(right[1]["accuracy"] - right[0]["accuracy"])


def test_an_accuracy_that_is_too_good_is_told() -> None:
    table = make_table(900)
    good, poor = make_logits(table, skill=3.0), make_logits(table, skill=0.5)
    assert (
        evaluate.sanity_warnings({0: answer(table, good)[0]}, evaluate.select_held_out(table, EMOTIONS), EMOTIONS) == []
    )
    leaked = np.where((table["fold"] == "test").to_numpy()[:, None, None], good, poor)
    said = evaluate.sanity_warnings({1: answer(table, leaked)[0]}, evaluate.select_held_out(table, EMOTIONS), EMOTIONS)
    assert len(said) == 2, "one for each source"
    for line in said:
        assert re.match(r"round 1, \w+: .* of \d+ test faces .* more than chance .*near-duplicate images", line)
    certain = make_logits(table, skill=100.0)
    said = evaluate.sanity_warnings({0: answer(table, certain)[0]}, evaluate.select_held_out(table, EMOTIONS), EMOTIONS)
    assert said
    assert all(re.search(r"all \d+ test faces are recognised", line) for line in said)


@pytest.mark.parametrize("fold", ["valid", "test"])
def test_an_emotion_that_a_fold_lacks_is_told(fold: str) -> None:
    table = make_table(900)
    table = table[(table["fold"] != fold) | (table["emotion"] != "fear")].reset_index(drop=True)
    said = evaluate.sanity_warnings({}, evaluate.select_held_out(table, EMOTIONS), EMOTIONS)
    assert said == [f"no {fold} face is labelled fear, so their metrics are missing; add a source with such faces"]


def make_pseudo_labels(n: int, threshold: float, known: bool = True) -> RoundPseudoLabels:
    random = np.random.default_rng(0)
    truth = random.integers(0, 7, n)
    probs = random.dirichlet(np.full(7, 0.3), n).astype(np.float32)
    probs[: n // 2] = np.eye(7)[truth[: n // 2]] * 0.9 + probs[: n // 2] * 0.1
    truth = truth if known else np.full(n, -1)
    thresholds = dict.fromkeys(EMOTIONS, threshold)
    accepted, by_people = probs.max(axis=1) >= threshold, {"reviewed": 0, "set_aside": 0}
    return RoundPseudoLabels(np.arange(n), probs, accepted, truth, thresholds, by_people)


def test_the_audit_counts_what_was_accepted_and_what_of_it_is_right() -> None:
    labels = make_pseudo_labels(500, 0.8)
    found = evaluate.audit_rounds({1: labels}, EMOTIONS)[1]
    right = (labels.probs.argmax(axis=1) == labels.truth)[labels.accepted]
    assert (found["unlabelled"], found["truth_known"], found["accepted"]) == (500, 500, labels.accepted.sum())
    assert found["coverage"] == labels.accepted.mean()
    assert found["precision"] == pytest.approx(right.mean())
    assert found["precision_interval"]["low"] < found["precision"] < found["precision_interval"]["high"]
    each = found["per_emotion"].values()
    assert sum(of_emotion["share_of_accepted"] for of_emotion in each) == pytest.approx(1)
    assert sum(of_emotion["accepted"] for of_emotion in each) == found["accepted"]


def test_the_curve_passes_through_what_the_threshold_gave() -> None:
    labels = make_pseudo_labels(500, 0.8)
    curve = evaluate.coverage_table({1: labels}).set_index("threshold").loc[0.8]
    audit = evaluate.audit_rounds({1: labels}, EMOTIONS)[1]
    assert curve["accepted"] == audit["accepted"]
    assert curve["coverage"] == audit["coverage"]
    assert curve["precision"] == pytest.approx(audit["precision"])


@pytest.mark.parametrize("labels", [make_pseudo_labels(50, 1.1), make_pseudo_labels(50, 0.8, known=False)])
def test_without_accepted_faces_or_without_truth_there_is_no_precision(labels: RoundPseudoLabels) -> None:
    found = evaluate.audit_rounds({1: labels}, EMOTIONS)[1]
    assert "precision" not in json.dumps(found)
    assert found["accepted"] == labels.accepted.sum()


def test_without_unlabelled_faces_there_is_no_curve_and_nothing_was_accepted() -> None:
    labels = make_pseudo_labels(0, 0.8)
    audit = evaluate.audit_rounds({1: labels}, EMOTIONS)[1]
    assert audit == dict.fromkeys(["unlabelled", "truth_known", "accepted", "reviewed", "set_aside"], 0)
    assert len(evaluate.coverage_table({1: labels})) == 0
    assert list(evaluate.coverage_table({1: labels})) == list(evaluate.coverage_table({}))


def test_the_headlines_are_the_ensembles_figures() -> None:
    table = make_table(400)
    said, faces = answer(table, make_logits(table), make_logits(table, 1))
    rounds, decided = {0: said, 1: said}, {1: make_pseudo_labels(50, 0.8)}
    found, audit = evaluate.evaluate_rounds(rounds, faces, EMOTIONS, BINS), evaluate.audit_rounds(decided, EMOTIONS)
    lines = evaluate.summary_metrics(found, audit, evaluate.compare_rounds(rounds, faces))
    shared = {"test_accuracy", "test_macro_f1", "test_ece", "valid_accuracy", "valid_macro_f1"}
    labels = {"pseudo_labels", "pseudo_label_coverage", "pseudo_label_precision", "gain_over_round_0"}
    assert (set(lines[0]), set(lines[1])) == (shared, shared | labels)
    assert lines[0]["test_accuracy"] == found[0][ENSEMBLE]["test"]["accuracy"]
    assert lines[1]["pseudo_labels"] == audit[1]["accepted"]
    assert lines[1]["gain_over_round_0"]["low"] < lines[1]["gain_over_round_0"]["difference"] == 0


@pytest.fixture
def labelled(tmp_path: Path) -> tuple[Path, pd.DataFrame]:
    """A folder as `pseudo_label` writes it, and the table."""
    table = make_table(100)
    np.save(tmp_path / "accepted.npy", np.ones(100, dtype=bool))
    np.save(tmp_path / "probs.npy", np.full((100, 7), 1 / 7, dtype=np.float32))
    np.save(tmp_path / "reviewed.npy", np.zeros(100, dtype=bool))
    write_json(tmp_path / "summary.json", {"thresholds": dict.fromkeys(EMOTIONS, 0.5), "reviewed": 2, "set_aside": 1})
    return tmp_path, table


def test_only_the_unlabelled_faces_are_audited(labelled: tuple[Path, pd.DataFrame]) -> None:
    folder, table = labelled
    truth = pd.Series(np.where(table["fold"] == "unlabelled", "sad", ""))
    found = evaluate.read_pseudo_labels(folder, table, truth, EMOTIONS)
    assert len(found.probs) == len(found.accepted) == (table["fold"] == "unlabelled").sum()
    assert set(found.truth) == {EMOTIONS.index("sad")}
    assert found.thresholds == dict.fromkeys(EMOTIONS, 0.5)


def test_what_people_decided_is_counted_apart_and_not_audited(labelled: tuple[Path, pd.DataFrame]) -> None:
    folder, table = labelled
    reviewed = (table["fold"] == "unlabelled").to_numpy() & (table.index % 2 == 0)
    np.save(folder / "reviewed.npy", reviewed)
    found = evaluate.read_pseudo_labels(folder, table, pd.Series(["sad"] * 100), EMOTIONS)
    audit = evaluate.audit_rounds({1: found}, EMOTIONS)[1]
    assert audit["unlabelled"] == audit["accepted"] == (table["fold"] == "unlabelled").sum() - reviewed.sum()
    assert (audit["reviewed"], audit["set_aside"]) == (2, 1)


def test_a_face_whose_emotion_is_none_of_the_networks_is_labelled_wrongly(
    labelled: tuple[Path, pd.DataFrame],
) -> None:
    folder, table = labelled
    found = evaluate.read_pseudo_labels(folder, table, pd.Series(["contempt"] * 100), EMOTIONS)
    audit = metrics.audit_pseudo_labels(found.probs, found.accepted, found.truth, EMOTIONS)
    assert audit["known"] == audit["accepted"] > 0
    assert audit["precision"] == 0


def test_rows_that_disagree_are_told(labelled: tuple[Path, pd.DataFrame]) -> None:
    folder, table = labelled
    with pytest.raises(InputError, match="the truth has 99 rows, but the table has 100"):
        evaluate.read_pseudo_labels(folder, table, pd.Series([""] * 99), EMOTIONS)
    np.save(folder / "probs.npy", np.ones((99, 7), dtype=np.float32))
    with pytest.raises(InputError, match=r"probs\.npy: has shape \(99, 7\), but \(100, 7\) is needed for this table"):
        evaluate.read_pseudo_labels(folder, table, pd.Series([""] * 100), EMOTIONS)


def test_a_missing_curve_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"0/shallow/curve\.csv: no such file"):
        evaluate.read_learning_curves(tmp_path, [0], ["shallow"])


def test_a_curve_without_a_column_is_named(tmp_path: Path) -> None:
    (tmp_path / "0" / "shallow").mkdir(parents=True)
    (tmp_path / "0" / "shallow" / "curve.csv").write_text("epoch,train_loss\n1,2\n")
    with pytest.raises(InputError, match=r"curve\.csv: has no column learning_rate, train_accuracy"):
        evaluate.read_learning_curves(tmp_path, [0], ["shallow"])
