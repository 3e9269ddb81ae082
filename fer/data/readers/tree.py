"""Any folder of pictures, one face each, without labels.

A `truth.csv` at its root, columns file and emotion, tells what the faces show: to the audit of pseudo-labels alone.
Where the pictures look like photographs with faces in them `photos` takes the folder, unless `ingest.readers` names
tree.
"""

from collections.abc import Iterator
from pathlib import PurePosixPath

from fer.core.labels import EMOTIONS, emotion_named
from fer.data.media import folders
from fer.data.media.folders import File, Folder
from fer.data.media.issues import Note
from fer.data.readers.params import Ingest
from fer.data.readers.photos import TERMS
from fer.data.readers.record import Found, Record
from fer.runtime.errors import InputError

__all__ = ["LAYOUT", "TERMS", "read", "recognises"]

LAYOUT = f"pictures ({' '.join(folders.PICTURES)}) at any depth, without labels, each a face; see photos"

_TRUTH = "truth.csv"
_PARTS = 10  # such as train and test, that may hold the numbered folders


def recognises(root: Folder) -> bool:
    return any(isinstance(item, File) for item in folders.pictures(root))


def read(root: Folder, rules: Ingest) -> Iterator[Found]:
    if any(_is_numbered(folder) for folder in (root, *root.folders()[:_PARTS])):
        yield Note(
            "folders are numbered, and numbers mean other emotions in nearly every source: these faces are taken "
            "without labels; if they are AffectNet's, name affectnet_folders in ingest.readers"
        )
    table = root.file(_TRUTH)
    truth = _truth(table) if table else {}
    for item in folders.pictures(root, known=(_TRUTH,)):
        yield Record(item.id, item, truth=truth.pop(item.id, None)) if isinstance(item, File) else item
    if truth:
        yield Note(f"{_TRUTH} names {len(truth)} files that are not there: {', '.join(sorted(truth)[:3])}")


def _is_numbered(folder: Folder) -> bool:
    """As classes are, from 0 or 1 on."""
    names = {inner.name for inner in folder.folders()}
    return len(names) > 1 and any(names == {str(k) for k in range(first, first + len(names))} for first in (0, 1))


def _truth(table: File) -> dict[str, str | None]:
    """The emotion of each file, None where the cell is empty."""
    rows = folders.lines(table)
    _, header = next(rows, (0, ""))
    if folders.fields(header) != ["file", "emotion"]:
        raise InputError(f"{table}: line 1 must be file,emotion, but is {header[:100]!r}; write it so")
    truth: dict[str, str | None] = {}
    for number, line in rows:
        values = folders.fields(line)
        if len(values) != 2:
            raise InputError(
                f"{table}: line {number} has {len(values)} values; allowed 2, file and emotion; quote commas in names"
            )
        file, word = PurePosixPath(values[0]).as_posix(), values[1]
        if word and emotion_named(word) is None:
            raise InputError(
                f"{table}: line {number}: {word[:40]!r} is no emotion; allowed {', '.join(EMOTIONS)}, or nothing"
            )
        if file in truth:
            raise InputError(f"{table}: line {number}: {file} is there twice; keep one")
        truth[file] = emotion_named(word)
    return truth
