"""AffectNet in the later distribution: an image and four small arrays for each face (Mollahosseini et al., 2019).

Only the array `<id>_exp.npy` is read: the code of the emotion, as a string or a number. The owners hold out only a
validation part. Some copies have a `test_set`, which is read as the test fold.
"""

import warnings
from collections.abc import Iterator
from io import BytesIO
from itertools import islice

import numpy as np

from fer.data.media import folders
from fer.data.media.folders import File, Folder
from fer.data.media.issues import SkippedItem
from fer.data.readers import affectnet_csv
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem

LAYOUT = "train_set/ and val_set/ with images/<id>.jpg and annotations/<id>_exp.npy"
LICENSE_TERMS = affectnet_csv.LICENSE_TERMS

_FOLDS = {"train_set": "train", "val_set": "valid", "test_set": "test"}
_LABEL_SUFFIX = "_exp.npy"
_MAX_ARRAY_BYTES = 4096  # an array of one value takes about 140


def matches(root: Folder) -> bool:
    return any(
        annotations.file(f"{image.stem}{_LABEL_SUFFIX}")
        for _, images, annotations in _iter_parts(root)
        for image in islice((entry for entry in images.entries() if isinstance(entry, File)), 10)
    )


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    for fold, images, annotations in _iter_parts(root):
        stems = set()
        for item in folders.walk_media(images):
            if not isinstance(item, File):
                yield item
                continue
            stems.add(item.stem)
            annotation = annotations.file(f"{item.stem}{_LABEL_SUFFIX}")
            if annotation is None:
                yield SkippedItem(item.id, "without label", f"no {item.stem}{_LABEL_SUFFIX} in {annotations.id}")
            elif (code := _read_code(annotation)) is None:
                yield SkippedItem(item.id, "unreadable label", f"{annotation.id} does not hold one string or number")
            else:
                yield affectnet_csv.make_affectnet_record(item, code, fold)
        for entry in annotations.entries():
            if isinstance(entry, File) and entry.name.endswith(_LABEL_SUFFIX):
                stem = entry.name.removesuffix(_LABEL_SUFFIX)
                if stem not in stems:
                    yield SkippedItem(entry.id, "missing picture", f"no {stem}.jpg in {images.id}")


def _iter_parts(root: Folder) -> Iterator[tuple[str, Folder, Folder]]:
    """Yield the fold, the image folder and the array folder of each part."""
    for name, fold in _FOLDS.items():
        if part := root.inner_folder(name):
            images, annotations = part.folder("images"), part.folder("annotations")
            if images and annotations:
                yield fold, images, annotations


def _read_code(file: File) -> str | None:
    """Return the value of a one-element array as text, None for any other content."""
    with file.open() as content:
        data = content.read(_MAX_ARRAY_BYTES)
    with warnings.catch_warnings(action="ignore"):
        try:
            value = np.lib.format.read_array(BytesIO(data), allow_pickle=False).item()
        except Exception:  # NumPy raises nearly any exception on damaged bytes
            return None
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
    return text.strip().removesuffix(".0")
