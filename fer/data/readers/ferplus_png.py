"""FER+ as exported by the owners' code: `FER2013Train/`, `FER2013Valid/` and `FER2013Test/` with PNG files.

Each folder has a `label.csv` without a header: name, box (always the whole image) and ten numbers of votes. The votes
differ slightly from `fer2013new.csv`, in which identical images share their votes; here each image has its own.
"""

from collections import defaultdict
from collections.abc import Iterator

from fer.data.media import folders
from fer.data.media.folders import File, Folder, Note, SkippedItem
from fer.data.readers import fer2013_csv, ferplus
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record

LAYOUT = "FER2013Train/, FER2013Valid/ and FER2013Test/ with label.csv and fer0000000.png"
LICENSE_TERMS = ferplus.LICENSE_TERMS
PIXELS = fer2013_csv.PIXELS

_FOLDS = {"FER2013Train": "train", "FER2013Valid": "valid", "FER2013Test": "test"}
_LABEL_FILE = "label.csv"
_N_COLUMNS = 2 + len(ferplus.VOTE_CATEGORIES)


def matches(root: Folder) -> bool:
    # A clone of the owners' repository has label.csv but no images until they are exported.
    return any(
        folder.file(_LABEL_FILE) and any(file.suffix == ".png" for file in folder.files())
        for name in _FOLDS
        if (folder := root.folder(name))
    )


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    for name, fold in _FOLDS.items():
        folder = root.folder(name)
        labels = folder.file(_LABEL_FILE) if folder else None
        rows: dict[str, list[tuple[str, list[str]]]] = defaultdict(list)
        for number, line in folders.read_lines(labels) if labels else ():
            id, values = f"{name}/{_LABEL_FILE}:{number}", folders.split_csv_line(line)
            if len(values) == _N_COLUMNS:
                rows[values[0]].append((id, values[2:]))
            else:
                detail = f"{len(values)}; allowed {_N_COLUMNS}: name, box and ten votes"
                yield SkippedItem(id, "number of columns", detail)
        for item in folders.walk_media(folder, ignored_ids=(labels.id,) if labels else ()):
            if not isinstance(item, File):
                yield item
                continue
            match rows.pop(item.name, []):
                case []:
                    yield SkippedItem(item.id, "without label", f"not in {name}/{_LABEL_FILE}")
                case [(_, cells)]:
                    yield ferplus.apply_votes(Record(item.id, item, fold=fold), cells, settings.ferplus)
                case duplicates:
                    for id, _ in duplicates:
                        detail = f"{item.name} has {len(duplicates)} lines; keep the right one"
                        yield SkippedItem(id, "named twice", detail)
        for image_name, unused_rows in rows.items():
            for id, _ in unused_rows:
                yield SkippedItem(id, "no such picture", f"{image_name[:40]} is not in {name}/")
    yield Note(f"labels: votes in {_LABEL_FILE}, ingest.ferplus={settings.ferplus}")
