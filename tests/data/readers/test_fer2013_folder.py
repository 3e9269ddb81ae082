"""The reader of FER-2013 as folders of JPEG files."""

from pathlib import Path

import pytest
from trees import face_labels, save_images, zip_folder

from fer.data.media.folders import File, Folder, Note, SkippedItem
from fer.data.readers import fer2013_folder
from fer.data.readers.record import ReaderItem, Record
from fer.params import load_params

SETTINGS = load_params(Path(__file__).parents[3] / "params.yaml").ingest
NAMES = (
    "train/angry/Training_8475486.jpg",
    "train/surprise/Training_8475486.jpg",
    "test/happy/PublicTest_1.jpg",
    "test/happy/PrivateTest_1.JPG",
)


def read_items(root: Path) -> list[ReaderItem]:
    return list(fer2013_folder.read(Folder(root), SETTINGS))


def test_the_file_name_gives_the_fold_and_the_folder_the_emotion(tmp_path: Path) -> None:
    save_images(tmp_path, *NAMES)
    expected = {
        "test/happy/PrivateTest_1.JPG": ("happy", "test"),
        "test/happy/PublicTest_1.jpg": ("happy", "valid"),
        "train/angry/Training_8475486.jpg": ("angry", "train"),
        "train/surprise/Training_8475486.jpg": ("surprise", "train"),
    }
    assert read_items(tmp_path) == [
        Record(id, File(id, tmp_path / id), emotion, fold) for id, (emotion, fold) in expected.items()
    ]


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_a_copy_split_into_three_parts_keeps_the_owners_folds(tmp_path: Path, name: str) -> None:
    save_images(tmp_path, "train/fear/Training_1.jpg", f"{name}/fear/Training_2.jpg", "test/fear/PublicTest_3.png")
    assert [item.fold for item in read_items(tmp_path) if isinstance(item, Record)] == ["valid", "train", "train"]


def test_archives_of_a_part_or_of_everything_give_the_same_faces(tmp_path: Path) -> None:
    save_images(tmp_path / "plain", *NAMES, "train/sad/img7.jpg")
    zipped = zip_folder(tmp_path / "plain", tmp_path / "zipped.zip")
    for part in ("train", "test"):
        zip_folder(tmp_path / "plain" / part, tmp_path / f"parts/{part}.zip")
    for root in (zipped, Folder(tmp_path / "parts")):
        assert fer2013_folder.matches(root)
        labels = face_labels(fer2013_folder.read(root, SETTINGS))
        assert str(labels).replace(".zip", "") == str(face_labels(read_items(tmp_path / "plain")))


def test_augmented_copies_and_foreign_files_are_skipped_with_a_reason(tmp_path: Path) -> None:
    save_images(tmp_path, "train/sad/Training_1.jpg", "train/sad/Training_1.jpg5.jpg", "train/sad/img7.jpg")
    save_images(tmp_path, "train/bored/Training_1.jpg")
    items = read_items(tmp_path)
    assert {item.id: item.reason for item in items if isinstance(item, SkippedItem)} == {
        "train/bored/Training_1.jpg": "unknown emotion",
        "train/sad/Training_1.jpg5.jpg": "augmented copy",
        "train/sad/img7.jpg": "unknown usage",
    }
    assert sum(isinstance(item, Record) for item in items) == 1


def test_system_files_are_ignored_and_other_files_are_counted(tmp_path: Path) -> None:
    save_images(tmp_path, *NAMES, "train/__MACOSX/Training_9.jpg", "train/angry/._Training_8475486.jpg")
    for name in ("Thumbs.db", ".DS_Store", "notes.txt"):
        (tmp_path / "train/angry" / name).write_bytes(b"x")
    records = [item for item in read_items(tmp_path) if not isinstance(item, Note)]
    assert [item.id for item in records] == sorted(NAMES)
    (note,) = (item for item in read_items(tmp_path) if isinstance(item, Note))
    assert note.text == "1 files in train/ are of another kind and were left out: .txt 1"


def test_emotion_folders_with_other_file_names_do_not_match(tmp_path: Path) -> None:
    assert not fer2013_folder.matches(Folder(save_images(tmp_path, "train/angry/1.jpg")))
    assert fer2013_folder.matches(Folder(save_images(tmp_path, *NAMES)))
