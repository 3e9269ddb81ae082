"""Compare policies on stored predictions: what each would accept, how right that is, and what it may be worth."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from fer.core.formatting import MISSING_TEXT, markdown_table
from fer.core.labels import encode_labels
from fer.params import Params
from fer.predictions.confidence import class_prior
from fer.predictions.ensembles import calibrate_ensemble, find_agreement, read_stored_logits
from fer.pseudo_labels.estimates import estimate_precision
from fer.pseudo_labels.params import POLICIES, PseudoLabel, make_policy
from fer.pseudo_labels.policy import Evidence, Policy, collect_evidence
from fer.pseudo_labels.review.answers import ReviewDecisions
from fer.pseudo_labels.selection import select, thresholds
from fer.runtime.errors import InputError

GRID: dict[str, Sequence[float]] = {  # values of the main option of each policy, besides that of params.yaml
    "fixed": [percent / 100 for percent in range(30, 100, 5)],
    "precision": [0.7, 0.8, 0.9, 0.95],
    "top_k": [100, 300, 1000],
    "quota": [0.1, 0.3, 0.5, 0.7],
    "flexmatch": [0.7, 0.95],
    "ada_cm": [0.8, 0.9, 1.0],
}
MIN_VALID_FACES = 100  # below it, the interval of a precision of 70 % is wider than 18 points


def main_option(name: str) -> str | None:
    """Return the first parameter of a policy, which decides how much it accepts; None if it has no parameter."""
    return next(iter(POLICIES[name].model_fields), None)


def format_policy(name: str, policy: Policy) -> str:
    """Return the name, with the value of the main option if it is a number: "fixed=0.8"."""
    value = getattr(policy, main_option(name) or "", None)
    return f"{name}={value}" if isinstance(value, int | float) else name


def list_candidates(options: PseudoLabel) -> dict[str, Policy]:
    """Return each policy, as in params.yaml and with the values of `GRID`, by its text from `format_policy`."""
    candidates: dict[str, Policy] = {}
    for name in POLICIES:
        policy, option = getattr(options.policies, name), main_option(name)
        variants = [policy, *(policy.model_copy(update={option: value}) for value in GRID.get(name, ()))]
        candidates |= {format_policy(name, variant): variant for variant in variants}
    return candidates


def read_teacher(
    predictions: Path, table: pd.DataFrame, reviews: ReviewDecisions, params: Params, alignment: str
) -> Evidence:
    """Return the evidence from which the stage `pseudo_label` decides, with another `alignment`.

    Raises:
        InputError: There are no such predictions, no validation faces or no unlabelled faces.
    """
    emotions, members = params.emotions, params.members
    fold = np.where(reviews.reviewed, "reviewed", table["fold"])
    if not (fold == "unlabelled").any():
        raise InputError("there are no unlabelled faces; add an unlabelled source or set unify.label_budget")
    labels = encode_labels(table["emotion"], emotions)
    stored = read_stored_logits(predictions, members, emotions, len(table))
    logits = {name: network.logits for name, network in stored.items()}
    teachers = calibrate_ensemble(logits, labels, fold == "valid", params.seed, members)
    agreed = find_agreement(logits, teachers, members, params.pseudo_label.agreement)
    return collect_evidence(teachers.ensemble_probs, labels, fold, agreed, alignment)


def effective_labels(n_labels: int, weights: Float[np.ndarray, " m"], precision: float, n_classes: int) -> float:
    """Return the number of clean labels that teach as much as clean and noisy labels together, by a simple model.

    A label that is right with probability p, and otherwise any of the other K − 1 classes, deviates from chance in the
    mean by λ = (Kp − 1) / (K − 1) of what a clean label does (1 − 2η for two classes: Angluin & Laird 1988,
    doi:10.1007/BF00116829). A sum of gradients with weights w has the signal Σwλ and noise of the variance Σw². As many
    as (Σwλ)² / Σw² clean labels have the same ratio of both; without errors that is Kish's effective sample size.

    The model takes errors as independent and all faces as equally instructive. But a teacher errs systematically, and
    is confident about easy faces, so the result is an upper bound. It ranks policies and predicts no accuracy.

    Args:
        n_labels: The clean labels, of weight 1.
        weights: The loss weights of the noisy labels.
        precision: The share of their weight that is on right labels.
    """
    signal = n_labels + weights.sum() * (n_classes * precision - 1) / (n_classes - 1)
    return float(max(signal, 0.0) ** 2 / max(n_labels + (weights**2).sum(), 1e-12))


def compare_policies(
    evidence: Evidence,
    candidates: Mapping[str, Policy],
    emotions: Sequence[str],
    truth: Int[np.ndarray, " n"],
    n_labels: int,
    loss_weight: float,
    weights: str = "none",
) -> list[dict[str, Any]]:
    """Return the results of each policy; what may be worth most comes first, what has no estimate last.

    "balance" is the total variation distance between the emotions of the accepted faces and those of validation,
    "effective" Kish's effective number of accepted faces, "gain" the effective labels above `n_labels`.

    Args:
        truth: The true emotion of each face, -1 where unknown; nothing but "precision" depends on it.
        n_labels: The labelled faces that students learn from as well.
        loss_weight: `retrain.weight`.
        weights: `pseudo_label.weights`.
    """
    prior = class_prior(evidence.labels[evidence.valid], len(emotions))
    rows = []
    for name, policy in candidates.items():
        selection = select(evidence, policy, emotions, weights)
        estimate = estimate_precision(evidence, selection, thresholds(evidence, policy, emotions), emotions)
        accepted = np.flatnonzero(selection.accepted)
        weight, confidence = selection.weight[accepted].astype(np.float64), selection.confidence[accepted]
        counts = np.bincount(selection.emotion[accepted], minlength=len(emotions))
        correct = (selection.emotion == truth)[accepted[truth[accepted] >= 0]]
        row: dict[str, Any] = {"policy": name, "accepted": len(accepted)}
        row |= {"share": len(accepted) / int(evidence.pool.sum())}
        row |= {key: value for key, value in estimate.items() if key != "per_emotion"}
        row |= {"rarest": emotions[int(counts.argmin())], "rarest_accepted": int(counts.min())}
        row |= {"precision": float(correct.mean())} if len(correct) else {}
        if not weight.any():
            row |= dict.fromkeys(("gain", "gain_low", "gain_high"), 0.0)
        else:
            row["balance"] = float(np.abs(counts / len(accepted) - prior).sum() / 2)
            row["effective"] = float(weight.sum() ** 2 / (weight**2).sum())
            # Faces with more weight are right more often, by as much as they are more confident.
            lift = float(np.average(confidence, weights=weight) / confidence.mean())
            bounds = {f"gain_{end}": share for end, share in estimate.get("estimated_precision_interval", {}).items()}
            for key, share in (bounds and bounds | {"gain": estimate["estimated_precision"]}).items():
                worth = effective_labels(n_labels, loss_weight * weight, min(share * lift, 1.0), len(emotions))
                row[key] = worth - n_labels
        rows.append(row)
    return sorted(rows, key=lambda row: row.get("gain", -np.inf), reverse=True)


def teacher_warnings(evidence: Evidence, emotions: Sequence[str]) -> list[str]:
    """Return a line for each reason not to trust the comparison, which validation gives."""
    labels, chance = evidence.labels[evidence.valid], 1 / len(emotions)
    accuracy, lines = (evidence.predicted[evidence.valid] == labels).mean(), []
    if accuracy <= chance:
        effect = f"no better than chance ({chance:.0%}), so no policy helps; train it first"
        lines.append(f"the teacher is right on {accuracy:.0%} of the validation faces, {effect}")
    if len(labels) < MIN_VALID_FACES:
        lines.append(f"only {len(labels)} validation faces: the estimates are too uncertain to choose by")
    if absent := [name for name, share in zip(emotions, class_prior(labels, len(emotions)), strict=True) if not share]:
        lines.append(f"no validation face is labelled {', '.join(absent)}: all such pseudo-labels count as wrong")
    return lines


def format_comparison(rows: Iterable[Mapping[str, Any]], active: str) -> str:
    """Return a Markdown table of the results of `compare_policies`; the policy `active` is marked with a star."""

    def format_row(row: Mapping[str, Any]) -> list[str]:
        right = ""
        if "estimated_precision" in row:
            low, high = (100 * row["estimated_precision_interval"][end] for end in ("low", "high"))
            right = f"{row['estimated_precision']:.0%} ({low:.0f}–{high:.0f})"
        numbers = {"precision": ".0%", "balance": ".2f", "effective": ",.0f", "gain": "+,.0f"}
        truth, balance, effective, gain = (f"{row[key]:{form}}" if key in row else "" for key, form in numbers.items())
        name = row["policy"] + (" *" if row["policy"] == active else "")
        accepted, rarest = f"{row['accepted']:,} ({row['share']:.0%})", f"{row['rarest']} {row['rarest_accepted']:,}"
        return [cell or MISSING_TEXT for cell in (name, accepted, right, truth, balance, rarest, effective, gain)]

    header = ["policy", "accepted", "right", "truth", "balance", "rarest", "effective", "gain"]
    return markdown_table(header, map(format_row, rows))


def format_best(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a line on the first of the results, and on how many others may be worth as much."""
    best = rows[0]
    if best.get("gain", 0.0) <= 0:
        return "no policy is worth a label: train the teacher better, or label more faces"
    n_others = sum(row.get("gain_high", -np.inf) >= best["gain_low"] for row in rows[1:])
    return (
        f"{best['policy']} may be worth {best['gain']:,.0f} more labels ({best['gain_low']:,.0f} to "
        f"{best['gain_high']:,.0f}), at most; {n_others} others may be worth as much. "
        f"Choose with `fer policies --set {best['policy']}`"
    )


def policy_changes(options: PseudoLabel, text: str, alignment: str | None) -> dict[str, tuple[Any, Any]]:
    """Return the old and the new value of each key of params.yaml that changes, by its dotted key.

    Args:
        text: The name of a policy, or a text as from `format_policy`.
        alignment: None leaves it as it is.

    Raises:
        InputError: There is no such policy, it has no option, or the value is not allowed.
    """
    name, equals, number = text.partition("=")
    make_policy(name)
    changes: dict[str, tuple[Any, Any]] = {"policy": (options.policy, name)}
    if equals:
        option = main_option(name)
        if option is None:
            raise InputError(f"--set {text}: {name} has no parameter; write --set {name}")
        try:
            value = int(number) if number.isdecimal() else float(number)
        except ValueError as error:
            raise InputError(f"--set {text}: {number!r} is not a number; write --set {name}=NUMBER") from error
        make_policy(name, **{option: value})
        changes[f"policies.{name}.{option}"] = getattr(getattr(options.policies, name), option), value
    changes["alignment"] = options.alignment, alignment or options.alignment
    return {f"pseudo_label.{key}": (old, new) for key, (old, new) in changes.items() if old != new}
