"""DISFA, 27 people who watch videos, filmed from two sides (Mavadati, Mahoor, Bartlett, Trinh and Cohn, 2013).

Its owners coded the intensity (0 to 5) of twelve action units in every frame, and no emotions: so it is an unlabelled
pool. With `ingest.disfa_rules` frames are labelled by the combinations of EMFACS (Friesen and Ekman, 1983), as far as
the twelve units tell them: units 7, 14, 16, 23 and 24 are not coded, so that nobody is angry or contemptuous. A frame
on which several rules hold, or none, keeps no label; fear with wide eyes (5) or an open mouth (26) is also surprise. A
unit is active from intensity 2. Such labels are for training only. The owners' files vary in capital letters.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import groupby

from fer.data.media import folders
from fer.data.media.folders import VIDEO_SUFFIXES, File, Folder
from fer.data.media.issues import Note, SkippedItem
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record
from fer.runtime.errors import InputError

LAYOUT = "Videos_LeftCamera/LeftVideoSN001_comp.avi and Videos_RightCamera/, with ActionUnit_Labels/SN001/SN001_au1.txt"
LICENSE_TERMS = "for non-commercial research, by agreement with the owner; may not be passed on"
DISFA_ACTION_UNITS = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)

_ACTIVE_INTENSITY = 2
_EMFACS_RULES = {  # emotion: all of these units, and one of those
    "happy": ((6, 12), ()),
    "surprise": ((1, 2), (5, 26)),
    "sad": ((1, 15), ()),
    "fear": ((1, 2, 4), (5, 20)),
    "disgust": ((9,), ()),
}
_FOLDERS = ("videos_leftcamera", "videos_rightcamera")
_NAME_PATTERN = re.compile(r"(left|right)video(sn\d{3})_comp", re.IGNORECASE)
_LABELS = "actionunit_labels"
_LINE_PATTERN = re.compile(r"([0-9]{1,6})\s*,\s*([0-5])")


def matches(root: Folder) -> bool:
    return any(
        isinstance(item, File) and _NAME_PATTERN.fullmatch(item.stem)
        for folder in _iter_camera_folders(root)
        for item in folders.walk_media(folder, suffixes=VIDEO_SUFFIXES)
    )


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    videos: dict[tuple[str, str], File] = {}
    for folder in _iter_camera_folders(root):
        for item in folders.walk_media(folder, suffixes=VIDEO_SUFFIXES):
            if not isinstance(item, File):
                yield item
            elif name := _NAME_PATTERN.fullmatch(item.stem):
                camera, subject = name[1].casefold(), name[2].upper()
                first = videos.setdefault((subject, camera), item)
                if first is not item:
                    yield SkippedItem(item.id, "named twice", f"{first.id} is of the same person and camera")
            else:
                yield SkippedItem(item.id, "file name", "allowed names like LeftVideoSN001_comp.avi")
    labels = _find_label_folder(root) if settings.disfa_rules else None
    for subject, keys in groupby(sorted(videos), key=lambda key: key[0]):
        frames = None
        if labels:
            units = _find_unit_files(labels, subject)
            if missing := [unit for unit in DISFA_ACTION_UNITS if unit not in units]:
                yield Note(f"{subject} stays unlabelled: no {subject}_au{missing[0]}.txt in {labels.name}")
            else:
                frames = _infer_frame_emotions(units)
        for key in keys:
            video = videos[key]
            fold = "train" if frames else None
            yield Record(
                video.id, video, fold=fold, group=subject, by_rule=bool(frames), face_mode="one", frame_emotions=frames
            )


def infer_emotion(intensities: Mapping[int, int]) -> str | None:
    """The emotion whose rule alone holds on a frame; neutral where no unit is seen at all.

    `intensities` has those of all `UNITS`.
    """
    if not any(intensities.values()):
        return "neutral"
    active = {unit for unit, intensity in intensities.items() if intensity >= _ACTIVE_INTENSITY}
    held = [
        emotion
        for emotion, (every, one) in _EMFACS_RULES.items()
        if active.issuperset(every) and (not one or not active.isdisjoint(one))
    ]
    return held[0] if len(held) == 1 else None


def _infer_frame_emotions(units: Mapping[int, File]) -> dict[int, str]:
    """The emotion of each frame, from 0, that all files have and a rule names."""
    of_units = {unit: _read_intensities(file) for unit, file in units.items()}
    coded = set.intersection(*map(set, of_units.values()))
    found = {}
    for frame in sorted(coded):
        if emotion := infer_emotion({unit: intensity[frame] for unit, intensity in of_units.items()}):
            found[frame - 1] = emotion
    return found


def _read_intensities(file: File) -> dict[int, int]:
    """That of each frame, from 1."""
    found: dict[int, int] = {}
    for number, line in folders.read_lines(file):
        values = _LINE_PATTERN.fullmatch(line)
        if values is None or int(values[1]) in found:
            raise InputError(
                f"{file}: line {number} is {line[:40]!r}, but must be a new frame and its intensity from 0 to 5; "
                "restore the owners' file, or set ingest.disfa_rules to false"
            )
        found[int(values[1])] = int(values[2])
    return found


def _find_label_folder(root: Folder) -> Folder:
    outer = _find_folder(root, _LABELS)
    if outer is None:
        raise InputError(f"{root}: no ActionUnit_Labels; put them there, or set ingest.disfa_rules to false")
    return _find_folder(outer, _LABELS) or outer


def _find_unit_files(labels: Folder, subject: str) -> dict[int, File]:
    folder = _find_folder(labels, subject)
    by_name = {file.name.casefold(): file for file in (folder.files() if folder else ())}
    names = {unit: f"{subject}_au{unit}.txt".casefold() for unit in DISFA_ACTION_UNITS}
    return {unit: by_name[name] for unit, name in names.items() if name in by_name}


def _iter_camera_folders(root: Folder) -> Iterator[Folder]:
    return (folder for name in _FOLDERS if (folder := _find_folder(root, name)))


def _find_folder(root: Folder, name: str) -> Folder | None:
    """The folder or archive of that name, in whatever letters."""
    return next((inner for inner in root.folders() if inner.name.partition(".")[0].casefold() == name.casefold()), None)
