"""WIDER FACE, images of 60 kinds of events with a box around each face (Yang, Luo, Loy and Tang, 2016).

An unlabelled pool. The list has the name of an image, the number of its faces, and a line for each face: x, y, width,
height, blur, expression, illumination, invalid, occlusion, pose. An image without faces also has one such line. Most
faces are tiny. In images that no list names, as in the test part, all faces are detected. An image is a group.
"""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from fer.data.media import folders
from fer.data.media.folders import IMAGE_SUFFIXES, File, Folder, SkippedItem
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record, is_unsafe_path

LAYOUT = "WIDER_train/images/<event>/*.jpg with wider_face_split/wider_face_train_bbx_gt.txt; also val and test"
LICENSE_TERMS = "CC BY-NC-ND 4.0: non-commercial use only; redistribution of face crops not allowed"

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
        entries: dict[str, tuple[str, list[str]]] = {}  # image name -> line id, lines
        lists = root.inner_folder("wider_face_split")
        table = lists and lists.file(f"wider_face_{part}_bbx_gt.txt")
        for line_id, name, lines in _read_entries(table) if table else ():
            if name in entries:
                yield SkippedItem(line_id, "named twice", f"{name[:80]}, also at {entries[name][0]}")
            else:
                entries[name] = line_id, lines
        for item in folders.walk_media(images):
            if not isinstance(item, File):
                yield item
            elif entry := entries.pop(item.id.removeprefix(f"{images.id}/"), None):
                yield from _make_records(item, entry[1])
            else:
                yield Record(item.id, item, group=item.id, face_mode="all")
        for name, (line_id, _) in entries.items():
            reason = "unsafe path" if is_unsafe_path(name) else "missing picture"
            yield SkippedItem(line_id, reason, f"{name[:80]!r} is not in {images.id}")


def _make_records(image: File, lines: list[str]) -> Iterator[Record | SkippedItem]:
    count, *boxes = lines or [""]
    if count == "0" and len(boxes) <= 1:
        yield SkippedItem(image.id, "no face", "none in the owners' list", is_defect=False)
    elif count != str(len(boxes)):
        detail = f"{len(boxes)} faces, but the owners' list has {count[:20]!r}"
        yield SkippedItem(image.id, "number of lines", detail)
    else:
        for k, line in enumerate(boxes, 1):
            yield _make_record(image, f"{image.id}#{k}", line.split())


def _make_record(image: File, id: str, values: list[str]) -> Record | SkippedItem:
    if len(values) != _N_COLUMNS:
        return SkippedItem(id, "number of columns", f"{len(values)}; allowed {_N_COLUMNS}")
    if not all(map(_LENGTH_PATTERN.fullmatch, values[:4])) or int(values[2]) <= 0 or int(values[3]) <= 0:
        return SkippedItem(id, "face box", f"{' '.join(values[:4])[:80]!r}; allowed x, y, width, height in pixels")
    if values[_INVALID_COLUMN] == "1":
        return SkippedItem(id, "invalid by its owners", "too blurred, small or hidden", is_defect=False)
    x, y, width, height = map(float, values[:4])
    return Record(id, image, group=image.id, box=(x, y, width, height))


def _read_entries(table: File) -> list[tuple[str, str, list[str]]]:
    """Return the line id, the name and the following lines of each image; lines before the first have the name ""."""
    entries: list[tuple[str, str, list[str]]] = []
    for number, line in folders.read_lines(table):
        is_name = PurePosixPath(line).suffix.lower() in IMAGE_SUFFIXES
        if is_name or not entries:
            entries.append((f"{table.id}:{number}", line if is_name else "", []))
        if not is_name:
            entries[-1][2].append(line)
    return entries


def _find_image_folder(root: Folder, part: str) -> Folder | None:
    folder = root.inner_folder(f"WIDER_{part}")
    return folder and folder.folder("images")
