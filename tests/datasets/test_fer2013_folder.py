"""The reader of FER-2013 as folders of JPEG files."""

from pathlib import Path

import numpy as np
from PIL import Image

from fer.datasets import Dropped, Note, Record, fer2013_folder

NAMES = (
    "train/angry/Training_8475486.jpg",
    "train/surprise/Training_8475486.jpg",
    "test/happy/PublicTest_1.jpg",
    "test/happy/PrivateTest_1.JPG",
)


def write(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((48, 48), 7, dtype=np.uint8)).save(root / name)
    return root


def test_the_fold_is_in_the_name_and_the_emotion_in_the_folder(tmp_path: Path) -> None:
    assert list(fer2013_folder.read(write(tmp_path, *NAMES))) == [
        Record("test/happy/PrivateTest_1.JPG", tmp_path / "test/happy/PrivateTest_1.JPG", "happy", "test"),
        Record("test/happy/PublicTest_1.jpg", tmp_path / "test/happy/PublicTest_1.jpg", "happy", "valid"),
        Record("train/angry/Training_8475486.jpg", tmp_path / NAMES[0], "angry", "train"),
        Record("train/surprise/Training_8475486.jpg", tmp_path / NAMES[1], "surprise", "train"),
    ]


def test_a_copy_split_into_three_keeps_the_owners_folds(tmp_path: Path) -> None:
    write(tmp_path, "train/fear/Training_1.jpg", "validation/fear/Training_2.jpg", "test/fear/PublicTest_3.png")
    assert [item.fold for item in fer2013_folder.read(tmp_path)] == ["valid", "train", "train"]


def test_augmented_copies_and_foreign_files_are_dropped_by_reason(tmp_path: Path) -> None:
    write(tmp_path, "train/sad/Training_1.jpg", "train/sad/Training_1.jpg5.jpg", "train/sad/img7.jpg")
    write(tmp_path, "train/bored/Training_1.jpg")
    items = list(fer2013_folder.read(tmp_path))
    assert {item.id: item.reason for item in items if isinstance(item, Dropped)} == {
        "train/bored/Training_1.jpg": "unknown emotion",
        "train/sad/Training_1.jpg5.jpg": "augmented copy",
        "train/sad/img7.jpg": "unknown usage",
    }
    assert sum(isinstance(item, Record) for item in items) == 1


def test_the_litter_of_archives_is_not_there_and_other_files_are_counted(tmp_path: Path) -> None:
    write(tmp_path, *NAMES, "train/__MACOSX/Training_9.jpg", "train/angry/._Training_8475486.jpg")
    for name in ("Thumbs.db", ".DS_Store", "notes.txt"):
        (tmp_path / "train/angry" / name).write_bytes(b"x")
    records = [item for item in fer2013_folder.read(tmp_path) if not isinstance(item, Note)]
    assert [item.id for item in records] == sorted(NAMES)
    (note,) = (item for item in fer2013_folder.read(tmp_path) if isinstance(item, Note))
    assert note.text == "1 files in train/ are no pictures and were left out: .txt 1"


def test_folders_of_emotions_with_other_names_are_another_layout(tmp_path: Path) -> None:
    assert not fer2013_folder.recognises(write(tmp_path, "train/angry/1.jpg"))
    assert fer2013_folder.recognises(write(tmp_path, *NAMES))
