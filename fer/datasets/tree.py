"""Any folder of pictures, one face each, without labels.

A `truth.csv` at its root, columns file and emotion, tells what the faces show: to the audit of pseudo-labels alone.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from fer.datasets import Found, Note, Record, files
from fer.errors import InputError
from fer.labels import EMOTIONS, emotion_named

LAYOUT = f"pictures ({' '.join(files.PICTURES)}) at any depth, without labels"

_TRUTH = "truth.csv"


def recognises(root: Path) -> bool:
    return any(isinstance(item, tuple) for item in files.pictures(root))


def read(root: Path) -> Iterator[Found]:
    if emotions := [folder.name for folder in files.folders(root) if emotion_named(folder.name)]:
        yield Note(f"folders are named like emotions ({', '.join(emotions)}), but these faces are taken without labels")
    truth_file = files.below(root, _TRUTH)
    truth = _truth(truth_file) if truth_file.is_file() else {}
    for item in files.pictures(root, known=(_TRUTH,)):
        yield Record(*item, truth=truth.pop(item[0], None)) if isinstance(item, tuple) else item
    if truth:
        yield Note(f"{_TRUTH} names {len(truth)} files that are not there: {', '.join(sorted(truth)[:3])}")


def _truth(path: Path) -> dict[str, str | None]:
    """The emotion of each file, None where the cell is empty."""
    rows = files.lines(path)
    _, header = next(rows, (0, ""))
    if files.fields(header) != ["file", "emotion"]:
        raise InputError(f"{path}: line 1 must be file,emotion, but is {header[:100]!r}; write it so")
    truth: dict[str, str | None] = {}
    for number, line in rows:
        values = files.fields(line)
        if len(values) != 2:
            raise InputError(
                f"{path}: line {number} has {len(values)} values; allowed 2, file and emotion; quote commas in names"
            )
        file, word = PurePosixPath(values[0]).as_posix(), values[1]
        if word and emotion_named(word) is None:
            raise InputError(
                f"{path}: line {number}: {word[:40]!r} is no emotion; allowed {', '.join(EMOTIONS)}, or nothing"
            )
        if file in truth:
            raise InputError(f"{path}: line {number}: {file} is there twice; keep one")
        truth[file] = emotion_named(word)
    return truth
