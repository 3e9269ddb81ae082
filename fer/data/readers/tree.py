"""Any folder of pictures, one face each, without labels.

A `truth.csv` at its root, columns file and emotion, tells what the faces show: to the audit of pseudo-labels alone.
Where the pictures look like photographs with faces in them `photos` takes the folder, unless `ingest.readers` names
tree.
"""

from collections.abc import Iterator
from pathlib import PurePosixPath

from fer.core.labels import EMOTIONS, parse_emotion
from fer.data.media import folders
from fer.data.media.folders import File, Folder
from fer.data.media.issues import Note
from fer.data.readers.params import Ingest
from fer.data.readers.photos import LICENSE_TERMS
from fer.data.readers.record import ReaderItem, Record
from fer.runtime.errors import InputError

__all__ = ["LAYOUT", "LICENSE_TERMS", "matches", "read"]

LAYOUT = f"pictures ({' '.join(folders.IMAGE_SUFFIXES)}) at any depth, without labels, each a face; see photos"

_TRUTH_FILE = "truth.csv"
_MAX_PARTS = 10  # such as train and test, that may hold the numbered folders


def matches(root: Folder) -> bool:
    return any(isinstance(item, File) for item in folders.walk_media(root))


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    if any(_has_numbered_folders(folder) for folder in (root, *root.folders()[:_MAX_PARTS])):
        yield Note(
            "folders are numbered, and numbers mean other emotions in nearly every source: these faces are taken "
            "without labels; if they are AffectNet's, name affectnet_folders in ingest.readers"
        )
    table = root.file(_TRUTH_FILE)
    truth = _read_truth(table) if table else {}
    for item in folders.walk_media(root, ignored_ids=(_TRUTH_FILE,)):
        yield Record(item.id, item, truth=truth.pop(item.id, None)) if isinstance(item, File) else item
    if truth:
        yield Note(f"{_TRUTH_FILE} names {len(truth)} files that are not there: {', '.join(sorted(truth)[:3])}")


def _has_numbered_folders(folder: Folder) -> bool:
    """As classes are, from 0 or 1 on."""
    names = {inner.name for inner in folder.folders()}
    return len(names) > 1 and any(names == {str(k) for k in range(first, first + len(names))} for first in (0, 1))


def _read_truth(table: File) -> dict[str, str | None]:
    """The emotion of each file, None where the cell is empty."""
    rows = folders.read_lines(table)
    _, header = next(rows, (0, ""))
    if folders.split_csv_line(header) != ["file", "emotion"]:
        raise InputError(f"{table}: line 1 must be file,emotion, but is {header[:100]!r}; write it so")
    truth: dict[str, str | None] = {}
    for number, line in rows:
        values = folders.split_csv_line(line)
        if len(values) != 2:
            raise InputError(
                f"{table}: line {number} has {len(values)} values; allowed 2, file and emotion; quote commas in names"
            )
        file, word = PurePosixPath(values[0]).as_posix(), values[1]
        if word and parse_emotion(word) is None:
            raise InputError(
                f"{table}: line {number}: {word[:40]!r} is no emotion; allowed {', '.join(EMOTIONS)}, or nothing"
            )
        if file in truth:
            raise InputError(f"{table}: line {number}: {file} is there twice; keep one")
        truth[file] = parse_emotion(word)
    return truth
