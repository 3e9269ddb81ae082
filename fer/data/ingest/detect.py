"""Detection of a source's layout by the readers, which are the modules of `fer/data/readers` with a `LAYOUT`."""

from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Protocol, cast, runtime_checkable

import fer.data.readers
from fer.data.media.folders import Folder
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem
from fer.runtime.errors import InputError


@runtime_checkable
class Reader(Protocol):
    """A module of `fer/data/readers`, for one layout in which a dataset is distributed.

    For a dataset of which altered copies circulate, `PIXELS` is the mean and standard deviation of the original.
    """

    __name__: str
    LAYOUT: str  # in words, for `fer add --help`
    LICENSE_TERMS: str  # the owner's, in one sentence, for `fer add`

    def matches(self, root: Folder) -> bool: ...  # checks names and reads little

    def read(self, root: Folder, settings: Ingest) -> Iterator[ReaderItem]: ...  # in the same order on every machine


def _import_readers() -> dict[str, Reader]:
    modules = {
        name: import_module(f"fer.data.readers.{name}") for _, name, _ in iter_modules(fer.data.readers.__path__)
    }
    return {name: cast(Reader, module) for name, module in modules.items() if hasattr(module, "LAYOUT")}


_READERS = _import_readers()
_WHOLE_SOURCE_READERS = (_READERS["photos"], _READERS["tree"])  # they read every file of a source, in any folder
# These match nearly any folder, so they are tried last, and only if no specific reader matches.
GENERAL_READERS = (_READERS["class_folders"], *_WHOLE_SOURCE_READERS)
EXPLICIT_READERS = (_READERS["affectnet_folders"],)  # used only if ingest.readers names them
# Each specific reader recognises its own layout by file names that no other layout has.
_NOT_SPECIFIC = (*GENERAL_READERS, *EXPLICIT_READERS)
READERS = (*(reader for reader in _READERS.values() if reader not in _NOT_SPECIFIC), *GENERAL_READERS)

_OVERLAPPING_READERS = {"fer2013_csv": ("ferplus_csv", "ckextended")}  # it also matches the layouts of these
_MAX_WRAPPER_FOLDERS = 30  # a folder with more, such as LFW with 5,749, does not wrap a layout


def get_reader_name(reader: Reader) -> str:
    return reader.__name__.rpartition(".")[2]


def find_reader(name: str) -> Reader:
    """Return the reader in the file `fer/data/readers/<name>.py`."""
    if name not in _READERS:
        raise InputError(
            f"params.yaml: ingest.readers names the reader {name!r}, but the readers are {', '.join(_READERS)}"
        )
    return _READERS[name]


def detect_layout(root: Path, readers: Sequence[Reader] = READERS) -> tuple[Reader, Folder]:
    """Return the first of `readers` that matches `root` or a folder or archive up to two levels below, and that place.

    Raises:
        InputError: The folder is missing or empty, or holds no known layout or several.
    """
    if not root.is_dir():
        raise InputError(
            f"{root}: no such folder; put the source's files there, or take {root.name} out of `sources` in params.yaml"
        )
    matches: list[tuple[Reader, Folder]] = []
    source = Folder(root)
    candidates = list(_iter_candidate_folders(source))
    for reader in readers:
        if reader in GENERAL_READERS and matches:
            break
        for folder in (source,) if reader in _WHOLE_SOURCE_READERS else candidates:
            if not _is_covered(folder, matches, get_reader_name(reader)) and reader.matches(folder):
                matches.append((reader, folder))
    matches = [
        (reader, folder)
        for reader, folder in matches
        if not _is_covered(folder, matches, *_OVERLAPPING_READERS.get(get_reader_name(reader), ()))
    ]
    match matches:
        case [(reader, folder)]:
            return reader, folder.as_root()
        case [] if len(readers) == 1 and readers[0] in _WHOLE_SOURCE_READERS:  # named by the user, so it need not match
            return readers[0], source
        case []:
            names = sorted(path.name for path in root.iterdir())
            content = f"holds {', '.join(names[:3])}{', …' if names[3:] else ''}" if names else "is empty"
            raise InputError(f"{root}: {content}, but no faces in a known layout; `fer add --help` lists the layouts")
        case _:
            layouts = " and ".join(f"{get_reader_name(reader)} in {folder}" for reader, folder in matches)
            raise InputError(
                f"{root}: holds more than one layout: {layouts}; keep one, or name its reader in ingest.readers"
            )


def _is_covered(folder: Folder, matches: Sequence[tuple[Reader, Folder]], *names: str) -> bool:
    """Return whether a match at or above `folder` is of one of the readers called `names`."""
    return any(get_reader_name(match) in names and folder.path.is_relative_to(top.path) for match, top in matches)


def _iter_candidate_folders(root: Folder) -> Iterator[Folder]:
    """Yield `root` and the folders one or two levels below, except below a folder of too many to be wrappers."""
    yield root
    for folder in _list_wrapped_folders(root):
        yield folder
        yield from _list_wrapped_folders(folder)


def _list_wrapped_folders(folder: Folder) -> list[Folder]:
    inner = folder.folders()
    return inner if len(inner) <= _MAX_WRAPPER_FOLDERS else []
