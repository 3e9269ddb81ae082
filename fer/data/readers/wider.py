"""WIDER FACE, photographs of 60 kinds of events with a box around each face (Yang, Luo, Loy and Tang, 2016).

An unlabelled pool. The list has a picture's name, the number of its faces, and a line for each: x, y, width, height,
blur, expression, illumination, invalid, occlusion, pose. A picture without faces has one line all the same. Most faces
are tiny. In pictures that no list names, as in the test part, all faces are looked for. A picture is a group.
"""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from fer.data.media import folders
from fer.data.media.folders import IMAGE_SUFFIXES, File, Folder
from fer.data.media.issues import SkippedItem
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record

LAYOUT = "WIDER_train/images/<event>/*.jpg with wider_face_split/wider_face_train_bbx_gt.txt; also val and test"
LICENSE_TERMS = "CC BY-NC-ND 4.0: not for commerce, and faces cut out of it may not be passed on"

_PARTS = ("train", "val", "test")
_N_COLUMNS, _INVALID_COLUMN = 10, 7
_LENGTH_PATTERN = re.compile(r"-?[0-9]{1,6}")


def matches(root: Folder) -> bool:
    return any(_find_image_folder(root, part) for part in _PARTS)


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    for part in _PARTS:
        images = _find_image_folder(root, part)
        if images is None:
            continue
        listed: dict[str, tuple[str, list[str]]] = {}
        table = _find_list(root, part)
        for where, name, lines in _read_entries(table) if table else ():
            if name in listed:
                yield SkippedItem(where, "named twice", f"{name[:80]}, also at {listed[name][0]}")
            else:
                listed[name] = where, lines
        for item in folders.walk_media(images):
            if not isinstance(item, File):
                yield item
            elif entry := listed.pop(item.id.removeprefix(f"{images.id}/"), None):
                yield from _make_records(item, entry[1])
            else:
                yield Record(item.id, item, group=item.id, face_mode="all")
        for name, (where, _) in listed.items():
            unsafe = name.startswith("/") or ".." in name.split("/") or "\\" in name or ":" in name
            reason = "unsafe path" if unsafe else "missing picture"
            yield SkippedItem(where, reason, f"{name[:80]!r} is not in {images.id}")


def _make_records(picture: File, lines: list[str]) -> Iterator[Record | SkippedItem]:
    count, *boxes = lines or [""]
    if count == "0" and len(boxes) <= 1:
        yield SkippedItem(picture.id, "no face", "none by the owners' list", is_defect=False)
    elif count != str(len(boxes)):
        yield SkippedItem(
            picture.id, "number of lines", f"{len(boxes)} faces, but the owners' list says {count[:20]!r}"
        )
    else:
        for k, line in enumerate(boxes, 1):
            yield _make_record(picture, f"{picture.id}#{k}", line.split())


def _make_record(picture: File, id: str, values: list[str]) -> Record | SkippedItem:
    if len(values) != _N_COLUMNS:
        return SkippedItem(id, "number of columns", f"{len(values)}; allowed {_N_COLUMNS}")
    if not all(map(_LENGTH_PATTERN.fullmatch, values[:4])) or int(values[2]) <= 0 or int(values[3]) <= 0:
        return SkippedItem(id, "face box", f"{' '.join(values[:4])[:80]!r}; allowed x, y, width, height in pixels")
    if values[_INVALID_COLUMN] == "1":
        return SkippedItem(id, "invalid by its owners", "too blurred, small or hidden", is_defect=False)
    x, y, width, height = map(float, values[:4])
    return Record(id, picture, group=picture.id, box=(x, y, width, height))


def _read_entries(table: File) -> Iterator[tuple[str, str, list[str]]]:
    """Of each picture where it is listed, its name, and the lines below; what comes before them has no name."""
    start, name, lines = 1, "", list[str]()
    for number, line in folders.read_lines(table):
        if PurePosixPath(line).suffix.lower() in IMAGE_SUFFIXES:
            if name or lines:
                yield f"{table.id}:{start}", name, lines
            start, name, lines = number, line, []
        else:
            lines.append(line)
    if name or lines:
        yield f"{table.id}:{start}", name, lines


def _find_image_folder(root: Folder, part: str) -> Folder | None:
    folder = root.inner_folder(f"WIDER_{part}")
    return folder and folder.folder("images")


def _find_list(root: Folder, part: str) -> File | None:
    folder = root.inner_folder("wider_face_split")
    return folder.file(f"wider_face_{part}_bbx_gt.txt") if folder else None
