"""The reader of RAF-DB in Kaggle's layout."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trees import FUZZ_SETTINGS, face_labels, save_image, skip_reasons, summarize_items, write_file, zip_folder

from fer.data.media.folders import Folder, Note
from fer.data.readers import rafdb_kaggle
from fer.data.readers.params import Ingest
from fer.data.readers.record import Record
from fer.runtime.errors import InputError


def write_kaggle(root: Path) -> Path:
    for name in ("train/5/train_00001_aligned.jpg", "train/1/train_00002_aligned.jpg", "test/6/test_0001_aligned.jpg"):
        save_image(root / name)
    return root


def test_the_folders_are_the_owners_codes(tmp_path: Path, rules: Ingest) -> None:
    write_kaggle(tmp_path / "DATASET")
    assert rafdb_kaggle.matches(Folder(tmp_path))
    assert face_labels(rafdb_kaggle.read(Folder(tmp_path), rules)) == [
        ("DATASET/test/6/test_0001_aligned.jpg", "angry", "test"),
        ("DATASET/train/1/train_00002_aligned.jpg", "surprise", "train"),
        ("DATASET/train/5/train_00001_aligned.jpg", "sad", "train"),
    ]
    inner = rafdb_kaggle.read(Folder(tmp_path / "DATASET"), rules)
    assert [item.emotion for item in inner] == ["angry", "surprise", "sad"]


def test_an_archive_gives_the_same_faces(tmp_path: Path, rules: Ingest) -> None:
    write_kaggle(tmp_path / "there/DATASET")
    archive = zip_folder(tmp_path / "there", tmp_path / "packed.zip")
    assert rafdb_kaggle.matches(archive)
    assert summarize_items(rafdb_kaggle.read(archive, rules)) == summarize_items(
        rafdb_kaggle.read(Folder(tmp_path / "there"), rules)
    )


def test_the_label_files_are_only_compared_with_the_folders(tmp_path: Path, rules: Ingest) -> None:
    write_kaggle(tmp_path / "DATASET")
    rows = "image,label\ntrain_00001_aligned.jpg,5\ntrain_00002_aligned.jpg,4\ntrain_00003_aligned.jpg,4\n"
    write_file(tmp_path / "train_labels.csv", rows)
    write_file(tmp_path / "test_labels.csv", "name,code\ntest_0001_aligned.jpg,6\n")
    items = list(rafdb_kaggle.read(Folder(tmp_path), rules))
    assert skip_reasons(items) == [("DATASET/train/1/train_00002_aligned.jpg", "contradictory labels")]
    first, second = (item.text for item in items if isinstance(item, Note))
    assert first == "test_labels.csv is not compared with the folders: its columns are name, code, not image,label"
    assert second == "train_labels.csv names 1 missing images: train_00003_aligned.jpg"
    assert sum(isinstance(item, Record) for item in items) == 2


@pytest.mark.parametrize("stray", ["train/8/a.jpg", "train/a.jpg"])
def test_an_image_outside_the_seven_folders_is_skipped(tmp_path: Path, rules: Ingest, stray: str) -> None:
    save_image(write_kaggle(tmp_path) / stray)
    assert skip_reasons(rafdb_kaggle.read(Folder(tmp_path), rules)) == [(stray, "unknown label")]


@pytest.mark.parametrize("stray", ["train/0/train_1.jpg", "train/8/train_1.jpg"])
def test_other_folder_numbers_do_not_match(tmp_path: Path, stray: str) -> None:
    save_image(write_kaggle(tmp_path) / stray)
    assert not rafdb_kaggle.matches(Folder(tmp_path))


def test_numbered_folders_with_other_file_names_do_not_match(tmp_path: Path) -> None:
    save_image(tmp_path / "train/1/image0000001.jpg")
    assert not rafdb_kaggle.matches(Folder(tmp_path))


@FUZZ_SETTINGS
@given(
    st.binary()
    | st.lists(st.sampled_from(["image,label\n", "train_00001_aligned.jpg", ",", "5", '"', "\n", "\r", "\0"]))
    .map("".join)
    .map(str.encode)
)
def test_each_image_is_a_face_or_skipped_for_any_bytes_in_the_label_file(
    tmp_path: Path, rules: Ingest, content: bytes
) -> None:
    write_kaggle(tmp_path)
    write_file(tmp_path / "train_labels.csv", content)
    try:
        items = list(rafdb_kaggle.read(Folder(tmp_path), rules))
    except InputError:
        return
    assert sum(not isinstance(item, Note) for item in items) == 3
