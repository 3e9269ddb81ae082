"""FER+ in the owners' distribution: `fer2013new.csv` (votes without images) beside FER-2013 as one CSV file.

The two files are joined row by row. The image names in `fer2013new.csv` are not a key: 173 are empty, four occur twice,
and their numbers lag behind the rows. To detect reordered rows, the usage must agree in every row. Most emotions must
agree too, since a file reordered within each usage would pass the first check.
"""

from collections.abc import Iterator
from itertools import zip_longest

from fer.data.media.folders import Folder, Note, SkippedItem
from fer.data.readers import fer2013_csv, ferplus
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record
from fer.runtime.errors import InputError

LAYOUT = "fer2013new.csv beside fer2013.csv or icml_face_data.csv"
LICENSE_TERMS = ferplus.LICENSE_TERMS
PIXELS = fer2013_csv.PIXELS

_VOTES_FILE = "fer2013new.csv"
_FACES_FILES = ("fer2013.csv", "fer2013/fer2013.csv", "icml_face_data.csv")
# `ferplus.VOTE_CATEGORIES` by the owners' names.
_COLUMNS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "nf")
_MIN_COMPARED_FACES = 1000  # enough to rule out chance


def matches(root: Folder) -> bool:
    return root.file(_VOTES_FILE) is not None and root.file(*_FACES_FILES) is not None


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    faces, votes = root.file(*_FACES_FILES), root.file(_VOTES_FILE)
    if faces is None or votes is None:
        raise InputError(f"{root}: lacks {_VOTES_FILE} beside one of {', '.join(_FACES_FILES)}; put both there")
    fix = f"both files must have the owners' rows in the owners' order; restore {faces.name}"
    pairs = zip_longest(
        fer2013_csv.read_fer2013_records(faces, fer2013_csv.FER2013_EMOTIONS),
        fer2013_csv.read_csv_rows(votes, ("usage", *_COLUMNS)),
        fillvalue=None,
    )
    n_compared = n_equal = 0
    for number, (face, row) in enumerate(pairs, 1):
        if face is None or row is None:
            longer, shorter = (votes, faces) if face is None else (faces, votes)
            raise InputError(f"{longer}: has a face {number}, but {shorter.name} does not; {fix}")
        cells = row[1]
        if isinstance(face, SkippedItem):
            yield face
            continue
        if isinstance(cells, SkippedItem):
            yield cells
            continue
        if fer2013_csv.FER2013_FOLDS.get(cells["usage"]) != face.fold:
            usage = cells["usage"][:20]
            raise InputError(f"{votes}: face {number} has usage {usage!r}, but {face.id} has another; {fix}")
        item = ferplus.apply_votes(face, [cells[name] for name in _COLUMNS], settings.ferplus)
        if isinstance(item, Record):
            n_compared += 1
            n_equal += item.emotion == face.emotion
        yield item
    # In the owners' order 63 to 68 % agree, depending on the rule; in any other order 18 to 19 %.
    if n_compared >= _MIN_COMPARED_FACES and 2 * n_equal < n_compared:
        agreement = f"{n_equal} of {n_compared} faces"
        raise InputError(f"{votes}: agrees with the emotions of {faces.name} on only {agreement}; {fix}")
    yield Note(f"labels: votes in {votes.name}, ingest.ferplus={settings.ferplus}; faces: {faces.name}")
