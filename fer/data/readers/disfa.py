"""DISFA: 27 people watching videos, filmed from two sides (Mavadati, Mahoor, Bartlett, Trinh and Cohn, 2013).

The owners coded the intensity (0 to 5) of twelve action units in every frame, but no emotions, so it is an unlabelled
pool. `ingest.disfa_rules` labels frames by the combinations of EMFACS (Friesen and Ekman, 1983), as far as the twelve
units allow: units 7, 14, 16, 23 and 24 are not coded, so no frame is angry or contempt. A unit is active from intensity
2. A frame that matches no rule or several gets no label; fear with wide eyes (5) or an open mouth (26) also matches
surprise. These labels are for training only. The case of the owners' file names varies.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

from fer.data.media import folders
from fer.data.media.folders import VIDEO_SUFFIXES, File, Folder, Note, SkippedItem
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record
from fer.runtime.errors import InputError

LAYOUT = "Videos_LeftCamera/LeftVideoSN001_comp.avi and Videos_RightCamera/, with ActionUnit_Labels/SN001/SN001_au1.txt"
LICENSE_TERMS = "for non-commercial research, by agreement with the owner; redistribution not allowed"
DISFA_ACTION_UNITS = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)

_ACTIVE_INTENSITY = 2
_EMFACS_RULES = {  # emotion: units that must all be active, units of which one must be
    "happy": ((6, 12), ()),
    "surprise": ((1, 2), (5, 26)),
    "sad": ((1, 15), ()),
    "fear": ((1, 2, 4), (5, 20)),
    "disgust": ((9,), ()),
}
_CAMERA_FOLDERS = ("videos_leftcamera", "videos_rightcamera")
_NAME_PATTERN = re.compile(r"(left|right)video(sn\d{3})_comp", re.IGNORECASE)
_LABEL_FOLDER = "actionunit_labels"
_LINE_PATTERN = re.compile(r"([0-9]{1,6})\s*,\s*([0-5])")


def matches(root: Folder) -> bool:
    return any(
        isinstance(item, File) and _NAME_PATTERN.fullmatch(item.stem)
        for folder in _iter_camera_folders(root)
        for item in folders.walk_media(folder, suffixes=VIDEO_SUFFIXES)
    )


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    videos: defaultdict[str, dict[str, File]] = defaultdict(dict)  # subject -> camera -> video
    for folder in _iter_camera_folders(root):
        for item in folders.walk_media(folder, suffixes=VIDEO_SUFFIXES):
            if not isinstance(item, File):
                yield item
            elif name := _NAME_PATTERN.fullmatch(item.stem):
                camera, subject = name[1].casefold(), name[2].upper()
                if (first := videos[subject].setdefault(camera, item)) is not item:
                    yield SkippedItem(item.id, "named twice", f"{first.id} shows the same person and camera")
            else:
                yield SkippedItem(item.id, "file name", "allowed names like LeftVideoSN001_comp.avi")
    labels = _find_label_folder(root) if settings.disfa_rules else None
    for subject in sorted(videos):
        frames = None
        if labels:
            units = _find_unit_files(labels, subject)
            if missing := [unit for unit in DISFA_ACTION_UNITS if unit not in units]:
                yield Note(f"{subject} stays unlabelled: {subject}_au{missing[0]}.txt is missing in {labels.name}")
            else:
                frames = _infer_frame_emotions(units)
        fold = "train" if frames else None
        for _, video in sorted(videos[subject].items()):
            yield Record(
                video.id, video, fold=fold, group=subject, by_rule=bool(frames), face_mode="one", frame_emotions=frames
            )


def infer_emotion(intensities: Mapping[int, int]) -> str | None:
    """Return the emotion of a frame if exactly one rule matches its units, and neutral if all intensities are 0."""
    if not any(intensities.values()):
        return "neutral"
    active = {unit for unit, intensity in intensities.items() if intensity >= _ACTIVE_INTENSITY}
    emotions = [
        emotion
        for emotion, (required, alternatives) in _EMFACS_RULES.items()
        if active.issuperset(required) and (not alternatives or not active.isdisjoint(alternatives))
    ]
    return emotions[0] if len(emotions) == 1 else None


def _infer_frame_emotions(units: Mapping[int, File]) -> dict[int, str]:
    """Return frame number from 0 -> emotion, for the frames that all files code and a rule labels."""
    intensities = {unit: _read_intensities(file) for unit, file in units.items()}
    coded_frames = set.intersection(*map(set, intensities.values()))
    return {
        frame - 1: emotion
        for frame in sorted(coded_frames)
        if (emotion := infer_emotion({unit: by_frame[frame] for unit, by_frame in intensities.items()}))
    }


def _read_intensities(file: File) -> dict[int, int]:
    """Return frame number from 1 -> intensity."""
    intensities: dict[int, int] = {}
    for number, line in folders.read_lines(file):
        values = _LINE_PATTERN.fullmatch(line)
        if values is None or int(values[1]) in intensities:
            raise InputError(
                f"{file}: line {number} is {line[:40]!r}, but must be a new frame and an intensity from 0 to 5; "
                "restore the owners' file, or set ingest.disfa_rules to false"
            )
        intensities[int(values[1])] = int(values[2])
    return intensities


def _find_label_folder(root: Folder) -> Folder:
    outer = _find_folder(root, _LABEL_FOLDER)
    if outer is None:
        raise InputError(f"{root}: no folder ActionUnit_Labels; put it there, or set ingest.disfa_rules to false")
    return _find_folder(outer, _LABEL_FOLDER) or outer


def _find_unit_files(labels: Folder, subject: str) -> dict[int, File]:
    folder = _find_folder(labels, subject)
    by_name = {file.name.casefold(): file for file in (folder.files() if folder else ())}
    names = {unit: f"{subject}_au{unit}.txt".casefold() for unit in DISFA_ACTION_UNITS}
    return {unit: by_name[name] for unit, name in names.items() if name in by_name}


def _iter_camera_folders(root: Folder) -> Iterator[Folder]:
    return (folder for name in _CAMERA_FOLDERS if (folder := _find_folder(root, name)))


def _find_folder(root: Folder, name: str) -> Folder | None:
    """Return the folder or archive called `name`, in upper or lower case."""
    name = name.casefold()
    return next((folder for folder in root.folders() if folder.name.partition(".")[0].casefold() == name), None)
