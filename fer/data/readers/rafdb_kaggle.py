"""RAF-DB with a folder for each label (Kaggle's shuvoalok/raf-db-dataset): `DATASET/{train,test}/{1..7}/`.

The folder is the label; `train_labels.csv` and `test_labels.csv`, where present, must not contradict it.
"""

from collections.abc import Iterator

from fer.data.media import folders
from fer.data.media.folders import File, Folder
from fer.data.media.issues import Note, SkippedItem
from fer.data.readers import rafdb
from fer.data.readers.params import Ingest
from fer.data.readers.rafdb import RAFDB_EMOTIONS
from fer.data.readers.record import ReaderItem, Record

LAYOUT = "DATASET/train/ and DATASET/test/ with <1..7>/train_00001_aligned.jpg"
LICENSE_TERMS = rafdb.LICENSE_TERMS

_FOLDS = ("test", "train")


def matches(root: Folder) -> bool:
    # Numbered folders are also AffectNet's, with other emotions: the names of the files must be RAF-DB's.
    train = _find_dataset_folder(root).folder("train")
    labels = train.folders() if train else []
    return all(folder.name in RAFDB_EMOTIONS for folder in labels) and any(
        file.name.startswith("train_") for folder in labels for file in folder.files()
    )


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    for fold in _FOLDS:
        table = root.file(f"{fold}_labels.csv")
        rows = [folders.split_csv_line(line) for _, line in folders.read_lines(table)] if table else []
        listed: dict[str, str] = {}
        if rows and rows[0][-2:] == ["image", "label"]:
            listed = {values[-2]: values[-1] for values in rows[1:] if len(values) == len(rows[0])}
        elif rows:
            found = ", ".join(rows[0])[:100]
            yield Note(f"{fold}_labels.csv is not compared with the folders: its columns are {found}, not image,label")
        for item in folders.walk_media(_find_dataset_folder(root).folder(fold)):
            if not isinstance(item, File):
                yield item
                continue
            label = item.parts[-2]
            said = listed.pop(item.name, label)
            if label not in RAFDB_EMOTIONS:
                yield SkippedItem(item.id, "unknown label", f"folder {label}; allowed 1 to 7")
            elif said != label:
                yield SkippedItem(
                    item.id, "contradictory labels", f"folder {label}, but {fold}_labels.csv says {said[:20]!r}"
                )
            else:
                yield Record(item.id, item, RAFDB_EMOTIONS[label], fold)
        if listed:
            there = ", ".join(sorted(listed)[:3])
            yield Note(f"{fold}_labels.csv names {len(listed)} pictures that are not there: {there}")


def _find_dataset_folder(root: Folder) -> Folder:
    return root.folder("DATASET") or root
