"""Bring a source's files into the project."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

NAME = r"[A-Za-z0-9][A-Za-z0-9_-]*"


@contextmanager
def brought(place: Path, home: Path, move: bool) -> Iterator[None]:
    """The files of `place` are in `home`, too; after an exception they are not."""
    if place.resolve() == home.resolve():
        yield
        return
    try:
        shutil.copytree(place, home, symlinks=True, copy_function=lambda one, other: bring(one, other, move))
        yield
    except BaseException:  # also Ctrl-C
        shutil.rmtree(home, ignore_errors=True)
        pointer_of(home).unlink(missing_ok=True)
        raise


def bring(one: str | Path, other: str | Path, move: bool) -> None:
    """The file is at `other`, too: what is moved is deleted last, so that nothing is ever lost halfway."""
    if move:
        try:
            os.link(one, other)
            return
        except OSError:  # another disk, or one without hard links
            pass
    shutil.copy2(one, other)


def sizes(reader: Any, root: Any, rules: Any) -> str:
    """The sides of the first pictures, as they are."""
    from itertools import islice

    from PIL import Image

    from fer.data.media.folders import VIDEOS, File
    from fer.data.readers.record import Digits, Record

    found = set()
    for record in islice((item for item in reader.read(root, rules) if isinstance(item, Record)), 20):
        if isinstance(record.picture, Digits):
            found.add((record.picture.side, record.picture.side))
        elif isinstance(record.picture, File) and record.picture.suffix not in VIDEOS:
            try:
                with record.picture.open() as file, Image.open(cast(IO[bytes], file)) as image:
                    found.add(image.size)
            except Exception:  # what is wrong with it was told by the report
                continue
    if not found:
        return "sizes not looked at"
    (width, height), (widest, highest) = min(found), max(found)
    same = len(found) == 1
    return f"{width} x {height} pixels" if same else f"{width} x {height} to {widest} x {highest} pixels"


def legal_name(place: Path) -> str:
    """A source's name from a path: that of the folder, or of the file without its suffixes."""
    stem = place.name.split(".")[0] if place.is_file() else place.name
    return re.sub(r"[^A-Za-z0-9_-]+", "_", stem).lstrip("_-") or "source"


def pointer_of(home: Path) -> Path:
    """DVC's file on a folder."""
    return home.with_name(f"{home.name}.dvc")


def size_of(place: Path) -> int:
    """Bytes."""
    files = place.rglob("*") if place.is_dir() else [place]
    return sum(file.stat().st_size for file in files if file.is_file())


def in_bytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
