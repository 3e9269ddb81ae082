"""RAF-DB as its owners hand it out (Li, Deng and Du, 2017), and their RAF-CE (Li, Deng, Li and Li, 2023).

A list has two columns, `train_00001.jpg 5`. The fold is the start of the name; there is no validation fold. The names
of aligned pictures end in `_aligned`; where there are none, the face is looked for in the originals. Compound emotions,
all that RAF-CE has, are pairs of basic ones: these faces are unlabelled and keep the pair's name.
"""

from collections.abc import Iterator
from typing import Literal

from fer.data.media import folders
from fer.data.media.folders import File, Folder
from fer.data.media.issues import SkippedItem
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record
from fer.runtime.errors import InputError

LAYOUT = (
    "basic/ or compound/ with EmoLabel/list_patition_label.txt and Image/aligned/train_00001_aligned.jpg; "
    "or RAFCE_emolabel.txt with aligned/"
)
LICENSE_TERMS = "for non-commercial research, by agreement with the owners; may not be passed on"
RAFDB_EMOTIONS = {"1": "surprise", "2": "fear", "3": "disgust", "4": "happy", "5": "sad", "6": "angry", "7": "neutral"}
_PAIRS = (
    "happily surprised",
    "happily disgusted",
    "sadly fearful",
    "sadly angry",
    "sadly surprised",
    "sadly disgusted",
    "fearfully angry",
    "fearfully surprised",
    "angrily surprised",
    "angrily disgusted",
    "disgustedly surprised",
)
_RAFCE_PAIRS = (*_PAIRS[:8], "fearfully disgusted", *_PAIRS[8:], "happily fearful", "happily sad")
RAFDB_COMPOUND_EMOTIONS = {str(code): pair for code, pair in enumerate(_PAIRS, 1)}
RAFCE_EMOTIONS = {str(code): pair for code, pair in enumerate(_RAFCE_PAIRS)}

_LIST = "EmoLabel/list_patition_label.txt"  # the owners' spelling
_RAFCE_LIST = "RAFCE_emolabel.txt"
_IMAGES: tuple[tuple[str, str, Literal["whole", "one"]], ...] = (
    ("Image/aligned", "_aligned", "whole"),
    ("aligned", "_aligned", "whole"),
    ("Image/original", "", "one"),
    ("original", "", "one"),
)


def matches(root: Folder) -> bool:
    return any(_iter_lists(root))


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    for place, table in _iter_lists(root):
        yield from _read_part(place, table)


def _iter_lists(root: Folder) -> Iterator[tuple[Folder, File]]:
    for place in (root.folder("basic"), root.folder("compound"), root):
        for name in (_LIST, _RAFCE_LIST):
            if place and (table := place.file(name)):
                yield place, table


def _read_part(place: Folder, table: File) -> Iterator[ReaderItem]:
    rows = [(number, line.split()) for number, line in folders.read_lines(table)]
    codes = _choose_codes(place, table, {values[-1] for _, values in rows})
    folder, ending, faces = _find_image_folder(place)
    pictures: dict[str, File] = {}  # aligned.zip is often unpacked as aligned/aligned
    for item in folders.walk_media(folder):
        if not isinstance(item, File):
            yield item
        elif item.name in pictures:
            yield SkippedItem(item.id, "picture twice", f"also at {pictures[item.name].id}")
        else:
            pictures[item.name] = item
    if not pictures:
        raise InputError(f"{folder}: no pictures; unpack the owners' archive there, or take {place.name} away")
    lines_of: dict[str, int] = {}
    for number, (name, *labels) in rows:
        where = f"{table.id}:{number}"
        stem, _, suffix = name.rpartition(".")
        fold = stem.partition("_")[0]
        picture = pictures.pop(f"{stem}{ending}.{suffix}", None)
        if len(labels) != 1:
            yield SkippedItem(where, "number of columns", f"{1 + len(labels)}; allowed 2, a name and a label")
        elif name in lines_of:
            yield SkippedItem(where, "named twice", f"{name[:40]}, also on line {lines_of[name]}")
        elif "/" in name or "\\" in name:
            yield SkippedItem(where, "unsafe path", f"{name[:40]}; allowed the name of a file in {folder.id}")
        elif codes is RAFDB_EMOTIONS and fold not in ("train", "test"):
            yield SkippedItem(where, "unknown fold", f"{name[:40]}; allowed train_… and test_…")
        elif labels[0] not in codes:
            allowed = ", ".join(f"{code} {emotion}" for code, emotion in codes.items())
            yield SkippedItem(where, "unknown label", f"{labels[0][:20]!r}; allowed {allowed}")
        elif picture is None:
            yield SkippedItem(where, "missing picture", f"{stem[:40]}{ending}.{suffix[:10]} is not in {folder.id}")
        elif codes is RAFDB_EMOTIONS:
            yield Record(picture.id, picture, codes[labels[0]], fold, face_mode=faces)
        else:
            yield Record(picture.id, picture, raw=codes[labels[0]], face_mode=faces)
        lines_of.setdefault(name, number)
    for picture in pictures.values():
        yield SkippedItem(picture.id, "without label", f"not in {table.id}")


def _choose_codes(place: Folder, table: File, labels: set[str]) -> dict[str, str]:
    if table.name == _RAFCE_LIST:
        return RAFCE_EMOTIONS
    # Under the numbers of basic emotions a compound list would give wrong labels, wherever it was put.
    only_compound = RAFDB_COMPOUND_EMOTIONS.keys() - RAFDB_EMOTIONS.keys()
    return RAFDB_COMPOUND_EMOTIONS if place.name.casefold() == "compound" or only_compound <= labels else RAFDB_EMOTIONS


def _find_image_folder(place: Folder) -> tuple[Folder, str, Literal["whole", "one"]]:
    """Where the pictures are, how their names end, and whether each is a face or has one in it."""
    for name, ending, faces in _IMAGES:
        if folder := place.folder(name):
            return folder, ending, faces
    raise InputError(f"{place}: no Image/aligned; unpack the owners' aligned.zip there, or take {place.name} away")
