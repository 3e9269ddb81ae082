"""What a reader finds -> faces, labels, the hidden truth and a report; streamed, so that memory does not grow."""

import csv
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tqdm import tqdm

from fer.core.labels import FOLDS
from fer.core.store import open_face_writer
from fer.data.ingest.detect import Reader, get_reader_name
from fer.data.ingest.extraction import extract_faces
from fer.data.ingest.report import (
    NO_EMOTION,
    NO_FOLD,
    PixelStatistics,
    SkippedItemLog,
    find_pixel_anomalies,
    group_by_emotion,
)
from fer.data.media.folders import Folder
from fer.data.media.issues import Note, SkippedItem
from fer.data.readers.params import Ingest
from fer.data.readers.record import Record
from fer.runtime.errors import InputError

LABEL_COLUMNS = ("id", "emotion", "votes", "raw", "by_rule", "fold", "group")

_LABEL_BYTES_PER_FACE = 80  # about what a face takes in labels.csv and truth.csv
_LARGE_SOURCE_BYTES = 1e9  # bytes that a user would want to know of beforehand


def ingest(source: str, reader: Reader, root: Folder, settings: Ingest, out: Path) -> dict[str, Any]:
    """The report on a source, after its faces, labels and truth are written to the folder `out`.

    Row i of `labels.csv` (with the columns `LABELS`) and of `truth.csv` (id, emotion) is face i of `faces.npy`;
    `left_out.csv` (id, reason, detail) has every picture that gave no face.

    Raises:
        InputError: no face is left, or more than the share `rules.max_dropped` can't be used.
    """
    notes: list[str] = []
    pixels = defaultdict[str, PixelStatistics](PixelStatistics)
    counts = Counter[tuple[str, str]]()
    looked_at = with_a_face = 0

    def items() -> Iterator[Record | SkippedItem]:
        for item in reader.read(root, settings):
            if isinstance(item, Note):
                notes.append(item.text)
            else:
                yield item

    with ExitStack() as open_files:
        append = open_files.enter_context(open_face_writer(out / "faces.npy", settings.size))
        labels, truth, left_out_file = (
            open_files.enter_context((out / name).open("w", encoding="utf-8", newline=""))
            for name in ("labels.csv", "truth.csv", "left_out.csv")
        )
        label_rows, truth_rows = (csv.writer(file, lineterminator="\n") for file in (labels, truth))
        label_rows.writerow(LABEL_COLUMNS)
        truth_rows.writerow(("id", "emotion"))
        left_out = SkippedItemLog(left_out_file)
        total = count_items(source, reader, root, settings, out)
        for looked in tqdm(extract_faces(items(), settings), desc=source, total=total, unit=" pictures", disable=None):
            looked_at += looked.n_images
            with_a_face += looked.n_with_face
            for result in looked.results:
                if isinstance(result, SkippedItem):
                    left_out.add(result)
                    continue
                face, record = result.pixels, result.record
                append(face)
                by_rule = "yes" if record.by_rule and record.emotion else ""
                label = (record.emotion or "", record.votes, record.raw, by_rule, record.fold or "", record.group)
                label_rows.writerow((record.id, *label))
                truth_rows.writerow((record.id, record.truth or ""))
                counts[record.emotion or NO_EMOTION, record.fold or NO_FOLD] += 1
                pixels[record.fold or NO_FOLD].add(face)

    faces = counts.total()
    _check_skipped_share(root, faces, left_out, settings.max_dropped)
    whole = sum(pixels.values(), PixelStatistics())
    expected = getattr(reader, "PIXELS", None)  # readers know it only of sources that circulate in altered copies
    folds = [fold for fold in (*FOLDS, NO_FOLD) if fold in pixels]
    return {
        "source": source,
        "reader": get_reader_name(reader),
        "terms": reader.LICENSE_TERMS,
        "pictures": looked_at,
        "pictures_with_a_face": with_a_face,
        "faces": faces,
        "emotions": group_by_emotion(counts),
        "folds": {fold: pixels[fold].n_faces for fold in folds},
        "mean": whole.mean,
        "std": whole.std,
        "pixels": {fold: {"mean": pixels[fold].mean, "std": pixels[fold].std} for fold in folds},
        "dropped": left_out.summarize(defects=True),
        "left_out": left_out.summarize(defects=False),
        "notes": [*notes, *find_pixel_anomalies(pixels, expected)],
    }


def count_items(source: str, reader: Reader, root: Folder, settings: Ingest, out: Path) -> int:
    """How many items `reader` has; says how much disk their faces will take where that is worth knowing.

    Raises:
        InputError: the disk is too small.
    """
    total = sum(not isinstance(item, Note) for item in reader.read(root, settings))
    needed = total * (settings.size**2 + _LABEL_BYTES_PER_FACE)
    free = shutil.disk_usage(out).free
    if needed > free:
        raise InputError(f"{out}: {total:,} faces need {needed / 1e9:.1f} GB of disk, but {free / 1e9:.1f} GB are free")
    if needed > _LARGE_SOURCE_BYTES:
        print(f"{source}: {total:,} pictures; at one face each they will take {needed / 1e9:.1f} GB of disk")
    return total


def _check_skipped_share(root: Folder, faces: int, left_out: SkippedItemLog, max_dropped: float) -> None:
    lost = sum(left_out.counts[reason] for reason in left_out.defect_reasons)
    if faces and lost <= max_dropped * (faces + lost):
        return
    told = left_out.summarize(defects=True) | ({} if faces else left_out.summarize(defects=False))
    reasons = "; ".join(f"{found['count']} {reason} (first: {found['examples'][0]})" for reason, found in told.items())
    if not faces:
        every = left_out.counts.total()
        raise InputError(
            f"{root}: no face left{f' of {every}: {reasons}' if every else ''}; compare it with the owner's files"
        )
    share = f"{lost} of {faces + lost} faces can't be used, allowed are {max_dropped:.1%}"
    raise InputError(f"{root}: {share}: {reasons}; repair the source, or raise ingest.max_dropped in params.yaml")
