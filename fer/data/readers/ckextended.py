"""CK+ as one CSV file of 48 x 48 faces in the format of FER-2013 (Kaggle's ckextended.csv).

It has 920 faces from the 593 sequences of CK+ (Lucey et al., 2010): the neutral frame of each sequence, and the peak
frame of each labelled one. Contempt is code 7. The subjects are not given.
"""

from collections.abc import Iterator
from itertools import islice

from fer.core.labels import EMOTIONS
from fer.data.media import folders
from fer.data.media.folders import File, Folder, Note
from fer.data.readers import fer2013_csv
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem
from fer.runtime.errors import InputError

LAYOUT = "ckextended.csv, or a fer2013.csv of at most 920 faces with a code 7"
LICENSE_TERMS = "for non-commercial research, by agreement with the owners of CK+; redistribution not allowed"

_FILE_NAME = "ckextended.csv"
_MAX_FACES = 920


def matches(root: Folder) -> bool:
    return _find_table(root) is not None


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    table = _find_table(root)
    if table is None:
        raise InputError(f"{root}: lacks {LAYOUT}; put it there")
    yield from fer2013_csv.read_fer2013_records(table, EMOTIONS)
    yield Note(f"{table.name} names no subjects, but its folds share them: test results are optimistic; prefer CK+")
    if table.name == _FILE_NAME and fer2013_csv.matches(root):
        yield Note(f"FER-2013 beside {_FILE_NAME} is not read; add it as a separate source")


def _find_table(root: Folder) -> File | None:
    if table := root.file(_FILE_NAME):
        return table
    table = root.file("fer2013.csv")
    return table if table and _is_ckplus(table) else None


def _is_ckplus(file: File) -> bool:
    codes = [line.partition(",")[0] for _, line in islice(folders.read_lines(file), 1, _MAX_FACES + 2)]
    return "7" in codes and len(codes) <= _MAX_FACES
