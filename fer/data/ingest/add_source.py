"""Name a new source and copy its files into the project."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOURCE_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]*"


def default_source_name(path: Path) -> str:
    """Return a source's name from a path: the name of the folder, or of the file without its suffixes."""
    stem = path.name.split(".")[0] if path.is_file() else path.name
    return re.sub(r"[^A-Za-z0-9_-]+", "_", stem).lstrip("_-") or "source"


def dvc_file(folder: Path) -> Path:
    """Return the path of the `.dvc` file that DVC writes for a folder."""
    return folder.with_name(f"{folder.name}.dvc")


@contextmanager
def import_files(src: Path, dst: Path, move: bool) -> Iterator[None]:
    """Copy the files of `src` to `dst`, as hard links with `move`; remove them again if the body fails."""
    if src.resolve() == dst.resolve():
        yield
        return
    try:
        shutil.copytree(src, dst, symlinks=True, copy_function=lambda file, copy: link_or_copy(file, copy, move))
        yield
    except BaseException:  # Ctrl-C must remove the copy as well
        shutil.rmtree(dst, ignore_errors=True)
        dvc_file(dst).unlink(missing_ok=True)
        raise


def link_or_copy(src: str | Path, dst: str | Path, move: bool) -> None:
    """Copy a file, or link it with `move`; the caller deletes `src` last, so that no failure loses data."""
    if move:
        try:
            os.link(src, dst)
            return
        except OSError:  # another disk, or one without hard links
            pass
    shutil.copy2(src, dst)


def total_bytes(path: Path) -> int:
    """Return the size of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def format_bytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
