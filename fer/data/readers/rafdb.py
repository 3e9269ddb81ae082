"""RAF-DB as its owners hand it out (Li, Deng and Du, 2017), and their RAF-CE (Li, Deng, Li and Li, 2023).

A list has two columns, `train_00001.jpg 5`. The fold is the start of the name; there is no validation fold. The names
of aligned pictures end in `_aligned`; where there are none, the face is looked for in the originals. Compound emotions,
all that RAF-CE has, are pairs of basic ones: these faces are unlabelled and keep the pair's name.
"""

from collections.abc import Iterator
from typing import Literal

from fer.data.media import folders
from fer.data.media.folders import File, Folder
from fer.data.media.issues import Dropped
from fer.data.readers.params import Ingest
from fer.data.readers.record import Found, Record
from fer.runtime.errors import InputError

LAYOUT = (
    "basic/ or compound/ with EmoLabel/list_patition_label.txt and Image/aligned/train_00001_aligned.jpg; "
    "or RAFCE_emolabel.txt with aligned/"
)
TERMS = "for non-commercial research, by agreement with the owners; may not be passed on"
EMOTIONS = {"1": "surprise", "2": "fear", "3": "disgust", "4": "happy", "5": "sad", "6": "angry", "7": "neutral"}
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
COMPOUND = {str(code): pair for code, pair in enumerate(_PAIRS, 1)}
RAFCE = {str(code): pair for code, pair in enumerate(_RAFCE_PAIRS)}

_LIST = "EmoLabel/list_patition_label.txt"  # the owners' spelling
_RAFCE_LIST = "RAFCE_emolabel.txt"
_IMAGES: tuple[tuple[str, str, Literal["whole", "one"]], ...] = (
    ("Image/aligned", "_aligned", "whole"),
    ("aligned", "_aligned", "whole"),
    ("Image/original", "", "one"),
    ("original", "", "one"),
)


def recognises(root: Folder) -> bool:
    return any(_lists(root))


def read(root: Folder, rules: Ingest) -> Iterator[Found]:
    for place, table in _lists(root):
        yield from _faces(place, table)


def _lists(root: Folder) -> Iterator[tuple[Folder, File]]:
    for place in (root.folder("basic"), root.folder("compound"), root):
        for name in (_LIST, _RAFCE_LIST):
            if place and (table := place.file(name)):
                yield place, table


def _faces(place: Folder, table: File) -> Iterator[Found]:
    rows = [(number, line.split()) for number, line in folders.lines(table)]
    codes = _codes(place, table, {values[-1] for _, values in rows})
    folder, ending, faces = _images(place)
    pictures: dict[str, File] = {}  # aligned.zip is often unpacked as aligned/aligned
    for item in folders.pictures(folder):
        if not isinstance(item, File):
            yield item
        elif item.name in pictures:
            yield Dropped(item.id, "picture twice", f"also at {pictures[item.name].id}")
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
            yield Dropped(where, "number of columns", f"{1 + len(labels)}; allowed 2, a name and a label")
        elif name in lines_of:
            yield Dropped(where, "named twice", f"{name[:40]}, also on line {lines_of[name]}")
        elif "/" in name or "\\" in name:
            yield Dropped(where, "unsafe path", f"{name[:40]}; allowed the name of a file in {folder.id}")
        elif codes is EMOTIONS and fold not in ("train", "test"):
            yield Dropped(where, "unknown fold", f"{name[:40]}; allowed train_… and test_…")
        elif labels[0] not in codes:
            allowed = ", ".join(f"{code} {emotion}" for code, emotion in codes.items())
            yield Dropped(where, "unknown label", f"{labels[0][:20]!r}; allowed {allowed}")
        elif picture is None:
            yield Dropped(where, "missing picture", f"{stem[:40]}{ending}.{suffix[:10]} is not in {folder.id}")
        elif codes is EMOTIONS:
            yield Record(picture.id, picture, codes[labels[0]], fold, faces=faces)
        else:
            yield Record(picture.id, picture, raw=codes[labels[0]], faces=faces)
        lines_of.setdefault(name, number)
    for picture in pictures.values():
        yield Dropped(picture.id, "without label", f"not in {table.id}")


def _codes(place: Folder, table: File, labels: set[str]) -> dict[str, str]:
    if table.name == _RAFCE_LIST:
        return RAFCE
    # Under the numbers of basic emotions a compound list would give wrong labels, wherever it was put.
    only_compound = COMPOUND.keys() - EMOTIONS.keys()
    return COMPOUND if place.name.casefold() == "compound" or only_compound <= labels else EMOTIONS


def _images(place: Folder) -> tuple[Folder, str, Literal["whole", "one"]]:
    """Where the pictures are, how their names end, and whether each is a face or has one in it."""
    for name, ending, faces in _IMAGES:
        if folder := place.folder(name):
            return folder, ending, faces
    raise InputError(f"{place}: no Image/aligned; unpack the owners' aligned.zip there, or take {place.name} away")
