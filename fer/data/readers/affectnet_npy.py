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
from fer.data.media.issues import Dropped
from fer.data.readers import affectnet_csv
from fer.data.readers.params import Ingest
from fer.data.readers.record import Found

LAYOUT = "train_set/ and val_set/ with images/<id>.jpg and annotations/<id>_exp.npy"
TERMS = affectnet_csv.TERMS

_FOLDS = {"train_set": "train", "val_set": "valid", "test_set": "test"}
_EMOTION = "_exp.npy"
_MAX_BYTES = 4096  # of an array; one value takes about 140


def recognises(root: Folder) -> bool:
    return any(
        annotations.file(f"{picture.stem}{_EMOTION}")
        for _, images, annotations in _parts(root)
        for picture in islice((entry for entry in images.entries() if isinstance(entry, File)), 10)
    )


def read(root: Folder, rules: Ingest) -> Iterator[Found]:
    for fold, images, annotations in _parts(root):
        stems = set()
        for item in folders.pictures(images):
            if not isinstance(item, File):
                yield item
                continue
            stems.add(item.stem)
            annotation = annotations.file(f"{item.stem}{_EMOTION}")
            if annotation is None:
                yield Dropped(item.id, "without label", f"no {item.stem}{_EMOTION} in {annotations.id}")
            elif (code := _number(annotation)) is None:
                yield Dropped(item.id, "unreadable label", f"{annotation.id} is no array of one string or number")
            else:
                yield affectnet_csv.face(item, code, fold)
        for entry in annotations.entries():
            if isinstance(entry, File) and entry.name.endswith(_EMOTION):
                stem = entry.name.removesuffix(_EMOTION)
                if stem not in stems:
                    yield Dropped(entry.id, "missing picture", f"no {stem}.jpg in {images.id}")


def _parts(root: Folder) -> Iterator[tuple[str, Folder, Folder]]:
    """Fold, pictures and arrays of each part."""
    for name, fold in _FOLDS.items():
        if part := root.unpacked(name):
            images, annotations = part.folder("images"), part.folder("annotations")
            if images and annotations:
                yield fold, images, annotations


def _number(file: File) -> str | None:
    """What an array of one value holds; None where it holds anything else."""
    with file.open() as content:
        data = content.read(_MAX_BYTES)
    with warnings.catch_warnings(action="ignore"):
        try:
            value = np.lib.format.read_array(BytesIO(data), allow_pickle=False).item()
        except Exception:  # on damaged bytes numpy raises nearly anything
            return None
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
    return text.strip().removesuffix(".0")
