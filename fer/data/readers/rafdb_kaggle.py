"""RAF-DB with a folder for each label (Kaggle's shuvoalok/raf-db-dataset): `DATASET/{train,test}/{1..7}/`.

The folder is the label. If `train_labels.csv` and `test_labels.csv` exist, they must not contradict it.
"""

from collections.abc import Iterator

from fer.data.media import folders
from fer.data.media.folders import File, Folder, Note, SkippedItem
from fer.data.readers import rafdb
from fer.data.readers.params import Ingest
from fer.data.readers.rafdb import RAFDB_EMOTIONS
from fer.data.readers.record import ReaderItem, Record

LAYOUT = "DATASET/train/ and DATASET/test/ with <1..7>/train_00001_aligned.jpg"
LICENSE_TERMS = rafdb.LICENSE_TERMS

_FOLDS = ("test", "train")


def matches(root: Folder) -> bool:
    # AffectNet also has numbered folders, with other emotions, so the file names must be RAF-DB's.
    train = _find_dataset_folder(root).folder("train")
    labels = train.folders() if train else []
    return all(folder.name in RAFDB_EMOTIONS for folder in labels) and any(
        file.name.startswith("train_") for folder in labels for file in folder.files()
    )


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    for fold in _FOLDS:
        table = root.file(f"{fold}_labels.csv")
        rows = [folders.split_csv_line(line) for _, line in folders.read_lines(table)] if table else []
        table_labels: dict[str, str] = {}
        if rows and rows[0][-2:] == ["image", "label"]:
            table_labels = {values[-2]: values[-1] for values in rows[1:] if len(values) == len(rows[0])}
        elif rows:
            header = ", ".join(rows[0])[:100]
            yield Note(f"{fold}_labels.csv is not compared with the folders: its columns are {header}, not image,label")
        for item in folders.walk_media(_find_dataset_folder(root).folder(fold)):
            if not isinstance(item, File):
                yield item
                continue
            label = item.parts[-2]
            table_label = table_labels.pop(item.name, label)
            if label not in RAFDB_EMOTIONS:
                yield SkippedItem(item.id, "unknown label", f"folder {label}; allowed 1 to 7")
            elif table_label != label:
                detail = f"folder {label}, but {fold}_labels.csv has {table_label[:20]!r}"
                yield SkippedItem(item.id, "contradictory labels", detail)
            else:
                yield Record(item.id, item, RAFDB_EMOTIONS[label], fold)
        if table_labels:
            examples = ", ".join(sorted(table_labels)[:3])
            yield Note(f"{fold}_labels.csv names {len(table_labels)} missing images: {examples}")


def _find_dataset_folder(root: Folder) -> Folder:
    return root.folder("DATASET") or root
