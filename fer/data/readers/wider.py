"""WIDER FACE, photographs of 60 kinds of events with a box around each face (Yang, Luo, Loy and Tang, 2016).

An unlabelled pool. The list has a picture's name, the number of its faces, and a line for each: x, y, width, height,
blur, expression, illumination, invalid, occlusion, pose. A picture without faces has one line all the same. Most faces
are tiny. In pictures that no list names, as in the test part, all faces are looked for. A picture is a group.
"""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from fer.data.media import folders
from fer.data.media.folders import PICTURES, File, Folder
from fer.data.media.issues import Dropped
from fer.data.readers.params import Ingest
from fer.data.readers.record import Found, Record

LAYOUT = "WIDER_train/images/<event>/*.jpg with wider_face_split/wider_face_train_bbx_gt.txt; also val and test"
TERMS = "CC BY-NC-ND 4.0: not for commerce, and faces cut out of it may not be passed on"

_PARTS = ("train", "val", "test")
_COLUMNS, _INVALID = 10, 7
_LENGTH = re.compile(r"-?[0-9]{1,6}")


def recognises(root: Folder) -> bool:
    return any(_images(root, part) for part in _PARTS)


def read(root: Folder, rules: Ingest) -> Iterator[Found]:
    for part in _PARTS:
        images = _images(root, part)
        if images is None:
            continue
        listed: dict[str, tuple[str, list[str]]] = {}
        table = _table(root, part)
        for where, name, lines in _entries(table) if table else ():
            if name in listed:
                yield Dropped(where, "named twice", f"{name[:80]}, also at {listed[name][0]}")
            else:
                listed[name] = where, lines
        for item in folders.pictures(images):
            if not isinstance(item, File):
                yield item
            elif entry := listed.pop(item.id.removeprefix(f"{images.id}/"), None):
                yield from _faces(item, entry[1])
            else:
                yield Record(item.id, item, group=item.id, faces="all")
        for name, (where, _) in listed.items():
            unsafe = name.startswith("/") or ".." in name.split("/") or "\\" in name or ":" in name
            reason = "unsafe path" if unsafe else "missing picture"
            yield Dropped(where, reason, f"{name[:80]!r} is not in {images.id}")


def _faces(picture: File, lines: list[str]) -> Iterator[Record | Dropped]:
    count, *boxes = lines or [""]
    if count == "0" and len(boxes) <= 1:
        yield Dropped(picture.id, "no face", "none by the owners' list", defect=False)
    elif count != str(len(boxes)):
        yield Dropped(picture.id, "number of lines", f"{len(boxes)} faces, but the owners' list says {count[:20]!r}")
    else:
        for k, line in enumerate(boxes, 1):
            yield _face(picture, f"{picture.id}#{k}", line.split())


def _face(picture: File, id: str, values: list[str]) -> Record | Dropped:
    if len(values) != _COLUMNS:
        return Dropped(id, "number of columns", f"{len(values)}; allowed {_COLUMNS}")
    if not all(map(_LENGTH.fullmatch, values[:4])) or int(values[2]) <= 0 or int(values[3]) <= 0:
        return Dropped(id, "face box", f"{' '.join(values[:4])[:80]!r}; allowed x, y, width, height in pixels")
    if values[_INVALID] == "1":
        return Dropped(id, "invalid by its owners", "too blurred, small or hidden", defect=False)
    x, y, width, height = map(float, values[:4])
    return Record(id, picture, group=picture.id, box=(x, y, width, height))


def _entries(table: File) -> Iterator[tuple[str, str, list[str]]]:
    """Of each picture where it is listed, its name, and the lines below; what comes before them has no name."""
    start, name, lines = 1, "", list[str]()
    for number, line in folders.lines(table):
        if PurePosixPath(line).suffix.lower() in PICTURES:
            if name or lines:
                yield f"{table.id}:{start}", name, lines
            start, name, lines = number, line, []
        else:
            lines.append(line)
    if name or lines:
        yield f"{table.id}:{start}", name, lines


def _images(root: Folder, part: str) -> Folder | None:
    folder = root.unpacked(f"WIDER_{part}")
    return folder and folder.folder("images")


def _table(root: Folder, part: str) -> File | None:
    folder = root.unpacked("wider_face_split")
    return folder.file(f"wider_face_{part}_bbx_gt.txt") if folder else None
