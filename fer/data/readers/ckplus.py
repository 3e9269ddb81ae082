"""CK+ as its owners hand it out: sequences of pictures from a neutral face to an emotion's peak (Lucey et al., 2010).

Of 593 sequences 327 have an emotion, in a text file named like their last frame. Of these the first frame is taken as
neutral and the last `ingest.ckplus_frames` as the emotion; what those between show is not said, and they are left out.
All frames of the other sequences are unlabelled: that these begin neutral as well is a convention. There are no folds.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from itertools import islice
from math import nan

from fer.data.media import folders
from fer.data.media.folders import File, Folder
from fer.data.media.issues import Note, SkippedItem
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record
from fer.runtime.errors import InputError

LAYOUT = "cohn-kanade-images/S005/001/S005_001_00000011.png with Emotion/S005/001/S005_001_00000011_emotion.txt"
LICENSE_TERMS = "for non-commercial research, by agreement with the owners; may not be passed on"

CKPLUS_NAME_PATTERN = re.compile(r"(S\d{3})_(\d{3})_(\d{8})", re.ASCII)  # subject, sequence, frame
_LABEL_NAME_PATTERN = re.compile(CKPLUS_NAME_PATTERN.pattern + "_emotion", re.ASCII)

# In the places to which the owners' archives unpack, or in these archives.
_IMAGE_FOLDERS = ("cohn-kanade-images", "extended-cohn-kanade-images/cohn-kanade-images")
_LABEL_FOLDERS = ("Emotion", "Emotion_labels/Emotion")

_EMOTIONS = ("neutral", "angry", "contempt", "disgust", "fear", "happy", "sad", "surprise")
_EMOTION_OF = {float(code): emotion for code, emotion in enumerate(_EMOTIONS)}  # written 3.0000000e+00


def matches(root: Folder) -> bool:
    return _find_folder(root, _IMAGE_FOLDERS) is not None


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    label_folder = _find_folder(root, _LABEL_FOLDERS)
    if label_folder is None:
        raise InputError(f"{root}: has no folder Emotion; put the owners' Emotion_labels.zip there")
    labels = yield from _group_by_sequence(label_folder, _LABEL_NAME_PATTERN, (".txt",))
    pictures = yield from _group_by_sequence(
        _find_folder(root, _IMAGE_FOLDERS), CKPLUS_NAME_PATTERN, folders.IMAGE_SUFFIXES
    )
    for sequence, frames in pictures.items():
        emotion = yield from _read_emotion(labels.pop(sequence, {}), last=max(frames))
        yield from _make_records(
            [frames[number] for number in sorted(frames)], sequence[0], emotion, settings.ckplus_frames
        )
    for others in labels.values():
        for label in others.values():
            yield SkippedItem(label.id, "no such picture", f"its sequence is not in {_IMAGE_FOLDERS[0]}")


def _read_emotion(labels: Mapping[int, File], last: int) -> Generator[SkippedItem, None, str | None]:
    """That of a sequence; yields what is wrong with its labels."""
    if len(labels) > 1:
        for label in labels.values():
            yield SkippedItem(label.id, "labelled twice", f"the sequence has {len(labels)} labels; keep one")
        return None
    for frame, label in labels.items():
        text = " ".join(line for _, line in islice(folders.read_lines(label), 2))
        if frame != last:
            yield SkippedItem(
                label.id, "not the last frame", f"{frame}; the last is {last}; restore the owners' folders"
            )
        elif emotion := _EMOTION_OF.get(_parse_number(text)):
            return emotion
        else:
            codes = ", ".join(f"{code} {name}" for code, name in enumerate(_EMOTIONS))
            yield SkippedItem(label.id, "unknown label", f"{text[:20]!r}; allowed {codes}")
    return None


def _make_records(
    frames: Sequence[File], subject: str, emotion: str | None, last: int
) -> Iterator[Record | SkippedItem]:
    peak = max(min(1, len(frames) - 1), len(frames) - last)
    for position, file in enumerate(frames):
        if emotion and 0 < position < peak:
            yield SkippedItem(file.id, "between neutral and peak", f"by ingest.ckplus_frames {last}", is_defect=False)
        else:
            shown = emotion and (emotion if position >= peak else "neutral")
            yield Record(file.id, file, shown, group=subject, face_mode="one")


def _group_by_sequence(
    folder: Folder | None, name: re.Pattern[str], suffixes: Collection[str]
) -> Generator[SkippedItem | Note, None, dict[tuple[str, str], dict[int, File]]]:
    """(subject, sequence) -> frame -> file; yields what has another name."""
    found: dict[tuple[str, str], dict[int, File]] = defaultdict(dict)
    for item in folders.walk_media(folder, suffixes=suffixes):
        if not isinstance(item, File):
            yield item
        elif (parts := name.fullmatch(item.stem)) is None:
            yield SkippedItem(item.id, "file name", f"allowed are names as in {LAYOUT}")
        elif (other := found[parts[1], parts[2]].setdefault(int(parts[3]), item)) is not item:
            yield SkippedItem(item.id, "file twice", f"also at {other.id}")
    return found


def _find_folder(root: Folder, names: Sequence[str]) -> Folder | None:
    return next((folder for name in names if (folder := root.folder(name))), None)


def _parse_number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return nan
