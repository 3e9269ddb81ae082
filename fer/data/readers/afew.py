"""AFEW, clips of films with seven emotions (Dhall, Goecke, Lucey and Gedeon, 2012), or frames of them.

A clip is a group; its name is a time, which does not tell the film. Of each frame the largest face is taken, or the
whole frame where frames are cut-out faces already (see `photos`). The owners keep the labels of the test part.
"""

from collections.abc import Iterator
from typing import Literal

from fer.data.media import folders
from fer.data.media.folders import IMAGE_SUFFIXES, VIDEO_SUFFIXES, File, Folder
from fer.data.readers.class_folders import find_folder_emotion, skip_unknown_emotion
from fer.data.readers.params import Ingest
from fer.data.readers.photos import are_photos
from fer.data.readers.record import ReaderItem, Record

LAYOUT = "Train_AFEW/, Val_AFEW/ or Test_AFEW/ with <emotion>/<clip>.avi, or with frames in <emotion>/<clip>/"
LICENSE_TERMS = "for non-commercial research, by agreement with the owner; may not be passed on"

_FOLDS = {"train_afew": "train", "val_afew": "valid", "test_afew": None}


def matches(root: Folder) -> bool:
    return any(_iter_parts(root))


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    for part, fold in _iter_parts(root):
        videos = any(isinstance(item, File) for item in folders.walk_media(part, suffixes=VIDEO_SUFFIXES))
        kind = (
            VIDEO_SUFFIXES if videos else IMAGE_SUFFIXES
        )  # beside the videos lie faces that their owners cut out of them
        frames = (item for item in folders.walk_media(part, suffixes=kind) if isinstance(item, File))
        faces: Literal["whole", "one"] = "one" if videos or are_photos(frames) else "whole"
        for item in folders.walk_media(part, suffixes=kind):
            if not isinstance(item, File):
                yield item
                continue
            emotion = find_folder_emotion(item)
            if fold and not emotion:
                yield skip_unknown_emotion(item)
                continue
            clip = item.id.removesuffix(f"/{item.name}") if not videos else item.id
            yield Record(item.id, item, emotion, fold or (emotion and "test"), group=clip, face_mode=faces)


def _iter_parts(root: Folder) -> Iterator[tuple[Folder, str | None]]:
    for folder in root.folders():
        name = folder.name.partition(".")[0].casefold()
        if name in _FOLDS:
            yield folder, _FOLDS[name]
