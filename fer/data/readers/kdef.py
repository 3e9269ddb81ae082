"""KDEF: 70 people with seven expressions from five angles, in two sessions (Lundqvist, Flykt and Öhman, 1998).

The file name `AF01ANS.JPG` gives the session (A or B), the sex and number of the person, the expression and the angle.
The session is not part of the person's id. Averages of many faces (AKDEF) are skipped. There are no folds.
"""

import re
from collections.abc import Iterator

from fer.core.labels import parse_emotion
from fer.data.media.folders import IMAGE_SUFFIXES, File, Folder, SkippedItem
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record, read_files

LAYOUT = "AF01/AF01ANS.JPG: session, sex, number, expression (AF AN DI HA NE SA SU), angle (FL HL S HR FR)"
LICENSE_TERMS = "for non-commercial research, by agreement with the owner; redistribution not allowed"

_VIEWS = {"FL": "profile", "HL": "half", "S": "straight", "HR": "half", "FR": "profile"}
_EXPRESSION_PATTERN = rf"(AF|AN|DI|HA|NE|SA|SU)({'|'.join(_VIEWS)})"
_NAME_PATTERN = re.compile(rf"[AB]([FM]\d\d){_EXPRESSION_PATTERN}", re.IGNORECASE)
_AVERAGE_NAME_PATTERN = re.compile(rf"[FM]{_EXPRESSION_PATTERN}", re.IGNORECASE)
_PERSON_PATTERN = re.compile(r"[AB][FM]\d\d", re.IGNORECASE)


def matches(root: Folder) -> bool:
    subfolders = (
        folder for folder in root.folders() if _PERSON_PATTERN.fullmatch(folder.name) or parse_emotion(folder.name)
    )
    return any(
        _NAME_PATTERN.fullmatch(file.stem)
        for folder in (root, *subfolders)
        for file in folder.files()
        if file.suffix in IMAGE_SUFFIXES
    )


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    return read_files(root, lambda image: _make_record(image, settings))


def _make_record(image: File, settings: Ingest) -> Record | SkippedItem:
    if _AVERAGE_NAME_PATTERN.fullmatch(image.stem):
        return SkippedItem(image.id, "average face", "of many people", is_defect=False)
    name = _NAME_PATTERN.fullmatch(image.stem)
    if name is None:
        return SkippedItem(image.id, "file name", "allowed names like AF01ANS: session, sex, number, expression, angle")
    person, expression, angle = (part.upper() for part in name.groups())
    if (view := _VIEWS[angle]) not in settings.kdef_views:
        detail = f"{view}; ingest.kdef_views has {', '.join(settings.kdef_views)}"
        return SkippedItem(image.id, "view not asked for", detail, is_defect=False)
    return Record(image.id, image, parse_emotion(expression), group=person, face_mode="one")
