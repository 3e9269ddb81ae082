"""Ingestion of a source: its faces, labels, hidden truth and report, streamed so that memory does not grow."""

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
from fer.data.media.folders import Folder, Note, SkippedItem
from fer.data.readers.params import Ingest
from fer.data.readers.record import Record
from fer.runtime.errors import InputError

LABEL_COLUMNS = ("id", "emotion", "votes", "raw", "by_rule", "fold", "group")

_LABEL_BYTES_PER_FACE = 80  # approximate size of a face's rows in labels.csv and truth.csv
_LARGE_SOURCE_BYTES = 1e9  # from this size on, the disk space needed is announced


def ingest(source: str, reader: Reader, root: Folder, settings: Ingest, out: Path) -> dict[str, Any]:
    """Write the faces, labels and truth of a source to the folder `out` and return the report.

    Row i of `labels.csv` (with the columns `LABEL_COLUMNS`) and of `truth.csv` (id, emotion) is face i of `faces.npy`.
    `left_out.csv` (id, reason, detail) lists the items that gave no face.

    Raises:
        InputError: No face is left, a larger share than `settings.max_dropped` is defective, or the disk is too small.
    """
    notes: list[str] = []
    pixels = defaultdict[str, PixelStatistics](PixelStatistics)
    counts = Counter[tuple[str, str]]()
    n_images = n_with_face = 0

    def read_items() -> Iterator[Record | SkippedItem]:
        for item in reader.read(root, settings):
            if isinstance(item, Note):
                notes.append(item.text)
            else:
                yield item

    with ExitStack() as open_files:
        append = open_files.enter_context(open_face_writer(out / "faces.npy", settings.size))
        labels_file, truth_file, skipped_file = (
            open_files.enter_context((out / name).open("w", encoding="utf-8", newline=""))
            for name in ("labels.csv", "truth.csv", "left_out.csv")
        )
        label_rows, truth_rows = (csv.writer(file, lineterminator="\n") for file in (labels_file, truth_file))
        label_rows.writerow(LABEL_COLUMNS)
        truth_rows.writerow(("id", "emotion"))
        skipped = SkippedItemLog(skipped_file)
        total = sum(not isinstance(item, Note) for item in reader.read(root, settings))
        _check_disk_space(source, total, settings.size, out)
        results = extract_faces(read_items(), settings)
        for extraction in tqdm(results, desc=source, total=total, unit=" images", disable=None):
            n_images += extraction.n_images
            n_with_face += extraction.n_with_face
            for result in extraction.results:
                if isinstance(result, SkippedItem):
                    skipped.add(result)
                    continue
                face, record = result.pixels, result.record
                append(face)
                by_rule = "yes" if record.by_rule and record.emotion else ""
                label = (record.emotion or "", record.votes, record.raw, by_rule, record.fold or "", record.group)
                label_rows.writerow((record.id, *label))
                truth_rows.writerow((record.id, record.truth or ""))
                counts[record.emotion or NO_EMOTION, record.fold or NO_FOLD] += 1
                pixels[record.fold or NO_FOLD].add(face)

    n_faces = counts.total()
    _check_skipped_share(root, n_faces, skipped, settings.max_dropped)
    all_pixels = sum(pixels.values(), PixelStatistics())
    expected = getattr(reader, "PIXELS", None)  # known only for sources that circulate in altered copies
    folds = [fold for fold in (*FOLDS, NO_FOLD) if fold in pixels]
    return {
        "source": source,
        "reader": get_reader_name(reader),
        "terms": reader.LICENSE_TERMS,
        "pictures": n_images,
        "pictures_with_a_face": n_with_face,
        "faces": n_faces,
        "emotions": group_by_emotion(counts),
        "folds": {fold: pixels[fold].n_faces for fold in folds},
        "mean": all_pixels.mean,
        "std": all_pixels.std,
        "pixels": {fold: {"mean": pixels[fold].mean, "std": pixels[fold].std} for fold in folds},
        "dropped": skipped.summarize(defects=True),
        "left_out": skipped.summarize(defects=False),
        "notes": [*notes, *find_pixel_anomalies(pixels, expected)],
    }


def _check_disk_space(source: str, total: int, size: int, out: Path) -> None:
    """Print the disk space needed for a large source, and raise an InputError if it is not free."""
    needed = total * (size**2 + _LABEL_BYTES_PER_FACE)
    free = shutil.disk_usage(out).free
    if needed > free:
        raise InputError(
            f"{out}: {total:,} faces need {needed / 1e9:.1f} GB of disk, but {free / 1e9:.1f} GB are free; delete files"
        )
    if needed > _LARGE_SOURCE_BYTES:
        print(f"{source}: {total:,} images, which take {needed / 1e9:.1f} GB of disk at one face each")


def _check_skipped_share(root: Folder, n_faces: int, skipped: SkippedItemLog, max_dropped: float) -> None:
    n_defects = sum(skipped.counts[reason] for reason in skipped.defect_reasons)
    if n_faces and n_defects <= max_dropped * (n_faces + n_defects):
        return
    by_reason = skipped.summarize(defects=True) | ({} if n_faces else skipped.summarize(defects=False))
    reasons = "; ".join(
        f"{summary['count']} {reason} (first: {summary['examples'][0]})" for reason, summary in by_reason.items()
    )
    if not n_faces:
        n_skipped = skipped.counts.total()
        raise InputError(
            f"{root}: no face left{f' of {n_skipped}: {reasons}' if n_skipped else ''}; "
            "compare it with the owner's files"
        )
    share = f"{n_defects} of {n_faces + n_defects} faces can't be used, allowed are {max_dropped:.1%}"
    raise InputError(f"{root}: {share}: {reasons}; repair the source, or raise ingest.max_dropped in params.yaml")
