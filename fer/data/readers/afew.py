"""AFEW, film clips with seven emotions, or their frames (Dhall, Goecke, Lucey and Gedeon, 2012).

A clip is a group: its name is a time, which does not identify the film. The largest face of each frame is used, or the
whole frame if the frames are face crops (see `photos`). The owners do not publish the labels of the test part.
"""

from collections.abc import Iterator
from typing import Literal

from fer.data.media import folders
from fer.data.media.folders import IMAGE_SUFFIXES, VIDEO_SUFFIXES, File, Folder
from fer.data.readers.params import Ingest
from fer.data.readers.photos import are_photos
from fer.data.readers.record import ReaderItem
from fer.data.readers.sfew import make_film_record

LAYOUT = "Train_AFEW/, Val_AFEW/ or Test_AFEW/ with <emotion>/<clip>.avi, or with frames in <emotion>/<clip>/"
LICENSE_TERMS = "for non-commercial research, by agreement with the owner; redistribution not allowed"

_FOLDS = {"train_afew": "train", "val_afew": "valid", "test_afew": None}


def matches(root: Folder) -> bool:
    return any(_iter_parts(root))


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    for part, fold in _iter_parts(root):
        has_videos = any(isinstance(item, File) for item in folders.walk_media(part, suffixes=VIDEO_SUFFIXES))
        # The images beside videos are face crops of their frames, made by the owners.
        suffixes = VIDEO_SUFFIXES if has_videos else IMAGE_SUFFIXES
        files = (item for item in folders.walk_media(part, suffixes=suffixes) if isinstance(item, File))
        face_mode: Literal["whole", "one"] = "one" if has_videos or are_photos(files) else "whole"
        for item in folders.walk_media(part, suffixes=suffixes):
            if isinstance(item, File):
                clip = item.id if has_videos else item.id.removesuffix(f"/{item.name}")
                yield make_film_record(item, fold, clip, face_mode)
            else:
                yield item


def _iter_parts(root: Folder) -> Iterator[tuple[Folder, str | None]]:
    for folder in root.folders():
        name = folder.name.partition(".")[0].casefold()
        if name in _FOLDS:
            yield folder, _FOLDS[name]
