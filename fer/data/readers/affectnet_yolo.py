"""AffectNet for YOLO detectors (Kaggle's fatihkgg/affectnet-yolo-format): a text file for each image.

A line has the format `code x y width height`. The codes are those of `data.yaml`, not AffectNet's own. The images are
face crops, so the box is ignored.
"""

from collections.abc import Iterator, Mapping
from functools import partial

import yaml

from fer.core.labels import EMOTION_ALIASES
from fer.data.media import folders
from fer.data.media.folders import File, Folder, SkippedItem
from fer.data.readers import affectnet_npy
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record, skip_unknown_label
from fer.runtime.yaml_files import StrictYamlLoader

LAYOUT = "data.yaml with emotions under `names`, and train/, valid/, test/ with images/ and labels/"
LICENSE_TERMS = affectnet_npy.LICENSE_TERMS

_FOLDS = {"train": "train", "valid": "valid", "val": "valid", "test": "test"}
_MAX_YAML_BYTES = 1 << 16


def matches(root: Folder) -> bool:
    return bool(_read_emotions(root)) and any(affectnet_npy.iter_parts(root, _FOLDS, "labels"))


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    parts = affectnet_npy.iter_parts(root, _FOLDS, "labels")
    return affectnet_npy.read_labelled_images(parts, ".txt", partial(_make_record, emotions=_read_emotions(root)))


def _make_record(image: File, label: File | None, fold: str, emotions: Mapping[str, str]) -> Record | SkippedItem:
    rows = [line.split() for _, line in folders.read_lines(label)] if label else []
    if not rows:
        return SkippedItem(image.id, "without label", "its text file is empty" if label else "no text file in labels/")
    if wrong_lengths := [len(values) for values in rows if len(values) != 5]:
        return SkippedItem(image.id, "number of columns", f"{wrong_lengths[0]}; allowed 5, a code and a box")
    code, *other_codes = sorted({values[0] for values in rows})
    if other_codes:
        return SkippedItem(image.id, "contradictory labels", f"{code[:20]!r} and {other_codes[0][:20]!r}")
    if code not in emotions:
        return skip_unknown_label(image.id, code, emotions)
    return Record(image.id, image, emotions[code], fold)


def _read_emotions(root: Folder) -> dict[str, str]:
    """Return the emotion of each code; empty if data.yaml is missing or a name is not an emotion."""
    file = root.file("data.yaml")
    if file is None:
        return {}
    with file.open() as content:
        data = content.read(_MAX_YAML_BYTES + 1)
    try:
        names = yaml.load(data, StrictYamlLoader)["names"] if len(data) <= _MAX_YAML_BYTES else {}
        numbered_names = names.items() if isinstance(names, dict) else enumerate(names)
        return {str(number): EMOTION_ALIASES[name.strip().casefold()] for number, name in numbered_names}
    except Exception:  # YAML of any other form raises nearly any exception
        return {}
