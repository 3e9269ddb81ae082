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
from fer.core.store import appending
from fer.data.ingest.detect import Reader, name_of
from fer.data.ingest.extraction import extract
from fer.data.ingest.report import NO_EMOTION, NO_FOLD, LeftOut, Pixels, by_emotion, suspicions
from fer.data.media.folders import Folder
from fer.data.media.issues import Dropped, Note
from fer.data.readers.params import Ingest
from fer.data.readers.record import Record
from fer.runtime.errors import InputError

LABELS = ("id", "emotion", "votes", "raw", "by_rule", "fold", "group")

_BYTES_PER_LABEL = 80  # about what a face takes in labels.csv and truth.csv
_LARGE = 1e9  # bytes that a user would want to know of beforehand


def ingest(source: str, reader: Reader, root: Folder, rules: Ingest, out: Path) -> dict[str, Any]:
    """The report on a source, after its faces, labels and truth are written to the folder `out`.

    Row i of `labels.csv` (with the columns `LABELS`) and of `truth.csv` (id, emotion) is face i of `faces.npy`;
    `left_out.csv` (id, reason, detail) has every picture that gave no face.

    Raises:
        InputError: no face is left, or more than the share `rules.max_dropped` can't be used.
    """
    notes: list[str] = []
    pixels = defaultdict[str, Pixels](Pixels)
    counts = Counter[tuple[str, str]]()
    looked_at = with_a_face = 0

    def items() -> Iterator[Record | Dropped]:
        for item in reader.read(root, rules):
            if isinstance(item, Note):
                notes.append(item.text)
            else:
                yield item

    with ExitStack() as open_files:
        append = open_files.enter_context(appending(out / "faces.npy", rules.size))
        labels, truth, left_out_file = (
            open_files.enter_context((out / name).open("w", encoding="utf-8", newline=""))
            for name in ("labels.csv", "truth.csv", "left_out.csv")
        )
        label_rows, truth_rows = (csv.writer(file, lineterminator="\n") for file in (labels, truth))
        label_rows.writerow(LABELS)
        truth_rows.writerow(("id", "emotion"))
        left_out = LeftOut(left_out_file)
        total = announced(source, reader, root, rules, out)
        for looked in tqdm(extract(items(), rules), desc=source, total=total, unit=" pictures", disable=None):
            looked_at += looked.pictures
            with_a_face += looked.with_a_face
            for result in looked.results:
                if isinstance(result, Dropped):
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
    _check(root, faces, left_out, rules.max_dropped)
    whole = sum(pixels.values(), Pixels())
    expected = getattr(reader, "PIXELS", None)  # readers know it only of sources that circulate in altered copies
    folds = [fold for fold in (*FOLDS, NO_FOLD) if fold in pixels]
    return {
        "source": source,
        "reader": name_of(reader),
        "terms": reader.TERMS,
        "pictures": looked_at,
        "pictures_with_a_face": with_a_face,
        "faces": faces,
        "emotions": by_emotion(counts),
        "folds": {fold: pixels[fold].faces for fold in folds},
        "mean": whole.mean,
        "std": whole.std,
        "pixels": {fold: {"mean": pixels[fold].mean, "std": pixels[fold].std} for fold in folds},
        "dropped": left_out.report(defects=True),
        "left_out": left_out.report(defects=False),
        "notes": [*notes, *suspicions(pixels, expected)],
    }


def announced(source: str, reader: Reader, root: Folder, rules: Ingest, out: Path) -> int:
    """How many items `reader` has; says how much disk their faces will take where that is worth knowing.

    Raises:
        InputError: the disk is too small.
    """
    total = sum(not isinstance(item, Note) for item in reader.read(root, rules))
    needed = total * (rules.size**2 + _BYTES_PER_LABEL)
    free = shutil.disk_usage(out).free
    if needed > free:
        raise InputError(f"{out}: {total:,} faces need {needed / 1e9:.1f} GB of disk, but {free / 1e9:.1f} GB are free")
    if needed > _LARGE:
        print(f"{source}: {total:,} pictures; at one face each they will take {needed / 1e9:.1f} GB of disk")
    return total


def _check(root: Folder, faces: int, left_out: LeftOut, max_dropped: float) -> None:
    lost = sum(left_out.count[reason] for reason in left_out.defects)
    if faces and lost <= max_dropped * (faces + lost):
        return
    told = left_out.report(defects=True) | ({} if faces else left_out.report(defects=False))
    reasons = "; ".join(f"{found['count']} {reason} (first: {found['examples'][0]})" for reason, found in told.items())
    if not faces:
        every = left_out.count.total()
        raise InputError(
            f"{root}: no face left{f' of {every}: {reasons}' if every else ''}; compare it with the owner's files"
        )
    share = f"{lost} of {faces + lost} faces can't be used, allowed are {max_dropped:.1%}"
    raise InputError(f"{root}: {share}: {reasons}; repair the source, or raise ingest.max_dropped in params.yaml")
