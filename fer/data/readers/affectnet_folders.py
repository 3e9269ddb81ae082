"""AffectNet with a numbered folder for each label, as written by several programs: `{train,val,test}/{0..7}/`.

`ingest.readers` must name this reader. FER+ and CK+ (0 to 7) and FER-2013 (0 to 6) also come in numbered folders, each
with its own codes, and numeric file names do not identify the dataset. Only the user knows whose codes they are.
"""

from collections.abc import Iterator

from fer.data.media import folders
from fer.data.media.folders import File, Folder
from fer.data.readers import affectnet_csv
from fer.data.readers.affectnet_csv import AFFECTNET_EMOTIONS, AFFECTNET_NO_EMOTION
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem

LAYOUT = "train/, val/ or test/ with <0..7>/, numbered like AffectNet's labels; only if named in ingest.readers"
LICENSE_TERMS = affectnet_csv.LICENSE_TERMS

_FOLDS = {"train": "train", "val": "valid", "valid": "valid", "test": "test"}


def matches(root: Folder) -> bool:
    parts = ({folder.name for folder in part.folders()} for part in map(root.folder, _FOLDS) if part)
    numbers = AFFECTNET_EMOTIONS.keys() | AFFECTNET_NO_EMOTION.keys()
    return any("0" in names and names <= numbers for names in parts)  # RAF-DB's numbers begin at 1


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    for name, fold in _FOLDS.items():
        for item in folders.walk_media(root.folder(name)):
            yield affectnet_csv.make_affectnet_record(item, item.parts[-2], fold) if isinstance(item, File) else item
