"""What `evaluate` reports: the figures of every round and network, the audit of the pseudo-labels, the verdict.

Dictionaries become JSON, their keys are round, network, fold; tables become CSV. The ensemble is the vote of a round's
networks, and stands beside them even where there is one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int, Shaped
from scipy.stats import fisher_exact

from fer.core.files import read_array, read_json
from fer.core.labels import ENSEMBLE, encode_labels
from fer.predictions import metrics
from fer.predictions.calibration import compute_probs
from fer.predictions.ensembles import CalibratedEnsemble, StoredLogits, average_probs, calibrate_ensemble
from fer.runtime.errors import InputError

LEARNING_CURVE_COLUMNS = ("epoch", "learning_rate", "train_loss", "train_accuracy", "valid_loss", "valid_accuracy")
COVERAGE_COLUMNS = ("round", "threshold", "coverage", "accepted", "precision", "low", "high")
SUMMARY_KEYS = ("accuracy", "macro_f1", "ece")
LEAK_P_VALUE = 1e-4  # the chance at which a better accuracy on the test fold than on the validation fold is told
MIN_TEST_FACES = 30  # test faces that may all be recognised


@dataclass(frozen=True)
class HeldOutFaces:
    """The faces that networks are measured on: the validation and the test fold."""

    rows: Int[np.ndarray, " n"]  # of the table
    labels: Int[np.ndarray, " n"]
    sources: Shaped[np.ndarray, " n"]
    test: Bool[np.ndarray, " n"]  # the others are of the validation fold
    twin_in_train: Bool[np.ndarray, " n"]


@dataclass(frozen=True)
class RoundPredictions:
    """What one round's networks say of the measured faces."""

    calibrated: CalibratedEnsemble
    uncalibrated: dict[str, Float[np.ndarray, "n classes"]]  # by network, and their vote: at a temperature of 1
    single_crop: CalibratedEnsemble | None  # without averaging over views, where the plain view is among them


@dataclass(frozen=True)
class RoundPseudoLabels:
    """What was decided of the unlabelled faces for one round, and what they are in truth."""

    rows: Int[np.ndarray, " n"]  # of the table
    probs: Float[np.ndarray, "n classes"]
    accepted: Bool[np.ndarray, " n"]
    truth: Int[np.ndarray, " n"]  # -1 where it isn't known
    thresholds: Mapping[str, float]  # of each emotion
    review_counts: dict[str, int]  # faces that were reviewed, and set aside; none of them is among the above


def select_held_out(table: pd.DataFrame, emotions: Sequence[str]) -> HeldOutFaces:
    """The measured faces of `table`, in its order."""
    faces = table[table["fold"].isin(["valid", "test"])]
    return HeldOutFaces(
        rows=faces.index.to_numpy(),
        labels=encode_labels(faces["emotion"], emotions),
        sources=faces["source"].to_numpy(dtype=object),
        test=(faces["fold"] == "test").to_numpy(),
        twin_in_train=faces["twin_in_train"].to_numpy(),
    )


def calibrate_round(
    stored_logits: Mapping[str, StoredLogits], faces: HeldOutFaces, seed: int, weights: Mapping[str, float]
) -> RoundPredictions:
    """The calibrated answers of the networks that `stored_logits` names, and their vote by `weights`.

    Only the measured faces' logits are read.
    """
    logits = {network: prediction.logits[faces.rows] for network, prediction in stored_logits.items()}
    plain = {
        network: logits[network][:, [prediction.views.index("plain")]]
        for network, prediction in stored_logits.items()
        if "plain" in prediction.views
    }
    uncalibrated = {network: compute_probs(of_network, 1.0) for network, of_network in logits.items()}
    return RoundPredictions(
        calibrated=calibrate_ensemble(logits, faces.labels, ~faces.test, seed, weights),
        single_crop=calibrate_ensemble(plain, faces.labels, ~faces.test, seed, weights) if plain else None,
        uncalibrated=uncalibrated | {ENSEMBLE: average_probs(uncalibrated, weights)},
    )


def read_pseudo_labels(
    folder: Path, table: pd.DataFrame, truth: pd.Series, emotions: Sequence[str]
) -> RoundPseudoLabels:
    """What `pseudo_label` wrote into `folder` of the unlabelled faces; those that people reviewed are only counted.

    A true emotion outside of `emotions` is known: whatever such a face was taken for is wrong.

    Raises:
        InputError: the truth or an array of the folder has not the table's rows.
    """
    accepted, reviewed, probs = (
        read_array(folder / f"{name}.npy", mmap=True) for name in ("accepted", "reviewed", "probs")
    )
    n = len(table)
    shapes = {
        "accepted": (accepted.shape, (n,)),
        "reviewed": (reviewed.shape, (n,)),
        "probs": (probs.shape, (n, len(emotions))),
    }
    for name, (shape, expected) in shapes.items():
        if shape != expected:
            again = "label again with `dvc repro`"
            raise InputError(
                f"{folder / name}.npy: has shape {shape}, but of this table should have {expected}; {again}"
            )
    if len(truth) != len(table):
        raise InputError(f"the truth has {len(truth)} rows and the table {len(table)}; unify again with `dvc repro`")
    pool = np.flatnonzero((table["fold"] == "unlabelled") & ~reviewed)
    summary = read_json(folder / "summary.json")
    others = sorted(set(truth) - {"", *emotions})
    return RoundPseudoLabels(
        rows=pool,
        probs=probs[pool],
        accepted=accepted[pool],
        truth=encode_labels(truth.iloc[pool], [*emotions, *others]),
        thresholds=summary["thresholds"],
        review_counts={key: summary[key] for key in ("reviewed", "set_aside")},
    )


def read_learning_curves(folder: Path, rounds: Sequence[int], networks: Iterable[str]) -> pd.DataFrame:
    """The learning curves in `folder` / round / network, with the columns round, network and `CURVE`.

    Raises:
        InputError: a curve is missing, or a column of it.
    """
    parts = []
    for round_ in rounds:
        for network in networks:
            path = folder / str(round_) / network / "curve.csv"
            if not path.is_file():
                raise InputError(f"{path}: no such file; train again with `dvc repro`")
            curve = pd.read_csv(path)
            if missing := [column for column in LEARNING_CURVE_COLUMNS if column not in curve]:
                raise InputError(f"{path}: has no column {', '.join(missing)}; train again with `dvc repro`")
            parts.append(curve[list(LEARNING_CURVE_COLUMNS)].assign(round=round_, network=network))
    return pd.concat(parts, ignore_index=True)[["round", "network", *LEARNING_CURVE_COLUMNS]]


def evaluate_rounds(
    predictions: Mapping[int, RoundPredictions], faces: HeldOutFaces, emotions: Sequence[str], bins: int
) -> dict[int, Any]:
    """`metrics.summary` by round, by network and ensemble, by fold: valid, test, test_without_twins, test_by_source.

    Their ece is that after calibration. Beside them stand the one before, and the accuracy on single_crop: what the
    plain view alone gives, before any averaging over views.
    """
    folds = {"valid": ~faces.test, "test": faces.test}

    def of(probs: Float[np.ndarray, "n classes"]) -> dict[str, Any]:
        def summary(mask: Bool[np.ndarray, " n"]) -> dict[str, Any]:
            return metrics.compute_metrics(probs[mask], faces.labels[mask], emotions, bins)

        return {
            **{fold: summary(mask) for fold, mask in folds.items()},
            "test_without_twins": summary(faces.test & ~faces.twin_in_train),
            "test_by_source": {
                source: summary(faces.test & (faces.sources == source))
                for source in dict.fromkeys(faces.sources[faces.test])
            },
        }

    def plain(probs: Float[np.ndarray, "n classes"]) -> dict[str, Any]:
        right = probs.argmax(axis=1) == faces.labels
        return {"single_crop": {fold: right[mask].mean() for fold, mask in folds.items() if mask.any()}}

    def before(probs: Float[np.ndarray, "n classes"]) -> dict[str, Any]:
        error = {
            fold: metrics.expected_calibration_error(probs[mask], faces.labels[mask], bins)
            for fold, mask in folds.items()
            if mask.any()
        }
        return {"ece_before_calibration": error}

    found: dict[int, Any] = {}
    for round_, answer in predictions.items():
        found[round_] = {
            network: {"temperature": answer.calibrated.temperatures[network]} | of(probs)
            for network, probs in answer.calibrated.probs.items()
        } | {ENSEMBLE: of(answer.calibrated.ensemble_probs)}
        for network, probs in answer.uncalibrated.items():
            found[round_][network] |= before(probs)
        if answer.single_crop:
            for network, probs in (answer.single_crop.probs | {ENSEMBLE: answer.single_crop.ensemble_probs}).items():
                found[round_][network] |= plain(probs)
    return found


def audit_rounds(pseudo_labels: Mapping[int, RoundPseudoLabels], emotions: Sequence[str]) -> dict[int, Any]:
    """`metrics.audit` by round, with each emotion's share of the accepted faces."""
    found = {}
    for round_, labels in pseudo_labels.items():
        audit = metrics.audit_pseudo_labels(labels.probs, labels.accepted, labels.truth, emotions)
        accepted = int(labels.accepted.sum())
        for of_emotion in audit.get("per_emotion", {}).values() if accepted else ():
            of_emotion["share_of_accepted"] = of_emotion["accepted"] / accepted
        counts = {"unlabelled": audit.pop("n"), "truth_known": int((labels.truth >= 0).sum()), "accepted": accepted}
        found[round_] = counts | audit | labels.review_counts
    return found


def compare_rounds(predictions: Mapping[int, RoundPredictions], faces: HeldOutFaces) -> dict[int, Any]:
    """Of each later round: how its ensemble compares with that of round 0 on the test fold, and a sentence on it."""
    right = {
        round_: (answer.calibrated.ensemble_probs.argmax(axis=1) == faces.labels)[faces.test]
        for round_, answer in predictions.items()
    }
    compared = {round_: metrics.compare_accuracy(right[0], right[round_]) for round_ in right if round_ != 0}
    return {
        round_: {"against": 0} | comparison | {"verdict": metrics.summarize_gain(comparison)}
        for round_, comparison in compared.items()
    }


def summary_metrics(
    metrics_by_round: Mapping[int, Any], audits: Mapping[int, Any], comparisons: Mapping[int, Any]
) -> dict[int, dict[str, Any]]:
    """The few figures to compare between experiments, by round: of the ensemble, as fractions; undefined ones left out.

    Takes what `figures`, `audits` and `verdicts` return.
    """

    def present(figure: Mapping[str, Any], keys: Mapping[str, str]) -> dict[str, Any]:
        return {key: figure[own] for key, own in keys.items() if own in figure}

    of_labels = {
        "pseudo_labels": "accepted",
        "pseudo_label_coverage": "coverage",
        "pseudo_label_precision": "precision",
        "pseudo_label_precision_estimated": "estimated_precision",
    }
    summary = {}
    for round_, networks in metrics_by_round.items():
        folds = networks[ENSEMBLE]
        gain = present(comparisons.get(round_, {}), {key: key for key in ("difference", "low", "high")})
        summary[round_] = (
            present(folds["test"], {f"test_{key}": key for key in SUMMARY_KEYS})
            | present(folds["valid"], {f"valid_{key}": key for key in ("accuracy", "macro_f1")})
            | present(audits.get(round_, {}), of_labels)
            | ({"gain_over_round_0": gain} if gain else {})
        )
    return summary


def sanity_warnings(
    predictions: Mapping[int, RoundPredictions], faces: HeldOutFaces, emotions: Sequence[str]
) -> list[str]:
    """In words: what is too good to be true of the ensembles, source by source, and emotions that a fold lacks."""
    found = []
    for fold, mask in (("valid", ~faces.test), ("test", faces.test)):
        counts = np.bincount(faces.labels[mask], minlength=len(emotions))
        if absent := [emotion for emotion, count in zip(emotions, counts, strict=True) if mask.any() and not count]:
            names = ", ".join(absent)
            found.append(f"no {fold} face is labelled {names}: figures there are missing; add a source that has some")
    leak = "are identical or nearly identical pictures, or takes of one person, in training and test?"
    for round_, answer in predictions.items():
        right = answer.calibrated.ensemble_probs.argmax(axis=1) == faces.labels
        for source in dict.fromkeys(faces.sources):
            of_source = faces.sources == source
            test, valid = right[of_source & faces.test], right[of_source & ~faces.test]
            begin = f"round {round_}, {source}: "
            if len(test) >= MIN_TEST_FACES and test.all():
                found.append(f"{begin}every one of {len(test)} test faces is recognised; {leak}")
                continue
            found_right = np.array([[each.sum(), (~each).sum()] for each in (test, valid)])
            p_value = float(fisher_exact(found_right, alternative="greater").pvalue)
            if p_value < LEAK_P_VALUE:
                found.append(
                    f"{begin}{test.mean():.1%} of {len(test)} test faces are recognised and {valid.mean():.1%} of "
                    f"{len(valid)} validation faces, more than chance explains (p = {p_value:.1g}); {leak}"
                )
    return found


def confusion_table(
    predictions: Mapping[int, RoundPredictions], faces: HeldOutFaces, emotions: Sequence[str]
) -> pd.DataFrame:
    """What each test face is and what the ensemble takes it for, by round. Columns: round, actual, predicted."""
    names, test = np.array(emotions, dtype=object), faces.test
    return pd.concat(
        pd.DataFrame(
            {
                "round": round_,
                "actual": names[faces.labels[test]],
                "predicted": names[answer.calibrated.ensemble_probs[test].argmax(axis=1)],
            }
        )
        for round_, answer in predictions.items()
    )


def reliability_table(predictions: Mapping[int, RoundPredictions], faces: HeldOutFaces, bins: int) -> pd.DataFrame:
    """`metrics.reliability` of the ensemble on the test fold, by round, before and after calibration."""
    return pd.concat(
        metrics.reliability_bins(probs[faces.test], faces.labels[faces.test], bins).assign(
            round=round_, calibration=calibration
        )
        for round_, answer in predictions.items()
        for calibration, probs in (
            ("before", answer.uncalibrated[ENSEMBLE]),
            ("after", answer.calibrated.ensemble_probs),
        )
    )[["round", "calibration", "low", "high", "confidence", "accuracy", "n"]]


def coverage_table(pseudo_labels: Mapping[int, RoundPseudoLabels]) -> pd.DataFrame:
    """`metrics.coverage_curve` by round, and the number of faces accepted."""
    parts = []
    for round_, labels in pseudo_labels.items():
        if n := len(labels.probs):
            curve = metrics.coverage_curve(labels.probs, labels.truth)
            accepted = (curve["coverage"] * n).round().astype(np.int64)
            parts.append(curve.assign(round=round_, accepted=accepted)[list(COVERAGE_COLUMNS)])
    return pd.concat(parts) if parts else pd.DataFrame(columns=list(COVERAGE_COLUMNS))
