"""AffectNet as its owners handed it out in 2017 (Mollahosseini, Hasani and Mahoor, 2019).

`training.csv` and `validation.csv`, each with or without a line of names, list the pictures. These are cut-out faces,
so that the box is not used: published programs disagree on what it means. No test part was handed out. Labels that a
network gave, those of `automatically_annotated.csv`, are read only where there are no others, and then only for
training.
"""

from collections.abc import Iterator
from itertools import chain

from fer.data.media import folders
from fer.data.media.folders import File, Folder
from fer.data.media.issues import Note, SkippedItem
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record
from fer.runtime.errors import InputError

LAYOUT = "Manually_Annotated_file_lists/training.csv and validation.csv with Manually_Annotated_Images/"
LICENSE_TERMS = "for non-commercial research, by agreement with the owner; may not be passed on"
AFFECTNET_EMOTIONS = {
    "0": "neutral",
    "1": "happy",
    "2": "sad",
    "3": "surprise",
    "4": "fear",
    "5": "disgust",
    "6": "angry",
    "7": "contempt",
}
AFFECTNET_NO_EMOTION = {"8": "none of the eight", "9": "uncertain", "10": "no face"}

_MANUAL, _AUTOMATIC = "Manually_Annotated", "Automatically_Annotated"
_LISTS = {  # validation first: a picture that both lists name is held out
    _MANUAL: {"validation.csv": "valid", "training.csv": "train"},
    _AUTOMATIC: {"automatically_annotated.csv": "train"},
}
_HEADER = "subdirectory_filepath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
_PATH_COLUMN, _EMOTION_COLUMN = "subdirectory_filepath", "expression"


def matches(root: Folder) -> bool:
    return any(_find_lists(root, kind) for kind in _LISTS)


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    kind = _MANUAL if _find_lists(root, _MANUAL) else _AUTOMATIC
    if kind == _MANUAL and _find_lists(root, _AUTOMATIC):
        yield Note(f"{_AUTOMATIC}_Images/ is left out: its labels come from a network")
    images = root.inner_folder(f"{kind}_Images")
    if images is None:
        raise InputError(f"{root}: no {kind}_Images beside {kind}_file_lists; unpack the owner's archives there")
    labels: dict[str, tuple[str, str]] = {}  # of a picture its fold and number
    contradictory = set()
    for table, fold in _find_lists(root, kind):
        for row in _read_rows(table):
            if isinstance(row, SkippedItem):
                yield row
                continue
            where, path, code = row
            if path not in labels:
                labels[path] = fold, code
            elif labels[path][1] == code:
                yield SkippedItem(where, "named twice", path[:80])
            else:
                contradictory.add(path)
                yield SkippedItem(
                    where, "contradictory labels", f"{path[:80]}: {labels[path][1][:20]!r} and {code[:20]!r}"
                )
    for item in folders.walk_media(images):
        if not isinstance(item, File):
            yield item
            continue
        path = item.id.removeprefix(f"{images.id}/")
        if path not in labels:
            yield SkippedItem(item.id, "without label", f"not in {kind}_file_lists")
            continue
        fold, code = labels.pop(path)
        if path in contradictory:
            yield SkippedItem(item.id, "contradictory labels", "the lists give it several")
        else:
            yield make_affectnet_record(item, code, fold, by_rule=kind == _AUTOMATIC)
    for path, (_, code) in labels.items():
        id = f"{images.id}/{path[:80]}"
        yield (
            _skip_without_emotion(id, code)
            if code in AFFECTNET_NO_EMOTION
            else SkippedItem(id, "missing picture", "listed, but not there")
        )


def make_affectnet_record(file: File, code: str, fold: str, by_rule: bool = False) -> Record | SkippedItem:
    """The face with the emotion of the owner's number; dropped where the number stands for none."""
    if code in AFFECTNET_NO_EMOTION:
        return _skip_without_emotion(file.id, code)
    if code not in AFFECTNET_EMOTIONS:
        allowed = ", ".join(f"{number} {name}" for number, name in (AFFECTNET_EMOTIONS | AFFECTNET_NO_EMOTION).items())
        return SkippedItem(file.id, "unknown label", f"{code[:20]!r}; allowed {allowed}")
    return Record(file.id, file, AFFECTNET_EMOTIONS[code], fold, by_rule=by_rule)


def _skip_without_emotion(id: str, code: str) -> SkippedItem:
    return SkippedItem(id, "no single emotion", f"label {code}, {AFFECTNET_NO_EMOTION[code]}", is_defect=False)


def _find_lists(root: Folder, kind: str) -> list[tuple[File, str]]:
    """The lists that are there, each with its fold."""
    folder = root.inner_folder(f"{kind}_file_lists")
    found = [(folder.file(name), fold) for name, fold in _LISTS[kind].items()] if folder else []
    return [(table, fold) for table, fold in found if table]


def _read_rows(table: File) -> Iterator[tuple[str, str, str] | SkippedItem]:
    """Where it stands, the picture's path and the number of its emotion."""
    lines = folders.read_lines(table)
    number, line = next(lines, (1, _HEADER))
    columns = folders.split_csv_line(line.casefold())
    if _PATH_COLUMN not in columns:
        columns, lines = _HEADER.split(","), chain([(number, line)], lines)
    elif _EMOTION_COLUMN not in columns:
        raise InputError(f"{table}: line {number} names no column {_EMOTION_COLUMN}; restore the owner's file")
    path, code = columns.index(_PATH_COLUMN), columns.index(_EMOTION_COLUMN)
    for number, line in lines:
        where, values = f"{table.id}:{number}", folders.split_csv_line(line)
        if len(values) != len(columns):
            yield SkippedItem(where, "number of columns", f"{len(values)}; allowed {len(columns)}")
        elif _is_unsafe_path(values[path]):
            yield SkippedItem(where, "unsafe path", f"{values[path][:80]!r}; allowed one below the folder of pictures")
        else:
            yield where, values[path], values[code]


def _is_unsafe_path(path: str) -> bool:
    return path.startswith("/") or "\\" in path or ":" in path or ".." in path.split("/")
