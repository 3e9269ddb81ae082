"""ExpW, faces in photographs from the web (Zhang, Luo, Loy and Tang, 2018).

A line of `label/label.lst` is a face: `name face_id top left right bottom confidence emotion`. A photograph can have
several, which stay in one fold. The owners have no folds.
"""

from collections import defaultdict
from collections.abc import Iterator

from fer.data.media import folders
from fer.data.media.folders import File, Folder
from fer.data.media.issues import SkippedItem
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record
from fer.runtime.errors import InputError

LAYOUT = "label/label.lst with image/origin/"
LICENSE_TERMS = "for non-commercial research; may not be passed on"
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
    faces: defaultdict[str, dict[str, tuple[str, _Box]]] = defaultdict(dict)  # of a photograph, by their ids
    for number, line in folders.read_lines(table):
        where = f"{table.id}:{number}"
        name, *values = line.rsplit(maxsplit=7)  # from the right: a name may have blanks
        if len(values) != 7:
            yield SkippedItem(where, "number of columns", f"{1 + len(values)}; allowed 8")
            continue
        id, *edges, _, code = values
        box = _parse_box(edges)
        if "/" in name or "\\" in name:
            yield SkippedItem(where, "unsafe path", f"{name[:80]!r}; allowed the name of a file in {_IMAGES}")
        elif code not in EXPW_EMOTIONS:
            allowed = ", ".join(f"{code} {emotion}" for code, emotion in EXPW_EMOTIONS.items())
            yield SkippedItem(where, "unknown label", f"{code[:20]!r}; allowed {allowed}")
        elif box is None:
            yield SkippedItem(
                where, "face box", f"{' '.join(edges)[:80]!r}; allowed top, left, right, bottom in pixels"
            )
        elif id in faces[name]:
            yield SkippedItem(where, "named twice", f"face {id[:20]} of {name[:80]}")
        else:
            faces[name][id] = EXPW_EMOTIONS[code], box
    for item in folders.walk_media(images):
        if not isinstance(item, File):
            yield item
            continue
        there = faces.pop(item.name, {})
        if not there:  # the owners' folder has more photographs than they labelled
            yield SkippedItem(item.id, "without label", f"no face of it is in {_LIST}", is_defect=False)
        for id, (emotion, box) in there.items():
            yield Record(f"{item.id}#{id}", item, emotion, group=item.id, box=box)
    for name, missing in faces.items():
        for id in missing:
            yield SkippedItem(f"{_IMAGES}/{name[:80]}#{id[:20]}", "missing picture", "listed, but not there")


def _parse_box(edges: list[str]) -> _Box | None:
    """x, y, width, height; None where the edges are none."""
    try:
        top, left, right, bottom = map(float, edges)
    except ValueError:
        return None
    if not all(abs(edge) <= _MAX_SIDE_PX for edge in (top, left, right, bottom)) or left >= right or top >= bottom:
        return None
    return left, top, right - left, bottom - top
