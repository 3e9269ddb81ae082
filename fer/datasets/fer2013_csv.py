"""FER-2013 as one or two CSV files, each row a face of 48 x 48 numbers.

The files differ in the order of their columns and in blanks before names, so columns are found by name. As in the
challenge (Goodfellow et al., 2013), usage Training is the training fold, PublicTest validation and PrivateTest test.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fer.datasets import Dropped, Found, Note, Record, files
from fer.errors import InputError

LAYOUT = "fer2013.csv, icml_face_data.csv, or train.csv and test.csv with a column `pixels`"
PIXELS = (129.4, 65.0)  # mean and standard deviation of the owner's pixels; a copy with others was processed

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
FOLDS = {"Training": "train", "PublicTest": "valid", "PrivateTest": "test"}

# The same faces in different files, the best first: train.csv and test.csv have no usage, test.csv no emotions.
_EDITIONS = (("fer2013.csv",), ("fer2013/fer2013.csv",), ("icml_face_data.csv",), ("train.csv", "test.csv"))
_NEEDED = {"train.csv": ("emotion", "pixels"), "test.csv": ("pixels",)}
_MD5 = {
    "fer2013.csv": "f8428a1edbd21e88f42c73edd2a14f95",
    "icml_face_data.csv": "b114b9e04e6949e5fe8b6a98b3892b1d",
    "train.csv": "3f0dfb3d3fd99c811a1299cb947e3131",
    "test.csv": "b02c2298636a634e8c2faabbf3ea9a23",
}
_SIDE = 48
_VALUE = {str(value): value for value in range(256)}


def recognises(root: Path) -> bool:
    return bool(_editions(root))


def read(root: Path) -> Iterator[Found]:
    chosen, *others = _editions(root)
    for path in chosen:
        yield from _faces(path)
        with path.open("rb") as file:
            md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        owners = "the owner's file" if md5 == _MD5[path.name] else "not the owner's file as it was first handed out"
        yield Note(f"{path.name} is {owners} (MD5 {md5})")
    for edition in others:
        names = " and ".join(path.relative_to(root).as_posix() for path in edition)
        yield Note(f"{names} left out: {' and '.join(path.name for path in chosen)} should hold the same faces")


def _editions(root: Path) -> list[list[Path]]:
    """The files of each edition that is there."""
    editions = ([path for name in names if _holds_faces(path := files.below(root, name))] for names in _EDITIONS)
    return [edition for edition in editions if edition]


def _holds_faces(path: Path) -> bool:
    # train.csv and test.csv are everybody's names, so these must also have the column.
    return path.is_file() and (path.name not in _NEEDED or "pixels" in _columns(path))


def _columns(path: Path) -> list[str]:
    _, header = next(files.lines(path), (0, ""))
    return [name.casefold() for name in files.fields(header)] if header else []


def _faces(path: Path) -> Iterator[Found]:
    columns = _columns(path)
    needed = _NEEDED.get(path.name, ("emotion", "pixels", "usage"))
    if missing := [name for name in needed if columns.count(name) != 1]:
        found = ", ".join(columns)[:200] or "nothing"
        raise InputError(
            f"{path}: line 1 must name {' and '.join(missing)} once, but has: {found}; restore the owner's file"
        )
    place = {name: columns.index(name) for name in ("emotion", "pixels", "usage") if name in columns}
    fold = "test" if path.name == "test.csv" else "train"
    rows = files.lines(path)
    next(rows)
    for number, line in rows:
        id = f"{path.name}:{number}"
        values = files.fields(line)
        if len(values) == len(columns):
            yield _face(id, {name: values[column] for name, column in place.items()}, fold)
        else:
            yield Dropped(id, "number of columns", f"{len(values)}; allowed {len(columns)} as in line 1")


def _face(id: str, row: dict[str, str], fold: str) -> Record | Dropped:
    """`fold` is that of a labelled face without usage."""
    emotion = None
    if "emotion" in row:
        label = row["emotion"]
        if label not in _VALUE or _VALUE[label] >= len(EMOTIONS):
            codes = ", ".join(f"{code} {name}" for code, name in enumerate(EMOTIONS))
            return Dropped(id, "unknown label", f"{label[:20]!r}; allowed {codes}")
        emotion = EMOTIONS[_VALUE[label]]
    if "usage" in row:
        if row["usage"] not in FOLDS:
            return Dropped(id, "unknown usage", f"{row['usage'][:20]!r}; allowed {', '.join(FOLDS)}")
        fold = FOLDS[row["usage"]]
    try:
        pixels = bytes(map(_VALUE.__getitem__, row["pixels"].split()))
    except KeyError as error:
        return Dropped(id, "pixel value", f"{error.args[0][:20]!r}; allowed 0..255")
    if len(pixels) != _SIDE * _SIDE:
        return Dropped(id, "number of pixels", f"{len(pixels)}; allowed {_SIDE * _SIDE}")
    face = np.frombuffer(pixels, dtype=np.uint8).reshape(_SIDE, _SIDE)
    return Record(id, face, emotion, fold if emotion else None)
