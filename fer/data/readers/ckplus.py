"""CK+ in the owners' distribution: image sequences from a neutral face to the peak of an emotion (Lucey et al., 2010).

327 of the 593 sequences have an emotion, in a text file named like their last frame. Of these, the first frame is read
as neutral and the last `ingest.ckplus_frames` as the emotion; the frames between have no label and are skipped. All
frames of the other sequences are unlabelled: that they also start neutral is only a convention. There are no folds.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from itertools import islice

from fer.data.media import folders
from fer.data.media.folders import File, Folder, Note, SkippedItem
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record, skip_unknown_label
from fer.runtime.errors import InputError

LAYOUT = "cohn-kanade-images/S005/001/S005_001_00000011.png with Emotion/S005/001/S005_001_00000011_emotion.txt"
LICENSE_TERMS = "for non-commercial research, by agreement with the owners; redistribution not allowed"

CKPLUS_NAME_PATTERN = re.compile(r"(S\d{3})_(\d{3})_(\d{8})", re.ASCII)  # subject, sequence, frame
_LABEL_NAME_PATTERN = re.compile(CKPLUS_NAME_PATTERN.pattern + "_emotion", re.ASCII)

# Where the owners' archives unpack to, or in these archives.
_IMAGE_FOLDERS = ("cohn-kanade-images", "extended-cohn-kanade-images/cohn-kanade-images")
_LABEL_FOLDERS = ("Emotion", "Emotion_labels/Emotion")

_EMOTIONS = ("neutral", "angry", "contempt", "disgust", "fear", "happy", "sad", "surprise")
_EMOTION_OF = {str(code): emotion for code, emotion in enumerate(_EMOTIONS)}


def matches(root: Folder) -> bool:
    return root.folder(*_IMAGE_FOLDERS) is not None


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    label_folder = root.folder(*_LABEL_FOLDERS)
    if label_folder is None:
        raise InputError(f"{root}: no folder Emotion; put the owners' Emotion_labels.zip there")
    labels = yield from _group_by_sequence(label_folder, _LABEL_NAME_PATTERN, (".txt",))
    images = yield from _group_by_sequence(root.folder(*_IMAGE_FOLDERS), CKPLUS_NAME_PATTERN, folders.IMAGE_SUFFIXES)
    for sequence, frames in images.items():
        emotion = yield from _read_emotion(labels.pop(sequence, {}), last=max(frames))
        yield from _make_records(
            [frames[number] for number in sorted(frames)], sequence[0], emotion, settings.ckplus_frames
        )
    for unused_labels in labels.values():
        for label in unused_labels.values():
            yield SkippedItem(label.id, "no such picture", f"its sequence is not in {_IMAGE_FOLDERS[0]}")


def _read_emotion(labels: Mapping[int, File], last: int) -> Generator[SkippedItem, None, str | None]:
    """Return the emotion of a sequence whose last frame is `last`; yield the labels that are wrong."""
    if len(labels) > 1:
        for label in labels.values():
            yield SkippedItem(label.id, "labelled twice", f"the sequence has {len(labels)} labels; keep one")
        return None
    for frame, label in labels.items():
        text = " ".join(line for _, line in islice(folders.read_lines(label), 2))
        if frame != last:
            detail = f"{frame}; the last is {last}; restore the owners' folders"
            yield SkippedItem(label.id, "not the last frame", detail)
        elif emotion := _EMOTION_OF.get(_parse_code(text)):
            return emotion
        else:
            yield skip_unknown_label(label.id, text, _EMOTION_OF)
    return None


def _make_records(
    frames: Sequence[File], subject: str, emotion: str | None, n_peak_frames: int
) -> Iterator[Record | SkippedItem]:
    peak = max(min(1, len(frames) - 1), len(frames) - n_peak_frames)
    for position, file in enumerate(frames):
        if emotion and 0 < position < peak:
            detail = f"ingest.ckplus_frames={n_peak_frames}"
            yield SkippedItem(file.id, "between neutral and peak", detail, is_defect=False)
        else:
            frame_emotion = emotion and (emotion if position >= peak else "neutral")
            yield Record(file.id, file, frame_emotion, group=subject, face_mode="one")


def _group_by_sequence(
    folder: Folder | None, name_pattern: re.Pattern[str], suffixes: Collection[str]
) -> Generator[SkippedItem | Note, None, dict[tuple[str, str], dict[int, File]]]:
    """Return (subject, sequence) -> frame -> file; yield the files that have another name or are duplicates."""
    sequences: dict[tuple[str, str], dict[int, File]] = defaultdict(dict)
    for item in folders.walk_media(folder, suffixes=suffixes):
        if not isinstance(item, File):
            yield item
        elif (parts := name_pattern.fullmatch(item.stem)) is None:
            yield SkippedItem(item.id, "file name", f"allowed names as in {LAYOUT}")
        elif (first := sequences[parts[1], parts[2]].setdefault(int(parts[3]), item)) is not item:
            yield SkippedItem(item.id, "file twice", f"also at {first.id}")
    return sequences


def _parse_code(text: str) -> str:
    """Return "3" for "3.0000000e+00", as the owners' files have it; any other text is no code."""
    try:
        return str(float(text)).removesuffix(".0")
    except ValueError:
        return ""
