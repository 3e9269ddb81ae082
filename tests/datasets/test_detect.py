"""Which reader reads what."""

from pathlib import Path

import pytest

from fer.datasets import fer2013_csv, fer2013_folder, rafdb, rafdb_kaggle, tree
from fer.datasets.detect import READERS, Reader, name_of, reader_named, recognise
from fer.errors import InputError

LAYOUTS = {
    "fer2013.csv": fer2013_csv,
    "icml_face_data.csv": fer2013_csv,
    "train.csv": fer2013_csv,
    "test.csv": fer2013_csv,
    "test/happy/PublicTest_1.jpg": fer2013_folder,
    "EmoLabel/list_patition_label.txt": rafdb,
    "DATASET/train/1/train_00001_aligned.jpg": rafdb_kaggle,
    "anyone/anything.jpg": tree,
}


def write(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("pixels\n")
    return root


@pytest.mark.parametrize("reader", READERS, ids=name_of)
def test_every_reader_is_found_by_its_name_and_says_what_it_reads(reader: Reader) -> None:
    assert reader_named(name_of(reader)) is reader
    assert reader.LAYOUT


def test_an_unknown_name_is_an_error_with_the_known_ones() -> None:
    with pytest.raises(
        InputError, match="'affectnet', but the readers are rafdb, rafdb_kaggle, fer2013_csv, fer2013_folder, tree"
    ):
        reader_named("affectnet")


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("wrapper", ["", "archive", "archive/fer"])
def test_a_layout_is_recognised_under_up_to_two_wrappers(tmp_path: Path, name: str, wrapper: str) -> None:
    write(tmp_path / wrapper, name)
    write(tmp_path, "archive.zip", "__MACOSX/fer2013.csv")
    place = tmp_path if LAYOUTS[name] is tree else tmp_path / wrapper
    assert recognise(tmp_path) == (LAYOUTS[name], place)


def test_what_belongs_to_one_layout_is_not_another_one_inside_it(tmp_path: Path) -> None:
    write(tmp_path, "fer2013/fer2013.csv", "icml_face_data.csv", "example_submission.csv")
    assert recognise(tmp_path) == (fer2013_csv, tmp_path)
    write(tmp_path / "raf", "basic/EmoLabel/list_patition_label.txt", "compound/EmoLabel/list_patition_label.txt")
    assert recognise(tmp_path / "raf") == (rafdb, tmp_path / "raf")


def test_two_layouts_are_an_error_until_one_is_named(tmp_path: Path) -> None:
    write(tmp_path, "fer2013.csv", "archive/train/sad/Training_1.jpg")
    with pytest.raises(InputError, match=r"more than one layout: fer2013_csv in .* and fer2013_folder in .*archive"):
        recognise(tmp_path)
    assert recognise(tmp_path, [fer2013_folder]) == (fer2013_folder, tmp_path / "archive")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "is empty, but no faces in a known layout"),
        (
            ("archive.zip", "x.txt"),
            r"holds archive\.zip, x\.txt, but no faces .*; unpack archives .*fer2013_csv: fer2013\.csv",
        ),
    ],
)
def test_a_folder_without_faces_is_an_error_that_says_what_was_looked_for(
    tmp_path: Path, names: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message) as error:
        recognise(write(tmp_path, *names))
    assert all(reader.LAYOUT in str(error.value) for reader in READERS)


def test_a_missing_folder_is_an_error_that_says_where_to_put_the_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"mine: no such folder; put the source's files there, or take mine out of"):
        recognise(tmp_path / "mine")
