"""FER+ as its owners hand it out: `fer2013new.csv`, votes without pictures, beside FER-2013 as one CSV file.

The two are joined row by row. The names of pictures in `fer2013new.csv` are no key: 173 are empty, four occur twice,
and their numbers fall behind the rows. So the usages must agree in every row, and since a file that was sorted anew
within each usage would pass that, most emotions must agree too.
"""

from collections.abc import Iterator
from itertools import zip_longest

from fer.data.media.folders import File, Folder
from fer.data.media.issues import Dropped, Note
from fer.data.readers import fer2013_csv, ferplus
from fer.data.readers.params import Ingest
from fer.data.readers.record import Found, Record
from fer.runtime.errors import InputError

LAYOUT = "fer2013new.csv beside fer2013.csv or icml_face_data.csv"
TERMS = ferplus.TERMS
PIXELS = fer2013_csv.PIXELS

_VOTES = "fer2013new.csv"
_FACES = ("fer2013.csv", "fer2013/fer2013.csv", "icml_face_data.csv")
# As `ferplus.VOTED`, in the owners' words.
_COLUMNS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "nf")
_MANY = 1000  # faces, so that chance decides nothing


def recognises(root: Folder) -> bool:
    return root.file(_VOTES) is not None and _faces(root) is not None


def read(root: Folder, rules: Ingest) -> Iterator[Found]:
    faces, votes = _faces(root), root.file(_VOTES)
    if faces is None or votes is None:
        raise InputError(f"{root}: needs {_VOTES} beside one of {', '.join(_FACES)}; put both there")
    restore = f"both must have the owners' rows in the owners' order; restore {faces.name}"
    pairs = zip_longest(
        fer2013_csv.faces(faces, fer2013_csv.EMOTIONS), fer2013_csv.rows(votes, ("usage", *_COLUMNS)), fillvalue=None
    )
    compared = alike = 0
    for number, (face, row) in enumerate(pairs, 1):
        if face is None or row is None:
            longer, shorter = (votes, faces) if face is None else (faces, votes)
            raise InputError(f"{longer}: has a face {number}, which {shorter.name} has not; {restore}")
        cells = row[1]
        if isinstance(face, Dropped):
            yield face
            continue
        if isinstance(cells, Dropped):
            yield cells
            continue
        if fer2013_csv.FOLDS.get(cells["usage"]) != face.fold:
            found = f"{cells['usage'][:20]!r}, but {face.id} is of another usage"
            raise InputError(f"{votes}: face {number} is of {found}; {restore}")
        item = ferplus.labelled(face, [cells[name] for name in _COLUMNS], rules.ferplus)
        if isinstance(item, Record):
            compared += 1
            alike += item.emotion == face.emotion
        yield item
    # In the owners' order 63 to 68 % agree, depending on the rule; in another order 18 or 19 %.
    if compared >= _MANY and 2 * alike < compared:
        raise InputError(f"{votes}: agrees with the emotions of {faces.name} on {alike} of {compared} faces; {restore}")
    yield Note(f"labels are the votes in {votes.name} by ingest.ferplus {rules.ferplus}, faces those of {faces.name}")


def _faces(root: Folder) -> File | None:
    return next((file for name in _FACES if (file := root.file(name))), None)
