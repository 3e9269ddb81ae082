"""AffectNet in the owners' distribution of 2017 (Mollahosseini, Hasani and Mahoor, 2019).

`training.csv` and `validation.csv`, each with or without a header, list the images. The images are face crops, so the
box is ignored: published programs disagree on its meaning. No test part was published. The labels of
`automatically_annotated.csv` come from a network: they are read only if there are no others, and only for training.
"""

from collections.abc import Iterator
from itertools import chain

from fer.data.media import folders
from fer.data.media.folders import File, Folder, Note, SkippedItem
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record, is_unsafe_path, read_files, skip_unknown_label
from fer.runtime.errors import InputError

LAYOUT = "Manually_Annotated_file_lists/training.csv and validation.csv with Manually_Annotated_Images/"
LICENSE_TERMS = "for non-commercial research, by agreement with the owner; redistribution not allowed"
_EMOTIONS = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt")
AFFECTNET_EMOTIONS = {str(code): emotion for code, emotion in enumerate(_EMOTIONS)}
AFFECTNET_NO_EMOTION = {"8": "none of the eight", "9": "uncertain", "10": "no face"}

_MANUAL, _AUTOMATIC = "Manually_Annotated", "Automatically_Annotated"
_LISTS = {  # validation first, so that an image in both lists is held out
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
        yield Note(f"{_AUTOMATIC}_Images/ is not read: its labels come from a network")
    images = root.inner_folder(f"{kind}_Images")
    if images is None:
        raise InputError(f"{root}: no {kind}_Images beside {kind}_file_lists; unpack the owner's archives there")
    labels: dict[str, tuple[str, str]] = {}  # path of an image -> fold, code
    contradictory_paths = set()
    for table, fold in _find_lists(root, kind):
        for row in _read_rows(table):
            if isinstance(row, SkippedItem):
                yield row
                continue
            line_id, path, code = row
            if path not in labels:
                labels[path] = fold, code
            elif labels[path][1] == code:
                yield SkippedItem(line_id, "named twice", path[:80])
            else:
                contradictory_paths.add(path)
                codes = f"{labels[path][1][:20]!r} and {code[:20]!r}"
                yield SkippedItem(line_id, "contradictory labels", f"{path[:80]}: {codes}")

    def make_record(image: File) -> Record | SkippedItem:
        path = image.id.removeprefix(f"{images.id}/")
        if path not in labels:
            return SkippedItem(image.id, "without label", f"not in {kind}_file_lists")
        fold, code = labels.pop(path)
        if path in contradictory_paths:
            return SkippedItem(image.id, "contradictory labels", "the lists give it several labels")
        return make_affectnet_record(image, code, fold, by_rule=kind == _AUTOMATIC)

    yield from read_files(images, make_record)
    for path, (_, code) in labels.items():
        id = f"{images.id}/{path[:80]}"
        yield (
            _skip_without_emotion(id, code)
            if code in AFFECTNET_NO_EMOTION
            else SkippedItem(id, "missing picture", "listed, but the file is missing")
        )


def make_affectnet_record(file: File, code: str, fold: str, by_rule: bool = False) -> Record | SkippedItem:
    """Return the face with the emotion of the owner's code, or a skipped item if the code is not an emotion."""
    if code in AFFECTNET_NO_EMOTION:
        return _skip_without_emotion(file.id, code)
    if code not in AFFECTNET_EMOTIONS:
        return skip_unknown_label(file.id, code, AFFECTNET_EMOTIONS | AFFECTNET_NO_EMOTION)
    return Record(file.id, file, AFFECTNET_EMOTIONS[code], fold, by_rule=by_rule)


def _skip_without_emotion(id: str, code: str) -> SkippedItem:
    return SkippedItem(id, "no single emotion", f"label {code}, {AFFECTNET_NO_EMOTION[code]}", is_defect=False)


def _find_lists(root: Folder, kind: str) -> list[tuple[File, str]]:
    """Return the lists that exist, each with its fold."""
    folder = root.inner_folder(f"{kind}_file_lists")
    tables = [(folder.file(name), fold) for name, fold in _LISTS[kind].items()] if folder else []
    return [(table, fold) for table, fold in tables if table]


def _read_rows(table: File) -> Iterator[tuple[str, str, str] | SkippedItem]:
    """Yield the line's id, the image's path and the code of its emotion."""
    lines = folders.read_lines(table)
    number, line = next(lines, (1, _HEADER))
    columns = folders.split_csv_line(line.casefold())
    if _PATH_COLUMN not in columns:
        columns, lines = _HEADER.split(","), chain([(number, line)], lines)
    elif _EMOTION_COLUMN not in columns:
        raise InputError(f"{table}: line {number} has no column {_EMOTION_COLUMN}; restore the owner's file")
    path, code = columns.index(_PATH_COLUMN), columns.index(_EMOTION_COLUMN)
    for number, line in lines:
        line_id, values = f"{table.id}:{number}", folders.split_csv_line(line)
        if len(values) != len(columns):
            yield SkippedItem(line_id, "number of columns", f"{len(values)}; allowed {len(columns)}")
        elif is_unsafe_path(values[path]):
            yield SkippedItem(line_id, "unsafe path", f"{values[path][:80]!r}; allowed a path below the image folder")
        else:
            yield line_id, values[path], values[code]
