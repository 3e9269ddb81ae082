"""ExpW, faces in images from the web (Zhang, Luo, Loy and Tang, 2018).

A line of `label/label.lst` is a face: `name face_id top left right bottom confidence emotion`. An image can have
several faces, which stay in one fold. The owners define no folds.
"""

from collections import defaultdict
from collections.abc import Iterator

from fer.data.media import folders
from fer.data.media.folders import File, Folder, SkippedItem
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record, skip_unknown_label
from fer.runtime.errors import InputError

LAYOUT = "label/label.lst with image/origin/"
LICENSE_TERMS = "for non-commercial research; redistribution not allowed"
EXPW_EMOTIONS = {"0": "angry", "1": "disgust", "2": "fear", "3": "happy", "4": "sad", "5": "surprise", "6": "neutral"}

_LIST, _IMAGES = "label/label.lst", "image/origin"
_MAX_SIDE_PX = 100_000

_Box = tuple[float, float, float, float]


def matches(root: Folder) -> bool:
    return root.file(_LIST) is not None


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    table, images = root.file(_LIST), root.folder(_IMAGES)
    if table is None or images is None:
        raise InputError(f"{root}: no {_IMAGES} beside {_LIST}; unpack the owners' archives there")
    faces: defaultdict[str, dict[str, tuple[str, _Box]]] = defaultdict(dict)  # image name -> face id -> label
    for number, line in folders.read_lines(table):
        line_id = f"{table.id}:{number}"
        name, *values = line.rsplit(maxsplit=7)  # from the right, since a name may contain blanks
        if len(values) != 7:
            yield SkippedItem(line_id, "number of columns", f"{1 + len(values)}; allowed 8")
            continue
        id, *edges, _, code = values
        box = _parse_box(edges)
        if "/" in name or "\\" in name:
            yield SkippedItem(line_id, "unsafe path", f"{name[:80]!r}; allowed the name of a file in {_IMAGES}")
        elif code not in EXPW_EMOTIONS:
            yield skip_unknown_label(line_id, code, EXPW_EMOTIONS)
        elif box is None:
            detail = f"{' '.join(edges)[:80]!r}; allowed top, left, right, bottom in pixels"
            yield SkippedItem(line_id, "face box", detail)
        elif id in faces[name]:
            yield SkippedItem(line_id, "named twice", f"face {id[:20]} of {name[:80]}")
        else:
            faces[name][id] = EXPW_EMOTIONS[code], box
    for item in folders.walk_media(images):
        if not isinstance(item, File):
            yield item
            continue
        faces_in_image = faces.pop(item.name, {})
        if not faces_in_image:  # the owners labelled only some of the images in their folder
            yield SkippedItem(item.id, "without label", f"{_LIST} lists no face in it", is_defect=False)
        for id, (emotion, box) in faces_in_image.items():
            yield Record(f"{item.id}#{id}", item, emotion, group=item.id, box=box)
    for name, missing in faces.items():
        for id in missing:
            yield SkippedItem(f"{_IMAGES}/{name[:80]}#{id[:20]}", "missing picture", "listed, but the file is missing")


def _parse_box(edges: list[str]) -> _Box | None:
    """Return x, y, width, height from top, left, right, bottom; None if they are no box."""
    try:
        y_min, x_min, x_max, y_max = map(float, edges)
    except ValueError:
        return None
    if not all(abs(edge) <= _MAX_SIDE_PX for edge in (x_min, y_min, x_max, y_max)) or x_min >= x_max or y_min >= y_max:
        return None
    return x_min, y_min, x_max - x_min, y_max - y_min
