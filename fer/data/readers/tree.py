"""Any folder of unlabelled images with one face each.

A `truth.csv` at the root (columns file, emotion) gives true emotions, which only the audit of pseudo-labels uses. If
the images look like photos that contain faces, `photos` reads the folder unless `ingest.readers` names `tree`.
"""

from collections.abc import Iterator
from pathlib import PurePosixPath

from fer.core.labels import EMOTIONS, parse_emotion
from fer.data.media import folders
from fer.data.media.folders import File, Folder, Note
from fer.data.readers import photos
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record
from fer.runtime.errors import InputError

LAYOUT = f"unlabelled images ({' '.join(folders.IMAGE_SUFFIXES)}) of one face each, at any depth; see also photos"
LICENSE_TERMS = photos.LICENSE_TERMS

_TRUTH_FILE = "truth.csv"
_MAX_PARTS = 10  # folders such as train and test, in which the numbered folders may be


def matches(root: Folder) -> bool:
    return any(isinstance(item, File) for item in folders.walk_media(root))


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    if any(_has_numbered_folders(folder) for folder in (root, *root.folders()[:_MAX_PARTS])):
        yield Note(
            "folders are numbered, and nearly every source numbers emotions differently: these faces stay "
            "unlabelled; if they are AffectNet's, set the reader to affectnet_folders in ingest.readers"
        )
    table = root.file(_TRUTH_FILE)
    truth = _read_truth(table) if table else {}
    for item in folders.walk_media(root, ignored_ids=(_TRUTH_FILE,)):
        yield Record(item.id, item, truth=truth.pop(item.id, None)) if isinstance(item, File) else item
    if truth:
        yield Note(f"{_TRUTH_FILE} names {len(truth)} missing files: {', '.join(sorted(truth)[:3])}")


def _has_numbered_folders(folder: Folder) -> bool:
    """Tell whether the folders are numbered consecutively from 0 or 1, like classes."""
    names = {subfolder.name for subfolder in folder.folders()}
    return len(names) > 1 and any(names == {str(k) for k in range(start, start + len(names))} for start in (0, 1))


def _read_truth(table: File) -> dict[str, str | None]:
    """Return the emotion of each file, None for an empty cell."""
    rows = folders.read_lines(table)
    _, header = next(rows, (0, ""))
    if folders.split_csv_line(header) != ["file", "emotion"]:
        raise InputError(f"{table}: line 1 must be file,emotion, but is {header[:100]!r}; correct the header")
    truth: dict[str, str | None] = {}
    for number, line in rows:
        values = folders.split_csv_line(line)
        if len(values) != 2:
            raise InputError(
                f"{table}: line {number} has {len(values)} values, not 2 (file, emotion); quote names with commas"
            )
        file, word = PurePosixPath(values[0]).as_posix(), values[1]
        if word and parse_emotion(word) is None:
            raise InputError(
                f"{table}: line {number}: {word[:40]!r} is not an emotion; use {', '.join(EMOTIONS)} or nothing"
            )
        if file in truth:
            raise InputError(f"{table}: line {number}: {file} is listed twice; keep one line")
        truth[file] = parse_emotion(word)
    return truth
