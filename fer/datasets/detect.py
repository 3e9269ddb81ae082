"""Which layout is this? The readers, in the order in which they are tried."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from fer.datasets import Found, fer2013_csv, fer2013_folder, files, rafdb, rafdb_kaggle, tree
from fer.errors import InputError


@runtime_checkable
class Reader(Protocol):
    """What each reader's module offers; see `fer.datasets`."""

    __name__: str
    LAYOUT: str

    def recognises(self, root: Path) -> bool: ...

    def read(self, root: Path) -> Iterator[Found]: ...


READERS: tuple[Reader, ...] = (
    rafdb,
    rafdb_kaggle,
    fer2013_csv,
    fer2013_folder,
    tree,
)  # `tree` takes anything, so it is last


def name_of(reader: Reader) -> str:
    return reader.__name__.rpartition(".")[2]


def reader_named(name: str) -> Reader:
    """The reader whose file is `fer/datasets/<name>.py`.

    Raises:
        InputError: there is none.
    """
    for reader in READERS:
        if name_of(reader) == name:
            return reader
    known = ", ".join(name_of(reader) for reader in READERS)
    raise InputError(f"params.yaml: ingest.readers names the reader {name!r}, but the readers are {known}")


def recognise(root: Path, readers: Sequence[Reader] = READERS) -> tuple[Reader, Path]:
    """The first of `readers` that knows the layout, and where it is: `root` or a folder one or two levels below.

    Raises:
        InputError: the folder is missing or empty, or holds no layout, or two.
    """
    if not root.is_dir():
        raise InputError(
            f"{root}: no such folder; put the source's files there, or take {root.name} out of `sources` in params.yaml"
        )
    found: list[tuple[Reader, Path]] = []
    for reader in readers:
        if reader is tree and found:
            break
        for place in _places(root):
            inside_other = any(other is reader and place.is_relative_to(above) for other, above in found)
            if not inside_other and reader.recognises(place):
                found.append((reader, place))
    match found:
        case [only]:
            return only
        case []:
            there = sorted(path.name for path in root.iterdir())
            what = f"holds {', '.join(there[:3])}{', …' if there[3:] else ''}" if there else "is empty"
            layouts = "; ".join(f"{name_of(reader)}: {reader.LAYOUT}" for reader in readers)
            raise InputError(
                f"{root}: {what}, but no faces in a known layout; unpack archives and compare with {layouts}"
            )
        case _:
            layouts = " and ".join(f"{name_of(reader)} in {place}" for reader, place in found)
            raise InputError(
                f"{root}: holds more than one layout: {layouts}; keep one, or name its reader in ingest.readers"
            )


def _places(root: Path) -> Iterator[Path]:
    yield root
    for folder in files.folders(root):
        yield folder
        yield from files.folders(folder)
