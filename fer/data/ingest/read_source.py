"""The faces of a dataset, for programs that want no project: images, labels and folds, one after the other."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from fer.data.ingest.add_source import link_or_copy
from fer.data.ingest.detect import EXPLICIT_READERS, READERS, detect_layout, find_reader, get_reader_name
from fer.data.ingest.extraction import extract_faces
from fer.data.media.folders import Note, SkippedItem
from fer.data.readers.params import Ingest
from fer.runtime.errors import InputError


class SourceFace(NamedTuple):
    """A face of a source with what its owner says of it."""

    image: UInt8[np.ndarray, "size size"]
    label: str | None
    fold: str | None


def read_source(
    path: str | Path,
    reader: str | None = None,
    settings: Ingest | None = None,
    skipped: list[SkippedItem] | None = None,
) -> Iterator[SourceFace]:
    """Yield the faces of a dataset, of images or of videos: grey squares of `settings.size` pixels.

    Args:
        path: A folder, archive, table or video in one of the known layouts.
        reader: The name of the layout, one of `list_readers()`; by default the layout is detected.
        settings: The section `ingest` of params.yaml; by default that of the shipped params.yaml.
        skipped: A list that receives each item without a face, with the reason.

    Yields:
        Image, label (an emotion, or None if the face is unlabelled) and fold (train, valid or test, or None if the
        owner has none).

    Raises:
        InputError: The path does not exist, or its layout is unknown or ambiguous.
    """
    root, settings = Path(path), settings or Ingest.default()
    if not root.exists():
        raise InputError(f"{root}: no such file or folder")
    with tempfile.TemporaryDirectory() as folder:
        if root.is_file():  # readers read folders
            link_or_copy(root.resolve(), Path(folder, root.name), move=True)
            root = Path(folder)
        layout, place = detect_layout(root, [find_reader(reader)] if reader else READERS)
        items = (item for item in layout.read(place, settings) if not isinstance(item, Note))
        # Threads, as a script without a main guard starts no process.
        for extraction in extract_faces(items, settings, threads=True):
            for result in extraction.results:
                if not isinstance(result, SkippedItem):
                    yield SourceFace(result.pixels, result.record.emotion, result.record.fold)
                elif skipped is not None:
                    skipped.append(result)


def list_readers() -> list[str]:
    """Return the names of the known dataset layouts."""
    return [get_reader_name(reader) for reader in (*READERS, *EXPLICIT_READERS)]
