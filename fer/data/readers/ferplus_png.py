"""FER+ as its owners' code exports it: `FER2013Train/`, `FER2013Valid/` and `FER2013Test/` with PNG files.

Each folder's `label.csv`, without a header, has a name, a box that is always the whole picture, and ten numbers of
votes. They are not quite those of `fer2013new.csv`: there identical pictures share their votes, here each has its own.
"""

from collections import defaultdict
from collections.abc import Iterator

from fer.data.media import folders
from fer.data.media.folders import File, Folder
from fer.data.media.issues import Dropped, Note
from fer.data.readers import fer2013_csv, ferplus
from fer.data.readers.params import Ingest
from fer.data.readers.record import Found, Record

LAYOUT = "FER2013Train/, FER2013Valid/ and FER2013Test/ with label.csv and fer0000000.png"
TERMS = ferplus.TERMS
PIXELS = fer2013_csv.PIXELS

_FOLDS = {"FER2013Train": "train", "FER2013Valid": "valid", "FER2013Test": "test"}
_LABELS = "label.csv"
_COLUMNS = 2 + len(ferplus.VOTED)


def recognises(root: Folder) -> bool:
    # A clone of the owners' code has label.csv, but its pictures only after they were exported.
    return any(
        folder.file(_LABELS) and any(file.suffix == ".png" for file in folder.files())
        for name in _FOLDS
        if (folder := root.folder(name))
    )


def read(root: Folder, rules: Ingest) -> Iterator[Found]:
    for name, fold in _FOLDS.items():
        folder = root.folder(name)
        labels = folder.file(_LABELS) if folder else None
        rows: dict[str, list[tuple[str, list[str]]]] = defaultdict(list)
        for number, line in folders.lines(labels) if labels else ():
            id, values = f"{name}/{_LABELS}:{number}", folders.fields(line)
            if len(values) == _COLUMNS:
                rows[values[0]].append((id, values[2:]))
            else:
                yield Dropped(id, "number of columns", f"{len(values)}; allowed {_COLUMNS}: name, box and ten votes")
        for item in folders.pictures(folder, known=(labels.id,) if labels else ()):
            if not isinstance(item, File):
                yield item
                continue
            match rows.pop(item.name, []):
                case []:
                    yield Dropped(item.id, "without label", f"not in {name}/{_LABELS}")
                case [(_, cells)]:
                    yield ferplus.labelled(Record(item.id, item, fold=fold), cells, rules.ferplus)
                case several:
                    for id, _ in several:
                        yield Dropped(id, "named twice", f"{item.name} has {len(several)} lines; keep the right one")
        for picture, absent in rows.items():
            for id, _ in absent:
                yield Dropped(id, "no such picture", f"{picture[:40]} is not in {name}/")
    yield Note(f"labels are the votes in {_LABELS} by ingest.ferplus {rules.ferplus}")
