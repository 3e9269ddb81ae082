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
from fer.data.media.issues import Dropped, Note
from fer.data.readers.params import Ingest
from fer.data.readers.record import Found, Record
from fer.runtime.errors import InputError

LAYOUT = "Manually_Annotated_file_lists/training.csv and validation.csv with Manually_Annotated_Images/"
TERMS = "for non-commercial research, by agreement with the owner; may not be passed on"
EMOTIONS = {
    "0": "neutral",
    "1": "happy",
    "2": "sad",
    "3": "surprise",
    "4": "fear",
    "5": "disgust",
    "6": "angry",
    "7": "contempt",
}
NO_EMOTION = {"8": "none of the eight", "9": "uncertain", "10": "no face"}

_MANUAL, _AUTOMATIC = "Manually_Annotated", "Automatically_Annotated"
_LISTS = {  # validation first: a picture that both lists name is held out
    _MANUAL: {"validation.csv": "valid", "training.csv": "train"},
    _AUTOMATIC: {"automatically_annotated.csv": "train"},
}
_NAMES = "subdirectory_filepath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
_PATH, _EMOTION = "subdirectory_filepath", "expression"


def recognises(root: Folder) -> bool:
    return any(_tables(root, kind) for kind in _LISTS)


def read(root: Folder, rules: Ingest) -> Iterator[Found]:
    kind = _MANUAL if _tables(root, _MANUAL) else _AUTOMATIC
    if kind == _MANUAL and _tables(root, _AUTOMATIC):
        yield Note(f"{_AUTOMATIC}_Images/ is left out: its labels come from a network")
    images = root.unpacked(f"{kind}_Images")
    if images is None:
        raise InputError(f"{root}: no {kind}_Images beside {kind}_file_lists; unpack the owner's archives there")
    labels: dict[str, tuple[str, str]] = {}  # of a picture its fold and number
    contradictory = set()
    for table, fold in _tables(root, kind):
        for row in _rows(table):
            if isinstance(row, Dropped):
                yield row
                continue
            where, path, code = row
            if path not in labels:
                labels[path] = fold, code
            elif labels[path][1] == code:
                yield Dropped(where, "named twice", path[:80])
            else:
                contradictory.add(path)
                yield Dropped(where, "contradictory labels", f"{path[:80]}: {labels[path][1][:20]!r} and {code[:20]!r}")
    for item in folders.pictures(images):
        if not isinstance(item, File):
            yield item
            continue
        path = item.id.removeprefix(f"{images.id}/")
        if path not in labels:
            yield Dropped(item.id, "without label", f"not in {kind}_file_lists")
            continue
        fold, code = labels.pop(path)
        if path in contradictory:
            yield Dropped(item.id, "contradictory labels", "the lists give it several")
        else:
            yield face(item, code, fold, by_rule=kind == _AUTOMATIC)
    for path, (_, code) in labels.items():
        id = f"{images.id}/{path[:80]}"
        yield _none(id, code) if code in NO_EMOTION else Dropped(id, "missing picture", "listed, but not there")


def face(picture: File, code: str, fold: str, by_rule: bool = False) -> Record | Dropped:
    """The face with the emotion of the owner's number; dropped where the number stands for none."""
    if code in NO_EMOTION:
        return _none(picture.id, code)
    if code not in EMOTIONS:
        allowed = ", ".join(f"{number} {name}" for number, name in (EMOTIONS | NO_EMOTION).items())
        return Dropped(picture.id, "unknown label", f"{code[:20]!r}; allowed {allowed}")
    return Record(picture.id, picture, EMOTIONS[code], fold, by_rule=by_rule)


def _none(id: str, code: str) -> Dropped:
    return Dropped(id, "no single emotion", f"label {code}, {NO_EMOTION[code]}", defect=False)


def _tables(root: Folder, kind: str) -> list[tuple[File, str]]:
    """The lists that are there, each with its fold."""
    folder = root.unpacked(f"{kind}_file_lists")
    found = [(folder.file(name), fold) for name, fold in _LISTS[kind].items()] if folder else []
    return [(table, fold) for table, fold in found if table]


def _rows(table: File) -> Iterator[tuple[str, str, str] | Dropped]:
    """Where it stands, the picture's path and the number of its emotion."""
    lines = folders.lines(table)
    number, line = next(lines, (1, _NAMES))
    columns = folders.fields(line.casefold())
    if _PATH not in columns:
        columns, lines = _NAMES.split(","), chain([(number, line)], lines)
    elif _EMOTION not in columns:
        raise InputError(f"{table}: line {number} names no column {_EMOTION}; restore the owner's file")
    path, code = columns.index(_PATH), columns.index(_EMOTION)
    for number, line in lines:
        where, values = f"{table.id}:{number}", folders.fields(line)
        if len(values) != len(columns):
            yield Dropped(where, "number of columns", f"{len(values)}; allowed {len(columns)}")
        elif _leads_out(values[path]):
            yield Dropped(where, "unsafe path", f"{values[path][:80]!r}; allowed one below the folder of pictures")
        else:
            yield where, values[path], values[code]


def _leads_out(path: str) -> bool:
    return path.startswith("/") or "\\" in path or ":" in path or ".." in path.split("/")
