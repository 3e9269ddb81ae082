"""Detection of the layout of a source."""

import shutil
from pathlib import Path

import pytest

from fer.data.ingest.detect import EXPLICIT_READERS, READERS, Reader, detect_layout, find_reader, get_reader_name
from fer.data.media.folders import File, Folder
from fer.data.readers import (
    affectnet_folders,
    ckextended,
    fer2013_csv,
    fer2013_folder,
    ferplus_csv,
    photos,
    rafdb,
    rafdb_kaggle,
    tree,
)
from fer.runtime.errors import InputError

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


def list_files(folder: Folder) -> list[File]:
    return [*folder.files(), *(file for inner in folder.folders() for file in list_files(inner))]


def write_files(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("pixels\n")
    return root


@pytest.mark.parametrize("reader", [*READERS, *EXPLICIT_READERS], ids=get_reader_name)
def test_every_reader_is_found_by_name_and_has_a_layout_and_license_terms(reader: Reader) -> None:
    assert find_reader(get_reader_name(reader)) is reader
    assert isinstance(reader, Reader)
    assert reader.LAYOUT
    assert reader.LICENSE_TERMS


def test_every_module_with_a_matches_function_is_a_reader() -> None:
    folder = Path(fer2013_csv.__file__).parent
    modules = {path.stem for path in folder.glob("*.py") if "def matches(" in path.read_text()}
    assert modules == set(map(get_reader_name, (*READERS, *EXPLICIT_READERS)))


def test_an_unknown_reader_is_an_error_that_lists_the_readers() -> None:
    with pytest.raises(
        InputError, match=r"'affectnet', but the readers are afew, affectnet_csv, .*, tree, utkface, wider"
    ):
        find_reader("affectnet")


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("wrapper", ["", "archive", "archive/fer"])
def test_a_layout_is_detected_in_up_to_two_wrapper_folders(tmp_path: Path, name: str, wrapper: str) -> None:
    write_files(tmp_path / wrapper, name)
    write_files(tmp_path, "__MACOSX/fer2013.csv")
    root = tmp_path if LAYOUTS[name] is tree else tmp_path / wrapper
    assert detect_layout(tmp_path) == (LAYOUTS[name], Folder(root))


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_detected_in_an_archive(tmp_path: Path, name: str) -> None:
    shutil.make_archive(str(tmp_path / "raw/download"), "zip", write_files(tmp_path / "plain", name))
    reader, root = detect_layout(tmp_path / "raw")
    assert reader is LAYOUTS[name]
    if reader is not tree:
        assert [file.id for file in list_files(root)] == [name]


def test_a_layout_is_not_detected_again_in_its_own_subfolders(tmp_path: Path) -> None:
    write_files(tmp_path, "fer2013/fer2013.csv", "icml_face_data.csv", "example_submission.csv")
    assert detect_layout(tmp_path) == (fer2013_csv, Folder(tmp_path))
    write_files(tmp_path / "raf", "basic/EmoLabel/list_patition_label.txt", "compound/EmoLabel/list_patition_label.txt")
    assert detect_layout(tmp_path / "raf") == (rafdb, Folder(tmp_path / "raf"))


def test_a_layout_that_contains_another_is_detected_first(tmp_path: Path) -> None:
    write_files(tmp_path / "plus", "fer2013.csv", "fer2013new.csv")
    assert detect_layout(tmp_path / "plus")[0] is ferplus_csv
    (tmp_path / "ck").mkdir()
    (tmp_path / "ck/fer2013.csv").write_text("emotion,pixels,Usage\n7,1 2,Training\n")
    assert detect_layout(tmp_path / "ck")[0] is ckextended


def test_numbered_folders_are_labelled_only_by_a_reader_named_explicitly(tmp_path: Path) -> None:
    write_files(tmp_path, *(f"train/{number}/{number}.jpg" for number in range(8)))
    assert detect_layout(tmp_path)[0] is tree
    assert detect_layout(tmp_path, [find_reader("affectnet_folders")])[0] is affectnet_folders


def test_a_whole_source_reader_named_explicitly_need_not_match(tmp_path: Path) -> None:
    write_files(tmp_path, "a.jpg")
    assert detect_layout(tmp_path, [photos]) == (photos, Folder(tmp_path))


def test_a_folder_of_many_folders_is_not_searched(tmp_path: Path) -> None:
    write_files(tmp_path, *(f"{number}/fer2013.csv" for number in range(31)))
    with pytest.raises(InputError, match="no faces in a known layout"):
        detect_layout(tmp_path)


def test_two_layouts_are_an_error_unless_a_reader_is_named(tmp_path: Path) -> None:
    write_files(tmp_path, "fer2013.csv", "archive/train/sad/Training_1.jpg")
    with pytest.raises(InputError, match=r"more than one layout: fer2013_csv in .* and fer2013_folder in .*archive"):
        detect_layout(tmp_path)
    assert detect_layout(tmp_path, [fer2013_folder]) == (fer2013_folder, Folder(tmp_path / "archive"))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "is empty, but no faces in a known layout; `fer add --help`"),
        (("x.csv", "x.txt"), r"holds x\.csv, x\.txt, but no faces in a known layout; `fer add --help`"),
    ],
)
def test_a_folder_without_a_layout_is_an_error_that_lists_its_files(
    tmp_path: Path, names: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        detect_layout(write_files(tmp_path, *names))


def test_a_missing_folder_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"mine: no such folder; put the source's files there, or take mine out of"):
        detect_layout(tmp_path / "mine")
