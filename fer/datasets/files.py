"""What lies in a source's folder: its pictures, its folders, the lines of its lists; in an order no machine changes.

Hidden files and the litter of archives (`__MACOSX`, `Thumbs.db`, `._*`) count as not there. Links below a source's
folder are never followed; the folder itself may be one.
"""

import csv
import os
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

from fer.datasets import Dropped, Note
from fer.errors import InputError

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
MAX_LINE = 100_000  # bytes; a line of fer2013.csv has up to 9,300, and `csv` takes no value beyond 131,072

_LITTER = ("__macosx", "thumbs.db", "desktop.ini")


def below(root: Path, name: str) -> Path:
    """`root / name`, which need not exist.

    Raises:
        InputError: a part of `name` is a link.
    """
    path = root
    for part in PurePosixPath(name).parts:
        path = path / part
        if path.is_symlink():
            raise InputError(
                f"{path}: is a link, and links are not followed; put a copy there, or make {root} the link"
            )
    return path


def pictures(root: Path, name: str = "", known: Collection[str] = ()) -> Iterator[tuple[str, Path] | Dropped | Note]:
    """(id, path) of every picture in the folder `name` of `root`, at any depth.

    The id is the path below `root`. Without the folder there are none. Links and names that aren't UTF-8 are dropped;
    files of other kinds are counted in a note, but for those `known`.

    Raises:
        InputError: a folder is a link, so that nobody knows how many faces are missing.
    """
    others: Counter[str] = Counter()
    folder = below(root, name)
    if not folder.is_dir():
        return
    for directory, folders, names in os.walk(folder, onerror=_raise):
        here = Path(directory)
        folders[:] = sorted(below(here, inner).name for inner in folders if not _is_litter(inner))
        for file in sorted(file for file in names if not _is_litter(file)):
            path = here / file
            id = path.relative_to(root).as_posix()
            readable = os.fsencode(id).decode("utf-8", "backslashreplace")
            suffix = PurePosixPath(readable).suffix.lower()
            if suffix not in PICTURES:
                if id not in known:
                    others[suffix or "no suffix"] += 1
            elif path.is_symlink():
                yield Dropped(readable, "link", "links are not followed; put a copy in its place")
            elif readable != id:
                yield Dropped(readable, "file name", "not UTF-8; rename it")
            else:
                yield id, path
    if others:
        kinds = ", ".join(f"{suffix} {count}" for suffix, count in sorted(others.items()))
        yield Note(f"{others.total()} files {f'in {name}/ ' if name else ''}are no pictures and were left out: {kinds}")


def folders(path: Path) -> list[Path]:
    """The folders in `path` that are no links, sorted by name; none if it is no folder."""
    if not path.is_dir():
        return []
    with os.scandir(path) as entries:
        names = sorted(
            entry.name for entry in entries if entry.is_dir(follow_symlinks=False) and not _is_litter(entry.name)
        )
    return [path / name for name in names]


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """(number from 1, text) of each line that isn't blank; bytes that aren't UTF-8 become `�`, which no value contains.

    Raises:
        InputError: the file is UTF-16, or its lines are too long or end in \\r alone.
    """
    with path.open("rb") as file:
        if file.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            raise InputError(f"{path}: is UTF-16; save it as UTF-8")
        file.seek(0)
        ends = "save it as text with line ends \\n or \\r\\n"
        number = 0
        while line := file.readline(MAX_LINE):
            number += 1
            if len(line) == MAX_LINE:
                raise InputError(f"{path}: line {number} is longer than {MAX_LINE:,} bytes; {ends}")
            text = line.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").strip()
            if "\r" in text:
                raise InputError(f"{path}: line {number} has a carriage return inside; {ends}")
            if text:
                yield number, text


def fields(line: str) -> list[str]:
    """The values of a line of CSV, without their outer blanks."""
    return [value.strip() for value in next(csv.reader([line], skipinitialspace=True))]


def _raise(error: OSError) -> None:
    raise error


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name.casefold() in _LITTER
