"""What came of a source: faces and pixels counted, what was left out, and signs that something is wrong with it."""

import csv
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TextIO

import numpy as np
from jaxtyping import UInt8

from fer.core.files import guard
from fer.core.labels import EMOTIONS, FOLDS
from fer.data.media.issues import Dropped
from fer.runtime.errors import in_one_line

NO_FOLD, NO_EMOTION = "none", "unlabelled"  # in the report; in the tables both are ""

_EXAMPLES = 3  # of each reason in the report
_TOLERANCE = 5.0  # grey levels; altered copies of FER-2013 in circulation are 13 off in the standard deviation


@dataclass(slots=True)
class Pixels:
    """Sums over pixels, in whole numbers so that every machine finds the same mean."""

    faces: int = 0
    values: int = 0
    total: int = 0
    squares: int = 0

    def add(self, face: UInt8[np.ndarray, "size size"]) -> None:
        wide = face.ravel().astype(np.int64)
        self.faces += 1
        self.values += face.size
        self.total += int(wide.sum())
        self.squares += int(wide @ wide)

    def __add__(self, other: "Pixels") -> "Pixels":
        return Pixels(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    @property
    def mean(self) -> float:
        return self.total / self.values

    @property
    def std(self) -> float:
        return math.sqrt(self.squares * self.values - self.total**2) / self.values


class LeftOut:
    """Pictures that are not used: each with its reason in a table, and counted by reason."""

    def __init__(self, file: TextIO):
        self._rows = csv.writer(file, lineterminator="\n")
        self._rows.writerow(("id", "reason", "detail"))
        self.count = Counter[str]()
        self.examples = defaultdict[str, list[str]](list)
        self.defects = set[str]()

    def add(self, dropped: Dropped) -> None:
        self._rows.writerow((guard(dropped.id), dropped.reason, guard(dropped.detail)))
        self.count[dropped.reason] += 1
        if dropped.defect:
            self.defects.add(dropped.reason)
        if len(self.examples[dropped.reason]) < _EXAMPLES:
            self.examples[dropped.reason].append(f"{in_one_line(dropped.id)}: {in_one_line(dropped.detail)}")

    def report(self, defects: bool) -> dict[str, dict[str, Any]]:
        return {
            reason: {"count": self.count[reason], "examples": self.examples[reason]}
            for reason in sorted(self.count)
            if (reason in self.defects) == defects
        }


def by_emotion(counts: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    """Emotion -> fold -> faces, in the order of `labels`, without zeros."""
    return {
        emotion: of_folds
        for emotion in (*EMOTIONS, NO_EMOTION)
        if (of_folds := {fold: n for fold in (*FOLDS, NO_FOLD) if (n := counts.get((emotion, fold), 0))})
    }


def suspicions(pixels: Mapping[str, Pixels], expected: tuple[float, float] | None) -> list[str]:
    """Signs that pictures were processed after their owner handed them out, above all not the same way in each fold."""
    folds = [fold for fold in FOLDS if fold in pixels]
    notes = []
    if expected and (altered := [fold for fold in folds if _differ(pixels[fold], *expected)]):
        found = ", ".join(f"{fold} {_in_words(pixels[fold])}" for fold in altered)
        notes.append(f"pixels: {found}; the owner's have mean {expected[0]}, std {expected[1]}: an altered copy?")
    if apart := [fold for fold in folds[1:] if _differ(pixels[fold], pixels[folds[0]].mean, pixels[folds[0]].std)]:
        found = ", ".join(f"{fold} {_in_words(pixels[fold])}" for fold in (folds[0], *apart))
        notes.append(f"pixels: {found}: were the folds processed apart?")
    return notes


def _differ(found: Pixels, mean: float, std: float) -> bool:
    """Beyond the tolerance and three standard errors, as if all pixels of a face were equal."""
    allowed = _TOLERANCE + 3 * max(found.std, std) / math.sqrt(found.faces)
    return abs(found.mean - mean) > allowed or abs(found.std - std) > allowed


def _in_words(pixels: Pixels) -> str:
    return f"mean {pixels.mean:.1f}, std {pixels.std:.1f}"


def in_words(report: Mapping[str, Any]) -> Iterator[str]:
    """What the report of a source says, line by line."""
    yield f"{report['source']}: {report['faces']:,} faces by {report['reader']}"
    if report["faces"] != report["pictures"]:
        share = report["pictures_with_a_face"] / max(report["pictures"], 1)
        yield f"{report['pictures_with_a_face']:,} of {report['pictures']:,} pictures have a face ({share:.1%})"
    for kind in ("dropped", "left_out"):
        for reason, found in report[kind].items():
            yield f"{found['count']:,} left out: {reason} (first: {found['examples'][0]})"
    yield from report["notes"]
