"""SFEW 2.0, frames of films with seven emotions (Dhall, Goecke, Lucey and Gedeon, 2011; 2.0: EmotiW 2015).

`Train`, `Val` and `Test` have the frames, `<Part>_Aligned_Faces` the owners' cut-out faces, beside or inside them. The
cut-out face is taken where there is one, otherwise the largest of the frame. Names start with the film, which is the
group. The owners keep the labels of the test part, so its faces are unlabelled.
"""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Literal

from fer.data.media import folders
from fer.data.media.folders import File, Folder
from fer.data.media.issues import Note, SkippedItem
from fer.data.readers.class_folders import find_folder_emotion, skip_unknown_emotion
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record

LAYOUT = "Train/, Val/, Test/ or Train_Aligned_Faces/ … with <emotion>/<film>_000519240_00000005.png"
LICENSE_TERMS = "for non-commercial research, by agreement with the owner; may not be passed on"

_FOLDS = {"Train": "train", "Val": "valid", "Test": None}
_NUMBERS_PATTERN = re.compile(r"(_\d+)+$")  # of the scene and the frame, after the film
_NAME_PATTERN = re.compile(r".+_\d{6,}_\d{6,}")
_SAMPLE_IMAGES = 40  # names of pictures


def matches(root: Folder) -> bool:
    return any(
        isinstance(item, File) and find_folder_emotion(item) and _NAME_PATTERN.fullmatch(item.stem)
        for part in _FOLDS
        for folder in (_find_aligned_folder(root, part), root.folder(part))
        for item in islice(folders.walk_media(folder), _SAMPLE_IMAGES)
    )


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    for part, fold in _FOLDS.items():
        aligned = _find_aligned_folder(root, part)
        cut_out = set()
        for item in folders.walk_media(aligned):
            if isinstance(item, File):
                cut_out.add(item.stem)
                yield _make_record(item, fold, "whole")
            else:
                yield item
        for item in folders.walk_media(root.folder(part)):
            if isinstance(item, Note):
                yield item
            elif aligned and item.id.startswith(f"{aligned.id}/"):
                continue
            elif isinstance(item, SkippedItem):
                yield item
            elif item.stem in cut_out:
                yield SkippedItem(item.id, "frame of a cut-out face", f"the face is in {aligned}", is_defect=False)
            else:
                yield _make_record(item, fold, "one")


def _make_record(picture: File, fold: str | None, faces: Literal["whole", "one"]) -> Record | SkippedItem:
    emotion = find_folder_emotion(picture)
    if fold and not emotion:
        return skip_unknown_emotion(picture)
    film = _NUMBERS_PATTERN.sub("", picture.stem)
    return Record(picture.id, picture, emotion, fold or (emotion and "test"), group=film, face_mode=faces)


def _find_aligned_folder(root: Folder, part: str) -> Folder | None:
    """The folder of the cut-out faces; of the validation part a corrected one was handed out."""
    names = (f"{part}_Aligned_Faces_new", f"{part}_Aligned_Faces")
    inside = (f"{part}/{name}" for name in names)
    return next(filter(None, map(root.folder, (*inside, *names))), None)
