"""KDEF, 70 people with seven expressions from five angles, photographed twice (Lundqvist, Flykt and Öhman, 1998).

`AF01ANS.JPG` is the session, the sex and number of the person, the expression and the angle. The first letter is no
part of the person: A and B are two sessions of the same. Averages of many faces (AKDEF) are left out. There are no
folds.
"""

import re
from collections.abc import Iterator

from fer.core.labels import emotion_named
from fer.data.media import folders
from fer.data.media.folders import PICTURES, File, Folder
from fer.data.media.issues import Dropped
from fer.data.readers.params import Ingest
from fer.data.readers.record import Found, Record

LAYOUT = "AF01/AF01ANS.JPG: session, sex, number, expression (AF AN DI HA NE SA SU), angle (FL HL S HR FR)"
TERMS = "for non-commercial research, by agreement with the owner; may not be passed on"

_VIEWS = {"FL": "profile", "HL": "half", "S": "straight", "HR": "half", "FR": "profile"}
_EXPRESSION = rf"(AF|AN|DI|HA|NE|SA|SU)({'|'.join(_VIEWS)})"
_NAME = re.compile(rf"[AB]([FM]\d\d){_EXPRESSION}", re.IGNORECASE)
_AVERAGE = re.compile(rf"[FM]{_EXPRESSION}", re.IGNORECASE)
_PERSON = re.compile(r"[AB][FM]\d\d", re.IGNORECASE)


def recognises(root: Folder) -> bool:
    inner = (folder for folder in root.folders() if _PERSON.fullmatch(folder.name) or emotion_named(folder.name))
    return any(
        _NAME.fullmatch(file.stem) for folder in (root, *inner) for file in folder.files() if file.suffix in PICTURES
    )


def read(root: Folder, rules: Ingest) -> Iterator[Found]:
    for item in folders.pictures(root):
        yield _face(item, rules) if isinstance(item, File) else item


def _face(picture: File, rules: Ingest) -> Record | Dropped:
    if _AVERAGE.fullmatch(picture.stem):
        return Dropped(picture.id, "average face", "of many people", defect=False)
    name = _NAME.fullmatch(picture.stem)
    if name is None:
        return Dropped(picture.id, "file name", "allowed names like AF01ANS: session, sex, number, expression, angle")
    person, expression, angle = (part.upper() for part in name.groups())
    if (view := _VIEWS[angle]) not in rules.kdef_views:
        asked = ", ".join(rules.kdef_views)
        return Dropped(picture.id, "view not asked for", f"{view}; ingest.kdef_views has {asked}", defect=False)
    return Record(picture.id, picture, emotion_named(expression), group=person, faces="one")
