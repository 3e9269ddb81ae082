"""Write trees of files for the tests of readers, and summarise the items that a reader yields."""

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from PIL import Image

from fer.data.media.folders import Folder, Note, SkippedItem
from fer.data.readers.record import ReaderItem, Record

FUZZ_SETTINGS = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def save_image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)).save(path)


def save_images(root: Path, *names: str) -> Path:
    for name in names:
        save_image(root / name)
    return root


def touch(root: Path, *names: str) -> Path:
    for name in names:
        write_file(root / name, b"")
    return root


def write_file(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def zip_folder(root: Path, archive: Path) -> Folder:
    """Write what is below `root` to a new zip file, and return it as the folder that a reader gets."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(root.rglob("*")):
            if path.is_file():
                file.write(path, path.relative_to(root).as_posix())
    folder = Folder(archive.parent).folder(archive.stem)
    assert folder is not None
    return folder.as_root()


def summarize_items(items: Iterable[ReaderItem]) -> list[Any]:
    """Return all that a reader yields, apart from the images."""
    return [
        (item.id, item.emotion, item.fold, item.raw, item.group, item.face_mode, item.box, item.by_rule)
        if isinstance(item, Record)
        else item
        for item in items
    ]


def face_labels(items: Iterable[ReaderItem]) -> list[Any]:
    """Return id, emotion and fold of each face, and other items as they are."""
    return [(item.id, item.emotion, item.fold) if isinstance(item, Record) else item for item in items]


def skip_reasons(items: Iterable[ReaderItem]) -> list[tuple[str, str]]:
    return [(item.id, item.reason) for item in items if isinstance(item, SkippedItem)]


def note_texts(items: Iterable[ReaderItem]) -> list[str]:
    return [item.text for item in items if isinstance(item, Note)]


def count_lines(content: bytes) -> int:
    """Return the number of lines that are not blank."""
    lines = (line.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace") for line in content.split(b"\n"))
    return sum(bool(line.strip()) for line in lines)


def count_reported_lines(items: list[ReaderItem]) -> int:
    """Return the number of faces and of skipped lines."""
    return len(items) - sum(reason == "without label" for _, reason in skip_reasons(items))
