"""AFEW, clips of films with seven emotions (Dhall, Goecke, Lucey and Gedeon, 2012), or frames of them.

A clip is a group; its name is a time, which does not tell the film. Of each frame the largest face is taken, or the
whole frame where frames are cut-out faces already (see `photos`). The owners keep the labels of the test part.
"""

from collections.abc import Iterator
from typing import Literal

from fer.data.media import folders
from fer.data.media.folders import PICTURES, VIDEOS, File, Folder
from fer.data.readers.class_folders import emotion_above, no_emotion_above
from fer.data.readers.params import Ingest
from fer.data.readers.photos import are_photographs
from fer.data.readers.record import Found, Record

LAYOUT = "Train_AFEW/, Val_AFEW/ or Test_AFEW/ with <emotion>/<clip>.avi, or with frames in <emotion>/<clip>/"
TERMS = "for non-commercial research, by agreement with the owner; may not be passed on"

_FOLDS = {"train_afew": "train", "val_afew": "valid", "test_afew": None}


def recognises(root: Folder) -> bool:
    return any(_parts(root))


def read(root: Folder, rules: Ingest) -> Iterator[Found]:
    for part, fold in _parts(root):
        videos = any(isinstance(item, File) for item in folders.pictures(part, suffixes=VIDEOS))
        kind = VIDEOS if videos else PICTURES  # beside the videos lie faces that their owners cut out of them
        frames = (item for item in folders.pictures(part, suffixes=kind) if isinstance(item, File))
        faces: Literal["whole", "one"] = "one" if videos or are_photographs(frames) else "whole"
        for item in folders.pictures(part, suffixes=kind):
            if not isinstance(item, File):
                yield item
                continue
            emotion = emotion_above(item)
            if fold and not emotion:
                yield no_emotion_above(item)
                continue
            clip = item.id.removesuffix(f"/{item.name}") if not videos else item.id
            yield Record(item.id, item, emotion, fold or (emotion and "test"), group=clip, faces=faces)


def _parts(root: Folder) -> Iterator[tuple[Folder, str | None]]:
    for folder in root.folders():
        name = folder.name.partition(".")[0].casefold()
        if name in _FOLDS:
            yield folder, _FOLDS[name]
