"""FER-2013 as one or two CSV files in which each row is a face of 48 x 48 pixel values.

The files differ in the order of their columns and in blanks before column names, so columns are found by name. As in
the challenge (Goodfellow et al., 2013), the usage Training is the train fold, PublicTest valid and PrivateTest test.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence

from fer.data.media import folders
from fer.data.media.folders import File, Folder, Note, SkippedItem
from fer.data.readers.params import Ingest
from fer.data.readers.record import PixelText, ReaderItem, Record, skip_unknown_label
from fer.runtime.errors import InputError

LAYOUT = "fer2013.csv, icml_face_data.csv, or train.csv and test.csv with a column `pixels`"
LICENSE_TERMS = "for research, under the rules of its Kaggle challenge; no licence, redistribution not allowed"
PIXELS = (129.4, 65.0)  # mean and standard deviation of the original; a copy with other values was altered

FER2013_EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
FER2013_FOLDS = {"Training": "train", "PublicTest": "valid", "PrivateTest": "test"}
FER2013_SIDE_PX = 48

# Files with the same faces, the best first: train.csv and test.csv have no usage, test.csv has no emotions.
_EDITIONS = (("fer2013.csv",), ("fer2013/fer2013.csv",), ("icml_face_data.csv",), ("train.csv", "test.csv"))
_REQUIRED_COLUMNS = {"train.csv": ("emotion", "pixels"), "test.csv": ("pixels",)}
_MD5 = {
    "fer2013.csv": "f8428a1edbd21e88f42c73edd2a14f95",
    "icml_face_data.csv": "b114b9e04e6949e5fe8b6a98b3892b1d",
    "train.csv": "3f0dfb3d3fd99c811a1299cb947e3131",
    "test.csv": "b02c2298636a634e8c2faabbf3ea9a23",
}


def matches(root: Folder) -> bool:
    return bool(_find_editions(root))


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    best, *duplicates = _find_editions(root)
    for file in best:
        yield from read_fer2013_records(file, FER2013_EMOTIONS)
        with file.open() as content:
            md5 = hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        origin = "the owner's original file" if md5 == _MD5[file.name] else "not the owner's original file"
        yield Note(f"{file.name} is {origin} (MD5 {md5})")
    for edition in duplicates:
        names = " and ".join(file.id for file in edition)
        yield Note(f"{names} not read: {' and '.join(file.name for file in best)} should have the same faces")


def read_fer2013_records(file: File, emotions: Sequence[str]) -> Iterator[Record | SkippedItem]:
    """Yield each row as a face; `emotions` are in the order of their codes."""
    emotion_of = {str(code): emotion for code, emotion in enumerate(emotions)}
    fold = "test" if file.name == "test.csv" else "train"  # for labelled faces without usage
    for id, row in read_csv_rows(file, _REQUIRED_COLUMNS.get(file.name, ("emotion", "pixels", "usage"))):
        yield row if isinstance(row, SkippedItem) else _make_record(id, row, emotion_of, fold)


def read_csv_rows(file: File, required_columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str] | SkippedItem]]:
    """Yield the id of each row and its values by column name, in the order of the file.

    Raises:
        InputError: Line 1 does not name each of `required_columns` exactly once.
    """
    columns = _read_columns(file)
    if missing := [name for name in required_columns if columns.count(name) != 1]:
        header = ", ".join(columns)[:200] or "nothing"
        raise InputError(
            f"{file}: line 1 must name {' and '.join(missing)} once, but is {header}; restore the owner's file"
        )
    lines = folders.read_lines(file)
    next(lines)
    for number, line in lines:
        id = f"{file.name}:{number}"
        values = folders.split_csv_line(line)
        if len(values) == len(columns):
            yield id, dict(zip(columns, values, strict=True))
        else:
            yield id, SkippedItem(id, "number of columns", f"{len(values)}; allowed {len(columns)} as in line 1")


def _find_editions(root: Folder) -> list[list[File]]:
    """Return the files of each edition that is present."""

    def holds_faces(file: File) -> bool:
        # Many datasets have a train.csv and a test.csv, so these must also have the column.
        return file.name not in _REQUIRED_COLUMNS or "pixels" in _read_columns(file)

    editions = ([file for name in names if (file := root.file(name)) and holds_faces(file)] for names in _EDITIONS)
    return [edition for edition in editions if edition]


def _read_columns(file: File) -> list[str]:
    _, header = next(folders.read_lines(file), (0, ""))
    return [name.casefold() for name in folders.split_csv_line(header)] if header else []


def _make_record(id: str, row: Mapping[str, str], emotion_of: Mapping[str, str], fold: str) -> Record | SkippedItem:
    emotion = None
    if "emotion" in row:
        if row["emotion"] not in emotion_of:
            return skip_unknown_label(id, row["emotion"], emotion_of)
        emotion = emotion_of[row["emotion"]]
    if "usage" in row:
        if row["usage"] not in FER2013_FOLDS:
            return SkippedItem(id, "unknown usage", f"{row['usage'][:20]!r}; allowed {', '.join(FER2013_FOLDS)}")
        fold = FER2013_FOLDS[row["usage"]]
    return Record(id, PixelText(row["pixels"], FER2013_SIDE_PX), emotion, fold if emotion else None)
