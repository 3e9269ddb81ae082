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
from fer.data.media.issues import Dropped, Note
from fer.data.readers.class_folders import emotion_above, no_emotion_above
from fer.data.readers.params import Ingest
from fer.data.readers.record import Found, Record

LAYOUT = "Train/, Val/, Test/ or Train_Aligned_Faces/ … with <emotion>/<film>_000519240_00000005.png"
TERMS = "for non-commercial research, by agreement with the owner; may not be passed on"

_FOLDS = {"Train": "train", "Val": "valid", "Test": None}
_NUMBERS = re.compile(r"(_\d+)+$")  # of the scene and the frame, after the film
_NAME = re.compile(r".+_\d{6,}_\d{6,}")
_LOOKED_AT = 40  # names of pictures


def recognises(root: Folder) -> bool:
    return any(
        isinstance(item, File) and emotion_above(item) and _NAME.fullmatch(item.stem)
        for part in _FOLDS
        for folder in (_aligned(root, part), root.folder(part))
        for item in islice(folders.pictures(folder), _LOOKED_AT)
    )


def read(root: Folder, rules: Ingest) -> Iterator[Found]:
    for part, fold in _FOLDS.items():
        aligned = _aligned(root, part)
        cut_out = set()
        for item in folders.pictures(aligned):
            if isinstance(item, File):
                cut_out.add(item.stem)
                yield _face(item, fold, "whole")
            else:
                yield item
        for item in folders.pictures(root.folder(part)):
            if isinstance(item, Note):
                yield item
            elif aligned and item.id.startswith(f"{aligned.id}/"):
                continue
            elif isinstance(item, Dropped):
                yield item
            elif item.stem in cut_out:
                yield Dropped(item.id, "frame of a cut-out face", f"the face is in {aligned}", defect=False)
            else:
                yield _face(item, fold, "one")


def _face(picture: File, fold: str | None, faces: Literal["whole", "one"]) -> Record | Dropped:
    emotion = emotion_above(picture)
    if fold and not emotion:
        return no_emotion_above(picture)
    film = _NUMBERS.sub("", picture.stem)
    return Record(picture.id, picture, emotion, fold or (emotion and "test"), group=film, faces=faces)


def _aligned(root: Folder, part: str) -> Folder | None:
    """The folder of the cut-out faces; of the validation part a corrected one was handed out."""
    names = (f"{part}_Aligned_Faces_new", f"{part}_Aligned_Faces")
    inside = (f"{part}/{name}" for name in names)
    return next(filter(None, map(root.folder, (*inside, *names))), None)
