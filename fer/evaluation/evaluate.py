"""The results of the stage `evaluate`: metrics of every round and network, audits of pseudo-labels, warnings.

Dictionaries, keyed by round, network and fold, are written as JSON, tables as CSV. Every round has an ensemble, even of
one network.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from scipy.stats import fisher_exact

from fer.core.labels import ENSEMBLE
from fer.evaluation.inputs import HeldOutFaces, RoundPredictions, RoundPseudoLabels
from fer.predictions import metrics
from fer.predictions.prior import uncorrected_emotions

COVERAGE_COLUMNS = ("round", "threshold", "coverage", "accepted", "precision", "low", "high")
LEAK_P_VALUE = 1e-4  # below it, a test accuracy above the validation accuracy is reported
MIN_TEST_FACES = 30  # below it, a test accuracy of 100 % is not reported


def evaluate_rounds(
    predictions: Mapping[int, RoundPredictions], faces: HeldOutFaces, emotions: Sequence[str], bins: int
) -> dict[int, Any]:
    """Return metrics by round, by network and ensemble, by fold: valid, test, test_without_twins, test_by_source.

    All are of calibrated predictions. "corrected_to_prior" has the same metrics of the predictions corrected to the
    class frequencies of the validation fold, and the factors. "ece_before_calibration" is the calibration error at
    temperature 1, "single_crop" the accuracy of the plain view without averaging over views.
    """
    folds = {"valid": ~faces.test, "test": faces.test}

    def evaluate(probs: Float[np.ndarray, "n classes"], mask: Bool[np.ndarray, " n"]) -> dict[str, Any]:
        return metrics.compute_metrics(probs[mask], faces.labels[mask], emotions, bins)

    def evaluate_folds(probs: Float[np.ndarray, "n classes"]) -> dict[str, Any]:
        return {
            **{fold: evaluate(probs, mask) for fold, mask in folds.items()},
            "test_without_twins": evaluate(probs, faces.test & ~faces.twin_in_train),
            "test_by_source": {
                source: evaluate(probs, faces.test & (faces.sources == source))
                for source in dict.fromkeys(faces.sources[faces.test])
            },
        }

    metrics_by_round: dict[int, Any] = {}
    for round_, prediction in predictions.items():
        metrics_by_round[round_] = by_network = {}
        for name, probs in prediction.calibrated.all_probs.items():
            by_network[name] = {
                **({} if name == ENSEMBLE else {"temperature": prediction.calibrated.temperatures[name]}),
                **evaluate_folds(probs),
                "corrected_to_prior": {
                    "factors": dict(zip(emotions, prediction.prior_factors[name].tolist(), strict=True)),
                    **evaluate_folds(prediction.corrected[name]),
                },
                "ece_before_calibration": {
                    fold: metrics.expected_calibration_error(
                        prediction.uncalibrated[name][mask], faces.labels[mask], bins
                    )
                    for fold, mask in folds.items()
                    if mask.any()
                },
            }
            if prediction.single_crop:
                correct = prediction.single_crop.all_probs[name].argmax(axis=1) == faces.labels
                accuracy = {fold: correct[mask].mean() for fold, mask in folds.items() if mask.any()}
                by_network[name]["single_crop"] = accuracy
    return metrics_by_round


def audit_rounds(pseudo_labels: Mapping[int, RoundPseudoLabels], emotions: Sequence[str]) -> dict[int, Any]:
    """Return `audit_pseudo_labels` by round, with each emotion's share of the accepted faces."""
    audits = {}
    for round_, labels in pseudo_labels.items():
        audit = metrics.audit_pseudo_labels(labels.probs, labels.accepted, labels.truth, emotions)
        accepted = int(labels.accepted.sum())
        for emotion_audit in audit.get("per_emotion", {}).values() if accepted else ():
            emotion_audit["share_of_accepted"] = emotion_audit["accepted"] / accepted
        counts = {"unlabelled": audit.pop("n"), "truth_known": int((labels.truth >= 0).sum()), "accepted": accepted}
        audits[round_] = counts | audit | {key: labels.summary[key] for key in ("reviewed", "set_aside")}
    return audits


def summary_metrics(
    metrics_by_round: Mapping[int, Any], audits: Mapping[int, Any], comparisons: Mapping[int, Any]
) -> dict[int, dict[str, Any]]:
    """Return the main metrics of the ensemble by round, as fractions; undefined ones are left out.

    The arguments are the results of `evaluate_rounds`, `audit_rounds` or `complete_audits`, and `compare_rounds`.
    """
    summary: dict[int, dict[str, Any]] = {}
    for round_, networks in metrics_by_round.items():
        test, valid, audit = networks[ENSEMBLE]["test"], networks[ENSEMBLE]["valid"], audits.get(round_, {})
        corrected = networks[ENSEMBLE]["corrected_to_prior"]
        gains = {
            name: {key: comparisons[round_][figure][key] for key in ("difference", "low", "high")}
            for name, figure in (("gain_over_round_0", "accuracy"), ("macro_f1_gain_over_round_0", "macro_f1"))
            if figure in comparisons.get(round_, {})
        }
        values = {
            **{f"test_{key}": test.get(key) for key in ("accuracy", "macro_f1", "ece")},
            **{f"valid_{key}": valid.get(key) for key in ("accuracy", "macro_f1")},
            **{
                f"{fold}_{key}_corrected": corrected[fold].get(key)
                for fold in ("test", "valid")
                for key in ("accuracy", "macro_f1")
            },
            "pseudo_labels": audit.get("accepted"),
            "pseudo_label_coverage": audit.get("coverage"),
            "pseudo_label_precision": audit.get("precision"),
            "pseudo_label_precision_estimated": audit.get("estimated_precision"),
            **gains,
        }
        summary[round_] = {key: value for key, value in values.items() if value is not None}
    return summary


def sanity_warnings(
    predictions: Mapping[int, RoundPredictions], faces: HeldOutFaces, emotions: Sequence[str]
) -> list[str]:
    """Return a warning for each source on which a test accuracy is suspiciously high, and for each missing emotion."""
    warnings = []
    for fold, mask in (("valid", ~faces.test), ("test", faces.test)):
        counts = np.bincount(faces.labels[mask], minlength=len(emotions))
        if absent := [emotion for emotion, count in zip(emotions, counts, strict=True) if mask.any() and not count]:
            effect = "so their metrics are missing"
            if fold == "valid":
                uncorrected = ", ".join(uncorrected_emotions(faces.labels[mask], emotions))
                effect += f" and predictions of {uncorrected} are not corrected to the prior"
            warnings.append(f"no {fold} face is labelled {', '.join(absent)}, {effect}; add a source with such faces")
    question = "are there near-duplicate images, or images of the same person, in training and test?"
    for round_, prediction in predictions.items():
        correct = prediction.calibrated.ensemble_probs.argmax(axis=1) == faces.labels
        for source in dict.fromkeys(faces.sources):
            in_source = faces.sources == source
            test, valid = correct[in_source & faces.test], correct[in_source & ~faces.test]
            place = f"round {round_}, {source}"
            if len(test) >= MIN_TEST_FACES and test.all():
                warnings.append(f"{place}: all {len(test)} test faces are recognised; {question}")
                continue
            contingency = np.array([[fold.sum(), (~fold).sum()] for fold in (test, valid)])
            p_value = float(fisher_exact(contingency, alternative="greater").pvalue)
            if p_value < LEAK_P_VALUE:
                warnings.append(
                    f"{place}: {test.mean():.1%} of {len(test)} test faces are recognised, but {valid.mean():.1%} of "
                    f"{len(valid)} validation faces, more than chance explains (p = {p_value:.1g}); {question}"
                )
    return warnings


def confusion_table(
    predictions: Mapping[int, RoundPredictions], faces: HeldOutFaces, emotions: Sequence[str]
) -> pd.DataFrame:
    """Return the actual and predicted emotion of each test face by round. Columns: round, actual, predicted."""
    names, test = np.array(emotions, dtype=object), faces.test
    return pd.concat(
        pd.DataFrame(
            {
                "round": round_,
                "actual": names[faces.labels[test]],
                "predicted": names[prediction.calibrated.ensemble_probs[test].argmax(axis=1)],
            }
        )
        for round_, prediction in predictions.items()
    )


def reliability_table(predictions: Mapping[int, RoundPredictions], faces: HeldOutFaces, bins: int) -> pd.DataFrame:
    """Return the reliability of the ensemble on the test fold, by round, before and after calibration."""
    return pd.concat(
        metrics.reliability_bins(probs[faces.test], faces.labels[faces.test], bins).assign(
            round=round_, calibration=calibration
        )
        for round_, prediction in predictions.items()
        for calibration, probs in (
            ("before", prediction.uncalibrated[ENSEMBLE]),
            ("after", prediction.calibrated.ensemble_probs),
        )
    )[["round", "calibration", "low", "high", "confidence", "accuracy", "n"]]


def coverage_table(pseudo_labels: Mapping[int, RoundPseudoLabels]) -> pd.DataFrame:
    """Return `metrics.coverage_curve` by round, with the number of accepted faces."""
    parts = []
    for round_, labels in pseudo_labels.items():
        if n := len(labels.probs):
            curve = metrics.coverage_curve(labels.probs, labels.truth)
            accepted = (curve["coverage"] * n).round().astype(np.int64)
            parts.append(curve.assign(round=round_, accepted=accepted)[list(COVERAGE_COLUMNS)])
    return pd.concat(parts) if parts else pd.DataFrame(columns=list(COVERAGE_COLUMNS))
