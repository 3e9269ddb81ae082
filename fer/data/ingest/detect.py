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
from fer.data.readers.record import ReaderItem
from fer.runtime.errors import InputError


@runtime_checkable
class Reader(Protocol):
    """What each reader's module offers; see `fer.data.readers.record`."""

    __name__: str
    LAYOUT: str
    LICENSE_TERMS: str

    def matches(self, root: Folder) -> bool: ...

    def read(self, root: Folder, settings: Ingest) -> Iterator[ReaderItem]: ...


# Each knows its own layout by names that others don't have.
_SPECIFIC_READERS: tuple[Reader, ...] = (
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
GENERAL_READERS: tuple[Reader, ...] = (class_folders, photos, tree)
_WHOLE_SOURCE_READERS: tuple[Reader, ...] = (photos, tree)  # of a source they read everything, in whatever folder
READERS = (*_SPECIFIC_READERS, *GENERAL_READERS)
EXPLICIT_READERS: tuple[Reader, ...] = (affectnet_folders,)  # taken only where ingest.readers names them

_OVERLAPPING_READERS: dict[Reader, tuple[Reader, ...]] = {
    fer2013_csv: (ferplus_csv, ckextended)
}  # in the layouts of those
_MAX_WRAPPER_FOLDERS = 30  # LFW has 5,749 folders, of which none wraps a layout


def get_reader_name(reader: Reader) -> str:
    return reader.__name__.rpartition(".")[2]


def find_reader(name: str) -> Reader:
    """The reader whose file is `fer/data/readers/<name>.py`.

    Raises:
        InputError: there is none.
    """
    for reader in (*READERS, *EXPLICIT_READERS):
        if get_reader_name(reader) == name:
            return reader
    known = ", ".join(sorted(map(get_reader_name, (*READERS, *EXPLICIT_READERS))))
    raise InputError(f"params.yaml: ingest.readers names the reader {name!r}, but the readers are {known}")


def detect_layout(root: Path, readers: Sequence[Reader] = READERS) -> tuple[Reader, Folder]:
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
    places = list(_iter_candidate_folders(whole))
    for reader in readers:
        if reader in GENERAL_READERS and found:
            break
        same = (reader, *_OVERLAPPING_READERS.get(reader, ()))
        for place in places if reader not in _WHOLE_SOURCE_READERS else (whole,):
            inside = any(other in same and place.path.is_relative_to(above.path) for other, above in found)
            if not inside and reader.matches(place):
                found.append((reader, place))
    match found:
        case [only]:
            return only[0], only[1].as_root()
        case [] if (
            len(readers) == 1 and readers[0] in _WHOLE_SOURCE_READERS
        ):  # it was named, so it need not recognise anything
            return readers[0], whole
        case []:
            there = sorted(path.name for path in root.iterdir())
            what = f"holds {', '.join(there[:3])}{', …' if there[3:] else ''}" if there else "is empty"
            raise InputError(f"{root}: {what}, but no faces in a known layout; `fer add --help` lists the layouts")
        case _:
            layouts = " and ".join(f"{get_reader_name(reader)} in {place}" for reader, place in found)
            raise InputError(
                f"{root}: holds more than one layout: {layouts}; keep one, or name its reader in ingest.readers"
            )


def _iter_candidate_folders(root: Folder) -> Iterator[Folder]:
    """`root` and what is one or two levels below, but not below a folder of so many that they are no wrappers."""
    yield root
    for folder in _list_wrapped_folders(root):
        yield folder
        yield from _list_wrapped_folders(folder)


def _list_wrapped_folders(folder: Folder) -> list[Folder]:
    inner = folder.folders()
    return inner if len(inner) <= _MAX_WRAPPER_FOLDERS else []
