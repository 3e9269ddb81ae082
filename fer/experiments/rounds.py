"""Sequences of rounds, in which each round is the teacher of the next: their params, and the best number of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from fer.params.edit import with_values

VALID_METRICS = ("valid_accuracy", "valid_macro_f1")


def sequential_rounds(count: int) -> dict[str, Any]:
    """Return the section `rounds` of `params.yaml` with `count` rounds after round 0."""
    retrain = list(range(1, count + 1))
    return {"predict": [0, *retrain], "retrain": retrain, "teacher": {str(round_): round_ - 1 for round_ in retrain}}


def replace_rounds(text: str, count: int) -> str:
    """Return the text of a `params.yaml` with `count` rounds after round 0."""
    return with_values(text, {f"rounds.{key}": value for key, value in sequential_rounds(count).items()})


def best_round(accuracies: Sequence[float]) -> int:
    """Return the first round with the highest accuracy; `accuracies` begin with round 0."""
    return accuracies.index(max(accuracies))


def should_stop(accuracies: Sequence[float], patience: int) -> bool:
    """Return whether none of the last `patience` rounds is better than the best round before them."""
    return len(accuracies) - 1 - best_round(accuracies) >= patience


def format_rounds(summary: Mapping[str, Mapping[str, Any]], kept_round: int) -> list[str]:
    """Return the lines of a table of `metrics/summary.json`: pseudo-labels and validation metrics of each round.

    The test metrics are left out: a choice made by them would make them optimistic.
    """
    lines = [f"{'round':>5}{'pseudo-labels':>16}{'validation accuracy':>22}{'macro F1':>11}"]
    for round_, metrics in summary.items():
        accepted = f"{metrics['pseudo_labels']:,}" if "pseudo_labels" in metrics else "–"
        accuracy, f1 = (f"{100 * metrics[name]:.1f} %" for name in VALID_METRICS)
        mark = "  kept" if int(round_) == kept_round else ""
        lines.append(f"{round_:>5}{accepted:>16}{accuracy:>22}{f1:>11}{mark}")
    return lines
