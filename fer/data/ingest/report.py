"""What came of a source: faces and pixels counted, what was left out, and signs that something is wrong with it."""

import csv
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TextIO

import numpy as np
from jaxtyping import UInt8

from fer.core.files import escape_formula
from fer.core.labels import EMOTIONS, FOLDS
from fer.data.media.issues import SkippedItem
from fer.runtime.errors import escape_unprintable

NO_FOLD, NO_EMOTION = "none", "unlabelled"  # in the report; in the tables both are ""

_EXAMPLES_PER_REASON = 3  # of each reason in the report
_PIXEL_TOLERANCE = 5.0  # grey levels; altered copies of FER-2013 in circulation are 13 off in the standard deviation


@dataclass(slots=True)
class PixelStatistics:
    """Sums over pixels, in whole numbers so that every machine finds the same mean."""

    n_faces: int = 0
    n_pixels: int = 0
    pixel_sum: int = 0
    squared_sum: int = 0

    def add(self, face: UInt8[np.ndarray, "size size"]) -> None:
        wide = face.ravel().astype(np.int64)
        self.n_faces += 1
        self.n_pixels += face.size
        self.pixel_sum += int(wide.sum())
        self.squared_sum += int(wide @ wide)

    def __add__(self, other: "PixelStatistics") -> "PixelStatistics":
        return PixelStatistics(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    @property
    def mean(self) -> float:
        return self.pixel_sum / self.n_pixels

    @property
    def std(self) -> float:
        return math.sqrt(self.squared_sum * self.n_pixels - self.pixel_sum**2) / self.n_pixels


class SkippedItemLog:
    """Pictures that are not used: each with its reason in a table, and counted by reason."""

    def __init__(self, file: TextIO):
        self._rows = csv.writer(file, lineterminator="\n")
        self._rows.writerow(("id", "reason", "detail"))
        self.counts = Counter[str]()
        self.examples = defaultdict[str, list[str]](list)
        self.defect_reasons = set[str]()

    def add(self, item: SkippedItem) -> None:
        self._rows.writerow((escape_formula(item.id), item.reason, escape_formula(item.detail)))
        self.counts[item.reason] += 1
        if item.is_defect:
            self.defect_reasons.add(item.reason)
        if len(self.examples[item.reason]) < _EXAMPLES_PER_REASON:
            self.examples[item.reason].append(f"{escape_unprintable(item.id)}: {escape_unprintable(item.detail)}")

    def summarize(self, defects: bool) -> dict[str, dict[str, Any]]:
        return {
            reason: {"count": self.counts[reason], "examples": self.examples[reason]}
            for reason in sorted(self.counts)
            if (reason in self.defect_reasons) == defects
        }


def group_by_emotion(counts: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    """Emotion -> fold -> faces, in the order of `labels`, without zeros."""
    return {
        emotion: of_folds
        for emotion in (*EMOTIONS, NO_EMOTION)
        if (of_folds := {fold: n for fold in (*FOLDS, NO_FOLD) if (n := counts.get((emotion, fold), 0))})
    }


def find_pixel_anomalies(pixels: Mapping[str, PixelStatistics], expected: tuple[float, float] | None) -> list[str]:
    """Signs that pictures were processed after their owner handed them out, above all not the same way in each fold."""
    folds = [fold for fold in FOLDS if fold in pixels]
    notes = []
    if expected and (altered := [fold for fold in folds if _differs_from_expected(pixels[fold], *expected)]):
        found = ", ".join(f"{fold} {_format_statistics(pixels[fold])}" for fold in altered)
        notes.append(f"pixels: {found}; the owner's have mean {expected[0]}, std {expected[1]}: an altered copy?")
    if apart := [
        fold for fold in folds[1:] if _differs_from_expected(pixels[fold], pixels[folds[0]].mean, pixels[folds[0]].std)
    ]:
        found = ", ".join(f"{fold} {_format_statistics(pixels[fold])}" for fold in (folds[0], *apart))
        notes.append(f"pixels: {found}: were the folds processed apart?")
    return notes


def _differs_from_expected(found: PixelStatistics, mean: float, std: float) -> bool:
    """Beyond the tolerance and three standard errors, as if all pixels of a face were equal."""
    allowed = _PIXEL_TOLERANCE + 3 * max(found.std, std) / math.sqrt(found.n_faces)
    return abs(found.mean - mean) > allowed or abs(found.std - std) > allowed


def _format_statistics(pixels: PixelStatistics) -> str:
    return f"mean {pixels.mean:.1f}, std {pixels.std:.1f}"


def format_ingest_report(report: Mapping[str, Any]) -> Iterator[str]:
    """What the report of a source says, line by line."""
    yield f"{report['source']}: {report['faces']:,} faces by {report['reader']}"
    if report["faces"] != report["pictures"]:
        share = report["pictures_with_a_face"] / max(report["pictures"], 1)
        yield f"{report['pictures_with_a_face']:,} of {report['pictures']:,} pictures have a face ({share:.1%})"
    for kind in ("dropped", "left_out"):
        for reason, found in report[kind].items():
            yield f"{found['count']:,} left out: {reason} (first: {found['examples'][0]})"
    yield from report["notes"]
