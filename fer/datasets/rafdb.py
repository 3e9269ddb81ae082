"""RAF-DB as its owners hand it out: basic emotions, aligned faces (Li, Deng and Du, 2017).

The list has two columns, `train_00001.jpg 5`; the fold is the start of the name, and the pictures' names end in
`_aligned`. There is no validation fold.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from fer.datasets import Dropped, Found, Note, Record, files
from fer.errors import InputError

LAYOUT = "basic/EmoLabel/list_patition_label.txt with basic/Image/aligned/train_00001_aligned.jpg"
EMOTIONS = {"1": "surprise", "2": "fear", "3": "disgust", "4": "happy", "5": "sad", "6": "angry", "7": "neutral"}

_LIST = "EmoLabel/list_patition_label.txt"  # the owners' spelling
_COMPOUND = "compound"  # its labels are pairs of emotions under the same numbers


def recognises(root: Path) -> bool:
    basic = _basic(root)
    return (root / basic).name.casefold() != _COMPOUND and files.below(root, f"{basic}/{_LIST}").is_file()


def read(root: Path) -> Iterator[Found]:
    basic = _basic(root)
    if basic != "." and (root / _COMPOUND).is_dir():
        yield Note(f"{_COMPOUND}/ left out: its labels are pairs of emotions")
    aligned = str(PurePosixPath(basic, "Image/aligned"))
    pictures: dict[str, tuple[str, Path]] = {}  # aligned.zip is often unpacked as aligned/aligned
    for item in files.pictures(root, aligned):
        if not isinstance(item, tuple):
            yield item
        elif item[1].name in pictures:
            yield Dropped(item[0], "picture twice", f"also at {pictures[item[1].name][0]}")
        else:
            pictures[item[1].name] = item
    if not pictures:
        raise InputError(f"{root / aligned}: no pictures; unpack aligned.zip there")
    lines_of: dict[str, int] = {}
    for number, line in files.lines(files.below(root, f"{basic}/{_LIST}")):
        where = f"{Path(_LIST).name}:{number}"
        name, *labels = line.split()
        stem, _, suffix = name.rpartition(".")
        fold = stem.partition("_")[0]
        picture = pictures.pop(f"{stem}_aligned.{suffix}", None)
        if len(labels) != 1:
            yield Dropped(where, "number of columns", f"{1 + len(labels)}; allowed 2, a name and a label")
        elif name in lines_of:
            yield Dropped(where, "named twice", f"{name[:40]}, also on line {lines_of[name]}")
        elif fold not in ("train", "test"):
            yield Dropped(where, "unknown fold", f"{name[:40]}; allowed train_… and test_…")
        elif labels[0] not in EMOTIONS:
            codes = ", ".join(f"{code} {emotion}" for code, emotion in EMOTIONS.items())
            yield Dropped(where, "unknown label", f"{labels[0][:20]!r}; allowed {codes}")
        elif picture is None:
            yield Dropped(where, "no such picture", f"{stem[:40]}_aligned.{suffix[:10]} is not in Image/aligned")
        else:
            yield Record(*picture, EMOTIONS[labels[0]], fold)
        lines_of.setdefault(name, number)
    for id, _ in pictures.values():
        yield Dropped(id, "without label", f"not in {_LIST}")


def _basic(root: Path) -> str:
    """The folder of `root` that holds the basic emotions; "." if it is `root` itself."""
    return "basic" if files.below(root, f"basic/{_LIST}").is_file() else "."
