"""AffectNet as handed out later: for each face a picture and four small arrays (Mollahosseini et al., 2019).

Of the arrays only `<id>_exp.npy` is read, the number of the emotion as a string or a number. The owners hold out
nothing but the validation part; a `test_set`, which some copies have, is taken for what it is called.
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
_MAX_ARRAY_BYTES = 4096  # of an array; one value takes about 140


def matches(root: Folder) -> bool:
    return any(
        annotations.file(f"{picture.stem}{_LABEL_SUFFIX}")
        for _, images, annotations in _iter_parts(root)
        for picture in islice((entry for entry in images.entries() if isinstance(entry, File)), 10)
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
                yield SkippedItem(item.id, "unreadable label", f"{annotation.id} is no array of one string or number")
            else:
                yield affectnet_csv.make_affectnet_record(item, code, fold)
        for entry in annotations.entries():
            if isinstance(entry, File) and entry.name.endswith(_LABEL_SUFFIX):
                stem = entry.name.removesuffix(_LABEL_SUFFIX)
                if stem not in stems:
                    yield SkippedItem(entry.id, "missing picture", f"no {stem}.jpg in {images.id}")


def _iter_parts(root: Folder) -> Iterator[tuple[str, Folder, Folder]]:
    """Fold, pictures and arrays of each part."""
    for name, fold in _FOLDS.items():
        if part := root.inner_folder(name):
            images, annotations = part.folder("images"), part.folder("annotations")
            if images and annotations:
                yield fold, images, annotations


def _read_code(file: File) -> str | None:
    """What an array of one value holds; None where it holds anything else."""
    with file.open() as content:
        data = content.read(_MAX_ARRAY_BYTES)
    with warnings.catch_warnings(action="ignore"):
        try:
            value = np.lib.format.read_array(BytesIO(data), allow_pickle=False).item()
        except Exception:  # on damaged bytes numpy raises nearly anything
            return None
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
    return text.strip().removesuffix(".0")
