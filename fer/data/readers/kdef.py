"""KDEF, 70 people with seven expressions from five angles, photographed twice (Lundqvist, Flykt and Öhman, 1998).

`AF01ANS.JPG` is the session, the sex and number of the person, the expression and the angle. The first letter is no
part of the person: A and B are two sessions of the same. Averages of many faces (AKDEF) are left out. There are no
folds.
"""

import re
from collections.abc import Iterator

from fer.core.labels import parse_emotion
from fer.data.media import folders
from fer.data.media.folders import IMAGE_SUFFIXES, File, Folder
from fer.data.media.issues import SkippedItem
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record

LAYOUT = "AF01/AF01ANS.JPG: session, sex, number, expression (AF AN DI HA NE SA SU), angle (FL HL S HR FR)"
LICENSE_TERMS = "for non-commercial research, by agreement with the owner; may not be passed on"

_VIEWS = {"FL": "profile", "HL": "half", "S": "straight", "HR": "half", "FR": "profile"}
_EXPRESSION_PATTERN = rf"(AF|AN|DI|HA|NE|SA|SU)({'|'.join(_VIEWS)})"
_NAME_PATTERN = re.compile(rf"[AB]([FM]\d\d){_EXPRESSION_PATTERN}", re.IGNORECASE)
_AVERAGE_NAME_PATTERN = re.compile(rf"[FM]{_EXPRESSION_PATTERN}", re.IGNORECASE)
_PERSON_PATTERN = re.compile(r"[AB][FM]\d\d", re.IGNORECASE)


def matches(root: Folder) -> bool:
    inner = (
        folder for folder in root.folders() if _PERSON_PATTERN.fullmatch(folder.name) or parse_emotion(folder.name)
    )
    return any(
        _NAME_PATTERN.fullmatch(file.stem)
        for folder in (root, *inner)
        for file in folder.files()
        if file.suffix in IMAGE_SUFFIXES
    )


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    for item in folders.walk_media(root):
        yield _make_record(item, settings) if isinstance(item, File) else item


def _make_record(picture: File, rules: Ingest) -> Record | SkippedItem:
    if _AVERAGE_NAME_PATTERN.fullmatch(picture.stem):
        return SkippedItem(picture.id, "average face", "of many people", is_defect=False)
    name = _NAME_PATTERN.fullmatch(picture.stem)
    if name is None:
        return SkippedItem(
            picture.id, "file name", "allowed names like AF01ANS: session, sex, number, expression, angle"
        )
    person, expression, angle = (part.upper() for part in name.groups())
    if (view := _VIEWS[angle]) not in rules.kdef_views:
        asked = ", ".join(rules.kdef_views)
        return SkippedItem(picture.id, "view not asked for", f"{view}; ingest.kdef_views has {asked}", is_defect=False)
    return Record(picture.id, picture, parse_emotion(expression), group=person, face_mode="one")
