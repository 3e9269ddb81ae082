"""Bring a source's files into the project."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

SOURCE_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]*"


@contextmanager
def import_files(src: Path, dst: Path, move: bool) -> Iterator[None]:
    """The files of `src` are in `dst`, too; after an exception they are not."""
    if src.resolve() == dst.resolve():
        yield
        return
    try:
        shutil.copytree(src, dst, symlinks=True, copy_function=lambda one, other: link_or_copy(one, other, move))
        yield
    except BaseException:  # also Ctrl-C
        shutil.rmtree(dst, ignore_errors=True)
        dvc_file(dst).unlink(missing_ok=True)
        raise


def link_or_copy(src: str | Path, dst: str | Path, move: bool) -> None:
    """The file is at `dst`, too: what is moved is deleted last, so that nothing is ever lost halfway."""
    if move:
        try:
            os.link(src, dst)
            return
        except OSError:  # another disk, or one without hard links
            pass
    shutil.copy2(src, dst)


def format_native_sizes(reader: Any, root: Any, rules: Any) -> str:
    """The sides of the first pictures, as they are."""
    from itertools import islice

    from PIL import Image

    from fer.data.media.folders import VIDEO_SUFFIXES, File
    from fer.data.readers.record import PixelText, Record

    found = set()
    for record in islice((item for item in reader.read(root, rules) if isinstance(item, Record)), 20):
        if isinstance(record.image, PixelText):
            found.add((record.image.side, record.image.side))
        elif isinstance(record.image, File) and record.image.suffix not in VIDEO_SUFFIXES:
            try:
                with record.image.open() as file, Image.open(cast(IO[bytes], file)) as image:
                    found.add(image.size)
            except Exception:  # what is wrong with it was told by the report
                continue
    if not found:
        return "sizes not looked at"
    (width, height), (widest, highest) = min(found), max(found)
    same = len(found) == 1
    return f"{width} x {height} pixels" if same else f"{width} x {height} to {widest} x {highest} pixels"


def default_source_name(path: Path) -> str:
    """A source's name from a path: that of the folder, or of the file without its suffixes."""
    stem = path.name.split(".")[0] if path.is_file() else path.name
    return re.sub(r"[^A-Za-z0-9_-]+", "_", stem).lstrip("_-") or "source"


def dvc_file(folder: Path) -> Path:
    """DVC's file on a folder."""
    return folder.with_name(f"{folder.name}.dvc")


def total_bytes(path: Path) -> int:
    """Bytes."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def format_bytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
