"""AffectNet in the later distribution: an image and four small arrays for each face (Mollahosseini et al., 2019).

Only the array `<id>_exp.npy` is read: the code of the emotion, as a string or a number. The owners hold out only a
validation part. Some copies have a `test_set`, which is read as the test fold.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from io import BytesIO
from itertools import islice

import numpy as np

from fer.data.media import folders
from fer.data.media.folders import File, Folder, SkippedItem
from fer.data.readers import affectnet_csv
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record

LAYOUT = "train_set/ and val_set/ with images/<id>.jpg and annotations/<id>_exp.npy"
LICENSE_TERMS = affectnet_csv.LICENSE_TERMS

_FOLDS = {"train_set": "train", "val_set": "valid", "test_set": "test"}
_LABEL_SUFFIX = "_exp.npy"
_MAX_ARRAY_BYTES = 4096  # an array of one value takes about 140


def matches(root: Folder) -> bool:
    return any(
        annotations.file(f"{image.stem}{_LABEL_SUFFIX}")
        for _, images, annotations in iter_parts(root, _FOLDS, "annotations")
        for image in islice((entry for entry in images.entries() if isinstance(entry, File)), 10)
    )


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    return read_labelled_images(iter_parts(root, _FOLDS, "annotations"), _LABEL_SUFFIX, _make_record)


def iter_parts(root: Folder, folds: Mapping[str, str], labels_name: str) -> Iterator[tuple[str, Folder, Folder]]:
    """Yield the fold, the image folder and the label folder of each part; `folds` has the fold of each part."""
    for name, fold in folds.items():
        if part := root.inner_folder(name):
            images, labels = part.folder("images"), part.folder(labels_name)
            if images and labels:
                yield fold, images, labels


def read_labelled_images(
    parts: Iterable[tuple[str, Folder, Folder]],
    label_suffix: str,
    make_item: Callable[[File, File | None, str], Record | SkippedItem],
) -> Iterator[ReaderItem]:
    """Yield the item that `make_item` returns for each image, its label file and its fold, and files without image."""
    for fold, images, labels in parts:
        stems = set()
        for item in folders.walk_media(images):
            if isinstance(item, File):
                stems.add(item.stem)
                yield make_item(item, labels.file(f"{item.stem}{label_suffix}"), fold)
            else:
                yield item
        for file in labels.files():
            stem = file.name.removesuffix(label_suffix)
            if stem != file.name and stem not in stems:
                yield SkippedItem(file.id, "missing picture", f"no {stem}.jpg in {images.id}")


def _make_record(image: File, label: File | None, fold: str) -> Record | SkippedItem:
    if label is None:
        return SkippedItem(image.id, "without label", f"no {image.stem}{_LABEL_SUFFIX} in annotations/")
    code = _read_code(label)
    if code is None:
        return SkippedItem(image.id, "unreadable label", f"{label.id} does not hold one string or number")
    return affectnet_csv.make_affectnet_record(image, code, fold)


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
