"""SFEW 2.0, film frames with seven emotions (Dhall, Goecke, Lucey and Gedeon, 2011; 2.0: EmotiW 2015).

`Train`, `Val` and `Test` have the frames; `<Part>_Aligned_Faces`, beside or inside them, has the owners' face crops. If
a frame has no crop, its largest face is detected. File names start with the film, which is the group. The owners do not
publish the labels of the test part, so its faces are unlabelled.
"""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Literal

from fer.data.media import folders
from fer.data.media.folders import File, Folder, Note, SkippedItem
from fer.data.readers.class_folders import find_folder_emotion, skip_unknown_emotion
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record

LAYOUT = "Train/, Val/, Test/ or Train_Aligned_Faces/ … with <emotion>/<film>_000519240_00000005.png"
LICENSE_TERMS = "for non-commercial research, by agreement with the owner; redistribution not allowed"

_FOLDS = {"Train": "train", "Val": "valid", "Test": None}
_NUMBERS_PATTERN = re.compile(r"(_\d+)+$")  # scene and frame numbers, after the film
_NAME_PATTERN = re.compile(r".+_\d{6,}_\d{6,}")
_SAMPLE_IMAGES = 40


def matches(root: Folder) -> bool:
    return any(
        isinstance(item, File) and find_folder_emotion(item) and _NAME_PATTERN.fullmatch(item.stem)
        for part in _FOLDS
        for folder in (_find_aligned_folder(root, part), root.folder(part))
        for item in islice(folders.walk_media(folder), _SAMPLE_IMAGES)
    )


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    for part, fold in _FOLDS.items():
        crops = _find_aligned_folder(root, part)
        crop_stems = set()
        for item in folders.walk_media(crops):
            if isinstance(item, File):
                crop_stems.add(item.stem)
                yield make_film_record(item, fold, _NUMBERS_PATTERN.sub("", item.stem), "whole")
            else:
                yield item
        for item in folders.walk_media(root.folder(part)):
            if isinstance(item, Note):
                yield item
            elif crops and item.id.startswith(f"{crops.id}/"):
                continue
            elif isinstance(item, SkippedItem):
                yield item
            elif item.stem in crop_stems:
                yield SkippedItem(item.id, "frame of a cut-out face", f"the face is in {crops}", is_defect=False)
            else:
                yield make_film_record(item, fold, _NUMBERS_PATTERN.sub("", item.stem), "one")


def make_film_record(
    file: File, fold: str | None, group: str, face_mode: Literal["whole", "one"]
) -> Record | SkippedItem:
    """Return the face, labelled by its folder; a `fold` of None is the test part, whose faces may have no label."""
    emotion = find_folder_emotion(file)
    if fold and not emotion:
        return skip_unknown_emotion(file)
    return Record(file.id, file, emotion, fold or (emotion and "test"), group=group, face_mode=face_mode)


def _find_aligned_folder(root: Folder, part: str) -> Folder | None:
    """Return the folder of face crops; the owners corrected that of the validation part (`_new`)."""
    names = (f"{part}_Aligned_Faces_new", f"{part}_Aligned_Faces")
    return root.folder(*(f"{part}/{name}" for name in names), *names)
