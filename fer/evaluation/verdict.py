"""The verdict on each round: what rose over round 0, and which emotions fell."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from fer.evaluation.inputs import HeldOutFaces, RoundPredictions
from fer.evaluation.statistics import compare_predictions
from fer.predictions.ensembles import average_probs
from fer.predictions.prior import correct_to_prior

AS_PREDICTED, CORRECTED = "as predicted", "corrected to validation's class frequencies"


def compare_rounds(
    predictions: Mapping[int, RoundPredictions],
    faces: HeldOutFaces,
    replicas: Sequence[Mapping[str, float]],
    emotions: Sequence[str],
    seed: int,
) -> dict[int, Any]:
    """Compare each later round with round 0 on the test fold, as in `compare_predictions`.

    A replica of round 0 is the teacher, the same replica of the later round its student of the same cost. "teacher" and
    "student" tell whether they are compared `AS_PREDICTED` or `CORRECTED`, whichever is more accurate on the validation
    fold. "verdict" is a sentence on what rose, "losses" one on what fell; see `judge_effect` for "effect".

    Args:
        replicas: The weights of the members with the same replica number, for each of these numbers.
        seed: Of the halves of the validation fold on which the correction is cross-fitted.
    """
    variants = {
        round_: _choose_variant(prediction, faces, replicas, seed) for round_, prediction in predictions.items()
    }
    teacher, teacher_predicted = variants[0]
    labels = faces.labels[faces.test]
    results: dict[int, Any] = {}
    for round_, (student, predicted) in variants.items():
        if round_:
            comparison = compare_predictions(
                teacher_predicted[:, faces.test], predicted[:, faces.test], labels, emotions
            )
            results[round_] = {"against": 0, "teacher": teacher, "student": student} | comparison
            results[round_] |= _summarize(results[round_])
    return results


def judge_effect(comparison: Mapping[str, Any]) -> str:
    """Return what a comparison of `compare_predictions` shows: "helped", "hurt", "mixed" or "no clear difference".

    A figure rose or fell if its interval lies on one side of 0. Accuracy that fell is "hurt". If accuracy or macro F1
    rose, macro F1 or an emotion's recall that fell makes it "mixed"; otherwise accuracy that rose is "helped".
    """
    accuracy, macro_f1 = comparison["accuracy"], comparison["macro_f1"]
    if accuracy["high"] < 0:
        return "hurt"
    has_fallen = any(change["high"] < 0 for change in (macro_f1, *comparison["recall"].values()))
    if has_fallen and (accuracy["low"] > 0 or macro_f1["low"] > 0):
        return "mixed"
    return "helped" if accuracy["low"] > 0 else "no clear difference"


def _choose_variant(
    prediction: RoundPredictions, faces: HeldOutFaces, replicas: Sequence[Mapping[str, float]], seed: int
) -> tuple[str, Int[np.ndarray, "replicas n"]]:
    """Return the more accurate variant on the validation fold, and the emotions that the replicas predict in it."""
    members = prediction.calibrated.probs
    probs = [average_probs({name: members[name] for name in weights}, weights) for weights in replicas]
    corrected = [correct_to_prior(rows, faces.labels, ~faces.test, seed)[0] for rows in probs]
    predicted = {
        name: np.stack([rows.argmax(axis=1) for rows in variant])
        for name, variant in ((AS_PREDICTED, probs), (CORRECTED, corrected))
    }
    correct = {name: (rows == faces.labels)[:, ~faces.test].sum() for name, rows in predicted.items()}
    best = max(correct, key=correct.__getitem__)
    return best, predicted[best]


def _summarize(comparison: Mapping[str, Any]) -> dict[str, str]:
    """Return the effect of a round and the sentences on it."""
    if not comparison["n"]:
        return {"verdict": "No verdict: there are no test faces to compare the rounds on.", "losses": ""}
    effect, replicas = judge_effect(comparison), comparison["replicas"]
    phrase = {"mixed": "had mixed effects", "no clear difference": "made no clear difference"}.get(effect, effect)
    trainings = f"mean of {replicas} replicas" if replicas > 1 else "one replica, so the training variance is unknown"
    verdict = (
        f"The pseudo-labels {phrase}: accuracy {_format_change(comparison['accuracy'])}, macro F1 "
        f"{_format_change(comparison['macro_f1'])}; the student {comparison['student']}, against the teacher "
        f"{comparison['teacher']}; {trainings}."
    )
    ranking = sorted(comparison["recall"].items(), key=lambda item: item[1]["difference"])
    changes = [f"{emotion} {_format_change(change)}" for emotion, change in ranking if change["high"] < 0]
    emotion, lowest = ranking[0]
    losses = (
        f"Recall fell: {', '.join(changes)}."
        if changes
        else f"No emotion's recall fell beyond its interval; the lowest change is {emotion} {_format_change(lowest)}."
    )
    return {"effect": effect, "verdict": verdict, "losses": losses}


def _format_change(change: Mapping[str, float]) -> str:
    """Return a change and its interval, in percentage points."""
    difference, low, high = (f"{100 * change[key]:+.1f}" for key in ("difference", "low", "high"))
    return f"{difference} ({low} to {high})"
