"""Which layout is this? The readers, in the order in which they are tried."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from fer.data.media.folders import Folder
from fer.data.readers import (
    afew,
    affectnet_csv,
    affectnet_folders,
    affectnet_npy,
    affectnet_yolo,
    celeba,
    ck48,
    ckextended,
    ckplus,
    class_folders,
    disfa,
    expw,
    fairface,
    fer2013_csv,
    fer2013_folder,
    ferplus_csv,
    ferplus_png,
    ffhq,
    jaffe,
    kdef,
    lfw,
    photos,
    rafdb,
    rafdb_kaggle,
    sepcvdl,
    sfew,
    tree,
    utkface,
    wider,
)
from fer.data.readers.params import Ingest
from fer.data.readers.record import Found
from fer.runtime.errors import InputError


@runtime_checkable
class Reader(Protocol):
    """What each reader's module offers; see `fer.data.readers.record`."""

    __name__: str
    LAYOUT: str
    TERMS: str

    def recognises(self, root: Folder) -> bool: ...

    def read(self, root: Folder, rules: Ingest) -> Iterator[Found]: ...


# Each knows its own layout by names that others don't have.
_SPECIFIC: tuple[Reader, ...] = (
    rafdb,
    rafdb_kaggle,
    ferplus_csv,
    ferplus_png,
    ckextended,
    fer2013_csv,
    fer2013_folder,
    ckplus,
    ck48,
    affectnet_csv,
    affectnet_npy,
    affectnet_yolo,
    expw,
    disfa,
    afew,
    sfew,
    jaffe,
    kdef,
    sepcvdl,
    celeba,
    fairface,
    ffhq,
    lfw,
    utkface,
    wider,
)
# These take nearly anything: tried last, and only where nothing else was found.
GENERAL: tuple[Reader, ...] = (class_folders, photos, tree)
_ANYWHERE: tuple[Reader, ...] = (photos, tree)  # of a source they read everything, in whatever folder
READERS = (*_SPECIFIC, *GENERAL)
NAMED: tuple[Reader, ...] = (affectnet_folders,)  # taken only where ingest.readers names them

_INCLUDED: dict[Reader, tuple[Reader, ...]] = {fer2013_csv: (ferplus_csv, ckextended)}  # in the layouts of those
_WRAPPERS = 30  # LFW has 5,749 folders, of which none wraps a layout


def name_of(reader: Reader) -> str:
    return reader.__name__.rpartition(".")[2]


def reader_named(name: str) -> Reader:
    """The reader whose file is `fer/datasets/<name>.py`.

    Raises:
        InputError: there is none.
    """
    for reader in (*READERS, *NAMED):
        if name_of(reader) == name:
            return reader
    known = ", ".join(sorted(map(name_of, (*READERS, *NAMED))))
    raise InputError(f"params.yaml: ingest.readers names the reader {name!r}, but the readers are {known}")


def recognise(root: Path, readers: Sequence[Reader] = READERS) -> tuple[Reader, Folder]:
    """The first of `readers` that knows the layout, and where it is: `root` or a folder or archive one or two levels
    below.

    Raises:
        InputError: the folder is missing or empty, or holds no layout, or two.
    """
    if not root.is_dir():
        raise InputError(
            f"{root}: no such folder; put the source's files there, or take {root.name} out of `sources` in params.yaml"
        )
    found: list[tuple[Reader, Folder]] = []
    whole = Folder(root)
    places = list(_places(whole))
    for reader in readers:
        if reader in GENERAL and found:
            break
        same = (reader, *_INCLUDED.get(reader, ()))
        for place in places if reader not in _ANYWHERE else (whole,):
            inside = any(other in same and place.path.is_relative_to(above.path) for other, above in found)
            if not inside and reader.recognises(place):
                found.append((reader, place))
    match found:
        case [only]:
            return only[0], only[1].as_root()
        case [] if len(readers) == 1 and readers[0] in _ANYWHERE:  # it was named, so it need not recognise anything
            return readers[0], whole
        case []:
            there = sorted(path.name for path in root.iterdir())
            what = f"holds {', '.join(there[:3])}{', …' if there[3:] else ''}" if there else "is empty"
            raise InputError(f"{root}: {what}, but no faces in a known layout; `fer add --help` lists the layouts")
        case _:
            layouts = " and ".join(f"{name_of(reader)} in {place}" for reader, place in found)
            raise InputError(
                f"{root}: holds more than one layout: {layouts}; keep one, or name its reader in ingest.readers"
            )


def _places(root: Folder) -> Iterator[Folder]:
    """`root` and what is one or two levels below, but not below a folder of so many that they are no wrappers."""
    yield root
    for folder in _wrapped(root):
        yield folder
        yield from _wrapped(folder)


def _wrapped(folder: Folder) -> list[Folder]:
    inner = folder.folders()
    return inner if len(inner) <= _WRAPPERS else []
