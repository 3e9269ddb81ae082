"""The report on a source: counts of faces and skipped items, pixel statistics, and signs of altered images."""

import csv
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, TextIO

import numpy as np

from fer.core.files import escape_formula
from fer.core.labels import EMOTIONS, FOLDS
from fer.data.ingest.detect import Reader
from fer.data.media.folders import VIDEO_SUFFIXES, File, Folder, SkippedItem, read_image_bytes
from fer.data.media.images import FaceCrop, UndecodableError, read_image_size
from fer.data.readers.params import Ingest
from fer.data.readers.record import PixelText, Record
from fer.runtime.errors import escape_unprintable

NO_FOLD, NO_EMOTION = "none", "unlabelled"  # in the report; in the tables both are ""

_EXAMPLES_PER_REASON = 3
_SIZED_IMAGES = 20
_PIXEL_TOLERANCE = 5.0  # grey levels; altered copies of FER-2013 differ by 13 in the standard deviation


@dataclass(slots=True)
class PixelStatistics:
    """Sums over pixels, as integers so that every machine computes the same mean."""

    n_faces: int = 0
    n_pixels: int = 0
    pixel_sum: int = 0
    squared_sum: int = 0

    def add(self, face: FaceCrop) -> None:
        values = face.ravel().astype(np.int64)
        self.n_faces += 1
        self.n_pixels += face.size
        self.pixel_sum += int(values.sum())
        self.squared_sum += int(values @ values)

    def __add__(self, addend: "PixelStatistics") -> "PixelStatistics":
        return PixelStatistics(*(getattr(self, name) + getattr(addend, name) for name in self.__slots__))

    @property
    def mean(self) -> float:
        return self.pixel_sum / self.n_pixels

    @property
    def std(self) -> float:
        return math.sqrt(self.squared_sum * self.n_pixels - self.pixel_sum**2) / self.n_pixels


class SkippedItemLog:
    """A table of the skipped items with their reasons, and the counts by reason."""

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
    """Return the counts as emotion -> fold -> faces, in the order of `EMOTIONS` and `FOLDS`, without zeros."""
    return {
        emotion: by_fold
        for emotion in (*EMOTIONS, NO_EMOTION)
        if (by_fold := {fold: n for fold in (*FOLDS, NO_FOLD) if (n := counts.get((emotion, fold), 0))})
    }


def find_pixel_anomalies(pixels: Mapping[str, PixelStatistics], expected: tuple[float, float] | None) -> list[str]:
    """Return notes on images that were processed after publication, above all differently in each fold.

    `pixels` has the statistics of each fold, `expected` the mean and standard deviation of the owner's images if known.
    """

    def describe(folds: Sequence[str]) -> str:
        return "; ".join(f"{fold} mean {pixels[fold].mean:.1f}, std {pixels[fold].std:.1f}" for fold in folds)

    folds = [fold for fold in FOLDS if fold in pixels]
    notes = []
    if expected and (altered := [fold for fold in folds if _differs_from_expected(pixels[fold], *expected)]):
        notes.append(
            f"pixel statistics ({describe(altered)}) differ from the owner's (mean {expected[0]}, std {expected[1]}); "
            "the copy may have been altered"
        )
    if deviating := [
        fold for fold in folds[1:] if _differs_from_expected(pixels[fold], pixels[folds[0]].mean, pixels[folds[0]].std)
    ]:
        notes.append(
            f"pixel statistics differ between folds ({describe([folds[0], *deviating])}); "
            "they may have been preprocessed differently"
        )
    return notes


def _differs_from_expected(pixels: PixelStatistics, mean: float, std: float) -> bool:
    """Return whether the statistics differ by more than the tolerance and three standard errors (an upper bound)."""
    tolerance = _PIXEL_TOLERANCE + 3 * max(pixels.std, std) / math.sqrt(pixels.n_faces)
    return abs(pixels.mean - mean) > tolerance or abs(pixels.std - std) > tolerance


def format_native_sizes(reader: Reader, root: Folder, settings: Ingest) -> str:
    """Return the range of the original sizes of the first images, in words."""
    sizes = set()
    records = (item for item in reader.read(root, settings) if isinstance(item, Record))
    for record in islice(records, _SIZED_IMAGES):
        if isinstance(record.image, PixelText):
            sizes.add((record.image.side, record.image.side))
        elif isinstance(record.image, File) and record.image.suffix not in VIDEO_SUFFIXES:
            with suppress(UndecodableError):  # the report already counts damaged images
                sizes.add(read_image_size(read_image_bytes(record.image)))
    if not sizes:
        return "sizes unknown"
    (min_width, min_height), (max_width, max_height) = min(sizes), max(sizes)
    smallest = f"{min_width} x {min_height}"
    return f"{smallest} pixels" if len(sizes) == 1 else f"{smallest} to {max_width} x {max_height} pixels"


def format_ingest_report(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines that the stage prints about a source."""
    yield f"{report['source']}: {report['faces']:,} faces by {report['reader']}"
    if report["faces"] != report["pictures"]:
        share = report["pictures_with_a_face"] / max(report["pictures"], 1)
        yield f"{report['pictures_with_a_face']:,} of {report['pictures']:,} images have a face ({share:.1%})"
    for kind in ("dropped", "left_out"):
        for reason, summary in report[kind].items():
            yield f"{summary['count']:,} left out: {reason} (first: {summary['examples'][0]})"
    yield from report["notes"]
