"""Rounds after round 0, each taught by the one before: as `params.yaml` writes them, and when one more is no use."""

from collections.abc import Mapping, Sequence
from typing import Any

from fer.params.edit import with_values

FIGURES = ("valid_accuracy", "valid_macro_f1")


def in_a_row(count: int) -> dict[str, Any]:
    """The content of `rounds` in `params.yaml` with `count` rounds after round 0."""
    later = list(range(1, count + 1))
    return {"predict": [0, *later], "retrain": later, "teacher": {str(round_): round_ - 1 for round_ in later}}


def with_rounds(text: str, count: int) -> str:
    """Return the text of a `params.yaml` with `count` rounds after round 0."""
    return with_values(text, {f"rounds.{key}": value for key, value in in_a_row(count).items()})


def best(accuracies: Sequence[float]) -> int:
    """The round with the highest accuracy, the first of equals; `accuracies` are those of rounds 0, 1, …"""
    return accuracies.index(max(accuracies))


def is_enough(accuracies: Sequence[float], patience: int) -> bool:
    """Whether the last `patience` rounds were all no better than one before them."""
    return len(accuracies) - 1 - best(accuracies) >= patience


def standings(summary: Mapping[str, Mapping[str, Any]], kept: int) -> list[str]:
    """A table of the rounds in `metrics/summary.json`: how many pseudo-labels they had, and their validation figures.

    What the summary tells of the test fold is not read: a choice made by it would flatter it.
    """
    lines = [f"{'round':>5}{'pseudo-labels':>16}{'validation accuracy':>22}{'macro F1':>11}"]
    for round_, told in summary.items():
        accepted = f"{told['pseudo_labels']:,}" if "pseudo_labels" in told else "–"
        accuracy, f1 = (f"{100 * told[figure]:.1f} %" for figure in FIGURES)
        mark = "  kept" if int(round_) == kept else ""
        lines.append(f"{round_:>5}{accepted:>16}{accuracy:>22}{f1:>11}{mark}")
    return lines
