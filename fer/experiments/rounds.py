"""Rounds after round 0, each taught by the one before: as `params.yaml` writes them, and when one more is no use."""

from collections.abc import Mapping, Sequence
from typing import Any

from fer.params.edit import with_values

VALID_METRICS = ("valid_accuracy", "valid_macro_f1")


def sequential_rounds(count: int) -> dict[str, Any]:
    """The content of `rounds` in `params.yaml` with `count` rounds after round 0."""
    later = list(range(1, count + 1))
    return {"predict": [0, *later], "retrain": later, "teacher": {str(round_): round_ - 1 for round_ in later}}


def replace_rounds(text: str, count: int) -> str:
    """Return the text of a `params.yaml` with `count` rounds after round 0."""
    return with_values(text, {f"rounds.{key}": value for key, value in sequential_rounds(count).items()})


def best_round(accuracies: Sequence[float]) -> int:
    """The round with the highest accuracy, the first of equals; `accuracies` are those of rounds 0, 1, …"""
    return accuracies.index(max(accuracies))


def should_stop(accuracies: Sequence[float], patience: int) -> bool:
    """Whether the last `patience` rounds were all no better than one before them."""
    return len(accuracies) - 1 - best_round(accuracies) >= patience


def format_rounds(summary: Mapping[str, Mapping[str, Any]], kept_round: int) -> list[str]:
    """A table of the rounds in `metrics/summary.json`: how many pseudo-labels they had, and their validation figures.

    What the summary tells of the test fold is not read: a choice made by it would flatter it.
    """
    lines = [f"{'round':>5}{'pseudo-labels':>16}{'validation accuracy':>22}{'macro F1':>11}"]
    for round_, told in summary.items():
        accepted = f"{told['pseudo_labels']:,}" if "pseudo_labels" in told else "–"
        accuracy, f1 = (f"{100 * told[figure]:.1f} %" for figure in VALID_METRICS)
        mark = "  kept" if int(round_) == kept_round else ""
        lines.append(f"{round_:>5}{accepted:>16}{accuracy:>22}{f1:>11}{mark}")
    return lines
