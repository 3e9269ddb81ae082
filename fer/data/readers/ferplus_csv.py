"""FER+ as its owners hand it out: `fer2013new.csv`, votes without pictures, beside FER-2013 as one CSV file.

The two are joined row by row. The names of pictures in `fer2013new.csv` are no key: 173 are empty, four occur twice,
and their numbers fall behind the rows. So the usages must agree in every row, and since a file that was sorted anew
within each usage would pass that, most emotions must agree too.
"""

from collections.abc import Iterator
from itertools import zip_longest

from fer.data.media.folders import File, Folder
from fer.data.media.issues import Note, SkippedItem
from fer.data.readers import fer2013_csv, ferplus
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record
from fer.runtime.errors import InputError

LAYOUT = "fer2013new.csv beside fer2013.csv or icml_face_data.csv"
LICENSE_TERMS = ferplus.LICENSE_TERMS
PIXELS = fer2013_csv.PIXELS

_VOTES_FILE = "fer2013new.csv"
_FACES_FILES = ("fer2013.csv", "fer2013/fer2013.csv", "icml_face_data.csv")
# As `ferplus.VOTED`, in the owners' words.
_COLUMNS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "nf")
_MIN_COMPARED_FACES = 1000  # faces, so that chance decides nothing


def matches(root: Folder) -> bool:
    return root.file(_VOTES_FILE) is not None and _find_faces_file(root) is not None


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    faces, votes = _find_faces_file(root), root.file(_VOTES_FILE)
    if faces is None or votes is None:
        raise InputError(f"{root}: needs {_VOTES_FILE} beside one of {', '.join(_FACES_FILES)}; put both there")
    restore = f"both must have the owners' rows in the owners' order; restore {faces.name}"
    pairs = zip_longest(
        fer2013_csv.read_fer2013_records(faces, fer2013_csv.FER2013_EMOTIONS),
        fer2013_csv.read_csv_rows(votes, ("usage", *_COLUMNS)),
        fillvalue=None,
    )
    compared = alike = 0
    for number, (face, row) in enumerate(pairs, 1):
        if face is None or row is None:
            longer, shorter = (votes, faces) if face is None else (faces, votes)
            raise InputError(f"{longer}: has a face {number}, which {shorter.name} has not; {restore}")
        cells = row[1]
        if isinstance(face, SkippedItem):
            yield face
            continue
        if isinstance(cells, SkippedItem):
            yield cells
            continue
        if fer2013_csv.FER2013_FOLDS.get(cells["usage"]) != face.fold:
            found = f"{cells['usage'][:20]!r}, but {face.id} is of another usage"
            raise InputError(f"{votes}: face {number} is of {found}; {restore}")
        item = ferplus.apply_votes(face, [cells[name] for name in _COLUMNS], settings.ferplus)
        if isinstance(item, Record):
            compared += 1
            alike += item.emotion == face.emotion
        yield item
    # In the owners' order 63 to 68 % agree, depending on the rule; in another order 18 or 19 %.
    if compared >= _MIN_COMPARED_FACES and 2 * alike < compared:
        raise InputError(f"{votes}: agrees with the emotions of {faces.name} on {alike} of {compared} faces; {restore}")
    yield Note(
        f"labels are the votes in {votes.name} by ingest.ferplus {settings.ferplus}, faces those of {faces.name}"
    )


def _find_faces_file(root: Folder) -> File | None:
    return next((file for name in _FACES_FILES if (file := root.file(name))), None)
