"""FER+ as its owners' code exports it: `FER2013Train/`, `FER2013Valid/` and `FER2013Test/` with PNG files.

Each folder's `label.csv`, without a header, has a name, a box that is always the whole picture, and ten numbers of
votes. They are not quite those of `fer2013new.csv`: there identical pictures share their votes, here each has its own.
"""

from collections import defaultdict
from collections.abc import Iterator

from fer.data.media import folders
from fer.data.media.folders import File, Folder
from fer.data.media.issues import Note, SkippedItem
from fer.data.readers import fer2013_csv, ferplus
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record

LAYOUT = "FER2013Train/, FER2013Valid/ and FER2013Test/ with label.csv and fer0000000.png"
LICENSE_TERMS = ferplus.LICENSE_TERMS
PIXELS = fer2013_csv.PIXELS

_FOLDS = {"FER2013Train": "train", "FER2013Valid": "valid", "FER2013Test": "test"}
_LABELS = "label.csv"
_N_COLUMNS = 2 + len(ferplus.VOTE_CATEGORIES)


def matches(root: Folder) -> bool:
    # A clone of the owners' code has label.csv, but its pictures only after they were exported.
    return any(
        folder.file(_LABELS) and any(file.suffix == ".png" for file in folder.files())
        for name in _FOLDS
        if (folder := root.folder(name))
    )


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    for name, fold in _FOLDS.items():
        folder = root.folder(name)
        labels = folder.file(_LABELS) if folder else None
        rows: dict[str, list[tuple[str, list[str]]]] = defaultdict(list)
        for number, line in folders.read_lines(labels) if labels else ():
            id, values = f"{name}/{_LABELS}:{number}", folders.split_csv_line(line)
            if len(values) == _N_COLUMNS:
                rows[values[0]].append((id, values[2:]))
            else:
                yield SkippedItem(
                    id, "number of columns", f"{len(values)}; allowed {_N_COLUMNS}: name, box and ten votes"
                )
        for item in folders.walk_media(folder, ignored_ids=(labels.id,) if labels else ()):
            if not isinstance(item, File):
                yield item
                continue
            match rows.pop(item.name, []):
                case []:
                    yield SkippedItem(item.id, "without label", f"not in {name}/{_LABELS}")
                case [(_, cells)]:
                    yield ferplus.apply_votes(Record(item.id, item, fold=fold), cells, settings.ferplus)
                case several:
                    for id, _ in several:
                        yield SkippedItem(
                            id, "named twice", f"{item.name} has {len(several)} lines; keep the right one"
                        )
        for picture, absent in rows.items():
            for id, _ in absent:
                yield SkippedItem(id, "no such picture", f"{picture[:40]} is not in {name}/")
    yield Note(f"labels are the votes in {_LABELS} by ingest.ferplus {settings.ferplus}")
