"""AffectNet for YOLO detectors (Kaggle's fatihkgg/affectnet-yolo-format): a text file for each image.

A line has the format `code x y width height`. The codes are those of `data.yaml`, not AffectNet's own. The images are
face crops, so the box is ignored.
"""

from collections.abc import Iterator

import yaml

from fer.core.labels import parse_emotion
from fer.data.media import folders
from fer.data.media.folders import File, Folder
from fer.data.media.issues import SkippedItem
from fer.data.readers import affectnet_csv
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record
from fer.runtime.yaml_files import StrictYamlLoader

LAYOUT = "data.yaml with emotions under `names`, and train/, valid/, test/ with images/ and labels/"
LICENSE_TERMS = affectnet_csv.LICENSE_TERMS

_FOLDS = {"train": "train", "valid": "valid", "val": "valid", "test": "test"}
_MAX_YAML_BYTES = 1 << 16


def matches(root: Folder) -> bool:
    return bool(_read_emotions(root)) and any(_iter_parts(root))


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    emotions = _read_emotions(root)
    for fold, images, labels in _iter_parts(root):
        stems = set()
        for item in folders.walk_media(images):
            if not isinstance(item, File):
                yield item
                continue
            stems.add(item.stem)
            yield _make_record(item, labels.file(f"{item.stem}.txt"), emotions, fold)
        for file in labels.files():
            if file.suffix == ".txt" and file.stem not in stems:
                yield SkippedItem(file.id, "missing picture", f"no {file.stem}.jpg in {images.id}")


def _make_record(image: File, label: File | None, emotions: dict[str, str], fold: str) -> Record | SkippedItem:
    rows = [line.split() for _, line in folders.read_lines(label)] if label else []
    if not rows:
        return SkippedItem(image.id, "without label", "its text file is empty" if label else "no text file in labels/")
    if wrong_lengths := [len(values) for values in rows if len(values) != 5]:
        return SkippedItem(image.id, "number of columns", f"{wrong_lengths[0]}; allowed 5, a code and a box")
    code, *other_codes = sorted({values[0] for values in rows})
    if other_codes:
        return SkippedItem(image.id, "contradictory labels", f"{code[:20]!r} and {other_codes[0][:20]!r}")
    if code not in emotions:
        allowed = ", ".join(f"{number} {name}" for number, name in emotions.items())
        return SkippedItem(image.id, "unknown label", f"{code[:20]!r}; allowed {allowed}")
    return Record(image.id, image, emotions[code], fold)


def _iter_parts(root: Folder) -> Iterator[tuple[str, Folder, Folder]]:
    """Yield the fold, the image folder and the label folder of each part."""
    for name, fold in _FOLDS.items():
        images, labels = root.folder(f"{name}/images"), root.folder(f"{name}/labels")
        if images and labels:
            yield fold, images, labels


def _read_emotions(root: Folder) -> dict[str, str]:
    """Return the emotion of each code; empty if data.yaml is missing or a name is not an emotion."""
    file = root.file("data.yaml")
    if file is None:
        return {}
    with file.open() as content:
        data = content.read(_MAX_YAML_BYTES + 1)
    emotions = {}  # None: a name that is not an emotion
    try:
        names = yaml.load(data, StrictYamlLoader)["names"] if len(data) <= _MAX_YAML_BYTES else {}
        for number, name in names.items() if isinstance(names, dict) else enumerate(names):
            # Not str(name): nested YAML aliases in a small file expand to endless text.
            emotions[str(number)] = parse_emotion(name) if isinstance(name, str) else None
    except Exception:  # YAML of any other form raises nearly any exception
        return {}
    known_emotions = {number: emotion for number, emotion in emotions.items() if emotion}
    return known_emotions if len(known_emotions) == len(emotions) else {}
