"""What a reader finds -> faces, labels, the hidden truth and a report."""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from tqdm import tqdm

from fer.datasets import Dropped, Note, Record
from fer.datasets.detect import Reader, name_of
from fer.errors import InputError
from fer.faces import UndecodableError, decode, shrink
from fer.labels import EMOTIONS, FOLDS

NO_FOLD, NO_EMOTION = "none", "unlabelled"  # in the report; in the tables both are ""

_EXAMPLES = 3  # of each reason in the report
_TOLERANCE = 5.0  # grey levels; altered copies of FER-2013 in circulation are 13 off in the standard deviation


@dataclass(slots=True)
class _Pixels:
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

    @property
    def mean(self) -> float:
        return self.total / self.values

    @property
    def std(self) -> float:
        return math.sqrt(self.squares * self.values - self.total**2) / self.values


def ingest(
    source: str,
    reader: Reader,
    root: Path,
    size: int,
    max_dropped: float,
    append: Callable[[UInt8[np.ndarray, "size size"]], None],
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """The labels (id, emotion, fold, group), the truth (id, emotion) and the report; row i is the i-th face appended.

    Raises:
        InputError: no face is left, more than the share `max_dropped` can't be used, or an id occurs twice.
    """
    rows: dict[str, tuple[str, str, str, str]] = {}
    dropped: defaultdict[str, list[str]] = defaultdict(list)
    notes: list[str] = []
    pixels: defaultdict[str, _Pixels] = defaultdict(_Pixels)

    for item in tqdm(reader.read(root), desc=source, unit=" faces", disable=None):
        match item:
            case Note(text):
                notes.append(text)
            case Dropped(id, reason, detail):
                dropped[reason].append(f"{id}: {detail}")
            case Record():
                try:
                    face = decode(item.picture, size) if isinstance(item.picture, Path) else shrink(item.picture, size)
                except UndecodableError as error:
                    dropped[error.reason].append(f"{item.id}: {error.detail}")
                    continue
                if item.id in rows:
                    raise InputError(f"{root}: two faces have the id {item.id!r}; remove or rename one")
                rows[item.id] = (item.emotion or "", item.fold or "", item.group, item.truth or "")
                pixels[item.fold or NO_FOLD].add(face)
                pixels["all"].add(face)
                append(face)

    _check(root, len(rows), dropped, max_dropped)
    table = (
        pd.DataFrame.from_dict(rows, orient="index", columns=["emotion", "fold", "group", "truth"])
        .rename_axis("id")
        .reset_index()
    )
    whole = pixels.pop("all")
    expected = getattr(reader, "PIXELS", None)  # readers know it only of sources that circulate in altered copies
    report = {
        "source": source,
        "reader": name_of(reader),
        "faces": len(table),
        "emotions": _counts(table),
        "folds": {fold: pixels[fold].faces for fold in (*FOLDS, NO_FOLD) if fold in pixels},
        "mean": whole.mean,
        "std": whole.std,
        "pixels": {
            fold: {"mean": pixels[fold].mean, "std": pixels[fold].std} for fold in (*FOLDS, NO_FOLD) if fold in pixels
        },
        "dropped": {
            reason: {"count": len(those), "examples": those[:_EXAMPLES]} for reason, those in sorted(dropped.items())
        },
        "notes": [*notes, *_suspicions(pixels, expected)],
    }
    return (
        table[["id", "emotion", "fold", "group"]],
        table[["id", "truth"]].rename(columns={"truth": "emotion"}),
        report,
    )


def _counts(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Emotion -> fold -> faces, in the order of `labels`, without zeros."""
    sizes = table.groupby(["emotion", "fold"]).size().to_dict()
    counts: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for emotion in (*EMOTIONS, ""):
        for fold in (*FOLDS, ""):
            if (emotion, fold) in sizes:
                counts[emotion or NO_EMOTION][fold or NO_FOLD] = int(sizes[emotion, fold])
    return dict(counts)


def _check(root: Path, faces: int, dropped: Mapping[str, Sequence[str]], max_dropped: float) -> None:
    lost = sum(map(len, dropped.values()))
    if faces and lost <= max_dropped * (faces + lost):
        return
    reasons = "; ".join(f"{len(those)} {reason} (first: {those[0]})" for reason, those in sorted(dropped.items()))
    if not faces:
        raise InputError(
            f"{root}: no face left{f' of {lost}: {reasons}' if lost else ''}; compare it with the owner's files"
        )
    share = f"{lost} of {faces + lost} faces can't be used, allowed are {max_dropped:.1%}"
    raise InputError(f"{root}: {share}: {reasons}; repair the source, or raise ingest.max_dropped in params.yaml")


def _suspicions(pixels: Mapping[str, _Pixels], expected: tuple[float, float] | None) -> list[str]:
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


def _differ(found: _Pixels, mean: float, std: float) -> bool:
    """Beyond the tolerance and three standard errors, as if all pixels of a face were equal."""
    allowed = _TOLERANCE + 3 * max(found.std, std) / math.sqrt(found.faces)
    return abs(found.mean - mean) > allowed or abs(found.std - std) > allowed


def _in_words(pixels: _Pixels) -> str:
    return f"mean {pixels.mean:.1f}, std {pixels.std:.1f}"
