"""RAF-DB with a folder for each label (Kaggle's shuvoalok/raf-db-dataset): `DATASET/{train,test}/{1..7}/`.

The folder is the label; `train_labels.csv` and `test_labels.csv`, where present, must not contradict it.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from fer.datasets import Dropped, Found, Note, Record, files
from fer.datasets.rafdb import EMOTIONS

LAYOUT = "DATASET/train/ and DATASET/test/ with <1..7>/train_00001_aligned.jpg"

_FOLDS = ("test", "train")


def recognises(root: Path) -> bool:
    # Numbered folders are also AffectNet's, with other emotions: the names of the files must be RAF-DB's.
    labels = files.folders(files.below(root, f"{_dataset(root)}/train"))
    return all(folder.name in EMOTIONS for folder in labels) and any(
        path.name.startswith("train_") for folder in labels for path in folder.iterdir()
    )


def read(root: Path) -> Iterator[Found]:
    for fold in _FOLDS:
        table = files.below(root, f"{fold}_labels.csv")
        rows = [files.fields(line) for _, line in files.lines(table)] if table.is_file() else []
        listed: dict[str, str] = {}
        if rows and rows[0][-2:] == ["image", "label"]:
            listed = {values[-2]: values[-1] for values in rows[1:] if len(values) == len(rows[0])}
        elif rows:
            found = ", ".join(rows[0])[:100]
            yield Note(f"{table.name} is not compared with the folders: its columns are {found}, not image,label")
        for item in files.pictures(root, str(PurePosixPath(_dataset(root), fold))):
            if not isinstance(item, tuple):
                yield item
                continue
            id, path = item
            label = path.parent.name
            said = listed.pop(path.name, label)
            if label not in EMOTIONS:
                yield Dropped(id, "unknown label", f"folder {label}; allowed 1 to 7")
            elif said != label:
                yield Dropped(id, "contradictory labels", f"folder {label}, but {table.name} says {said[:20]!r}")
            else:
                yield Record(id, path, EMOTIONS[label], fold)
        if listed:
            yield Note(f"{table.name} names {len(listed)} pictures that are not there: {', '.join(sorted(listed)[:3])}")


def _dataset(root: Path) -> str:
    return "DATASET" if files.below(root, "DATASET").is_dir() else "."
