"""RAF-DB in the owners' distribution (Li, Deng and Du, 2017), and their RAF-CE (Li, Deng, Li and Li, 2023).

A list has two columns: `train_00001.jpg 5`. The name starts with the fold; there is no validation fold. The names of
aligned images end in `_aligned`; without aligned images, the face is detected in the originals. Compound emotions, the
only ones in RAF-CE, are pairs of basic emotions: their faces are unlabelled and keep the name of the pair.
"""

from collections.abc import Iterator
from typing import Literal

from fer.data.media import folders
from fer.data.media.folders import File, Folder, SkippedItem
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record, skip_unknown_label
from fer.runtime.errors import InputError

LAYOUT = (
    "basic/ or compound/ with EmoLabel/list_patition_label.txt and Image/aligned/train_00001_aligned.jpg; "
    "or RAFCE_emolabel.txt with aligned/"
)
LICENSE_TERMS = "for non-commercial research, by agreement with the owners; redistribution not allowed"
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


def matches(root: Folder) -> bool:
    return any(_iter_lists(root))


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    for folder, table in _iter_lists(root):
        yield from _read_part(folder, table)


def _iter_lists(root: Folder) -> Iterator[tuple[Folder, File]]:
    for folder in (root.folder("basic"), root.folder("compound"), root):
        for name in (_LIST, _RAFCE_LIST):
            if folder and (table := folder.file(name)):
                yield folder, table


def _read_part(part: Folder, table: File) -> Iterator[ReaderItem]:
    rows = [(number, line.split()) for number, line in folders.read_lines(table)]
    emotions = _choose_emotions(part, table, {values[-1] for _, values in rows})
    aligned_folder = part.folder("Image/aligned", "aligned")
    folder = aligned_folder or part.folder("Image/original", "original")
    if folder is None:
        raise InputError(f"{part}: no Image/aligned; unpack the owners' aligned.zip there, or remove {part.name}")
    stem_suffix = "_aligned" if aligned_folder else ""
    face_mode: Literal["whole", "one"] = "whole" if aligned_folder else "one"
    images: dict[str, File] = {}  # by name: aligned.zip is often unpacked to aligned/aligned
    for item in folders.walk_media(folder):
        if not isinstance(item, File):
            yield item
        elif item.name in images:
            yield SkippedItem(item.id, "picture twice", f"also at {images[item.name].id}")
        else:
            images[item.name] = item
    if not images:
        raise InputError(f"{folder}: no images; unpack the owners' archive there, or remove {part.name}")
    line_numbers: dict[str, int] = {}
    for number, (name, *labels) in rows:
        line_id = f"{table.id}:{number}"
        stem, _, suffix = name.rpartition(".")
        fold = stem.partition("_")[0]
        image = images.pop(f"{stem}{stem_suffix}.{suffix}", None)
        if len(labels) != 1:
            yield SkippedItem(line_id, "number of columns", f"{1 + len(labels)}; allowed 2, a name and a label")
        elif name in line_numbers:
            yield SkippedItem(line_id, "named twice", f"{name[:40]}, also on line {line_numbers[name]}")
        elif "/" in name or "\\" in name:
            yield SkippedItem(line_id, "unsafe path", f"{name[:40]}; allowed the name of a file in {folder.id}")
        elif emotions is RAFDB_EMOTIONS and fold not in ("train", "test"):
            yield SkippedItem(line_id, "unknown fold", f"{name[:40]}; allowed train_… and test_…")
        elif labels[0] not in emotions:
            yield skip_unknown_label(line_id, labels[0], emotions)
        elif image is None:
            file_name = f"{stem[:40]}{stem_suffix}.{suffix[:10]}"
            yield SkippedItem(line_id, "missing picture", f"{file_name} is not in {folder.id}")
        elif emotions is RAFDB_EMOTIONS:
            yield Record(image.id, image, emotions[labels[0]], fold, face_mode=face_mode)
        else:
            yield Record(image.id, image, raw=emotions[labels[0]], face_mode=face_mode)
        line_numbers.setdefault(name, number)
    for image in images.values():
        yield SkippedItem(image.id, "without label", f"not in {table.id}")


def _choose_emotions(part: Folder, table: File, labels: set[str]) -> dict[str, str]:
    """Return the emotion of each code in the list."""
    if table.name == _RAFCE_LIST:
        return RAFCE_EMOTIONS
    # A compound list read with the codes of the basic emotions would give wrong labels, in whatever folder it is.
    only_compound = RAFDB_COMPOUND_EMOTIONS.keys() - RAFDB_EMOTIONS.keys()
    return RAFDB_COMPOUND_EMOTIONS if part.name.casefold() == "compound" or only_compound <= labels else RAFDB_EMOTIONS
