"""Folders on disk: order, system files, links, names, and lines of text files."""

import os
import sys
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer.data.media.folders import (
    MAX_LINE_BYTES,
    File,
    Folder,
    Note,
    SkippedItem,
    read_lines,
    split_csv_line,
    walk_media,
)
from fer.runtime.errors import InputError


def make_files(root: Path, *names: str) -> Folder:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return Folder(root)


def test_images_are_listed_in_order_without_system_files(tmp_path: Path) -> None:
    root = make_files(
        tmp_path, "b/2.jpg", "b/10.PNG", "a.jpg", "__MACOSX/._a.jpg", ".hidden/x.jpg", "b/Thumbs.db", "b/z.txt"
    )
    *files, note = walk_media(root)
    assert [file.id for file in files] == ["a.jpg", "b/10.PNG", "b/2.jpg"]
    assert isinstance(note, Note)
    assert note.text.endswith("left out: .txt 1")
    assert list(walk_media(root, ignored_ids=("b/z.txt",))) == files
    assert list(walk_media(None)) == []


def test_a_file_has_a_name_stem_suffix_and_parts(tmp_path: Path) -> None:
    file = make_files(tmp_path, "a/B.tar.JPG").file("a/B.tar.JPG")
    assert isinstance(file, File)
    assert (file.id, file.name, file.stem, file.suffix, file.parts) == (
        "a/B.tar.JPG",
        "B.tar.JPG",
        "B.tar",
        ".jpg",
        ("a", "B.tar.JPG"),
    )
    assert str(file) == str(tmp_path / "a/B.tar.JPG")


def test_ids_are_relative_to_the_root_folder(tmp_path: Path) -> None:
    wrapped = make_files(tmp_path, "wrapper/train/x.jpg").folder("wrapper")
    assert [file.id for file in walk_media(wrapped)] == ["wrapper/train/x.jpg"]
    assert [file.id for file in walk_media(wrapped.as_root())] == ["train/x.jpg"]


def test_a_linked_image_is_skipped_and_a_linked_folder_is_an_error(tmp_path: Path) -> None:
    root = make_files(tmp_path / "root", "a.jpg")
    make_files(tmp_path / "elsewhere", "b.jpg")
    (tmp_path / "root/link.jpg").symlink_to(tmp_path / "root/a.jpg")
    assert [entry.reason for entry in walk_media(root) if isinstance(entry, SkippedItem)] == ["link"]
    with pytest.raises(InputError, match="links are not followed"):
        root.file("link.jpg")
    (tmp_path / "root/folder").symlink_to(tmp_path / "elsewhere")
    assert root.folders() == []
    with pytest.raises(InputError, match="links are not followed"):
        list(walk_media(root))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such a name")
@pytest.mark.parametrize(("name", "printable_name"), [(b"\xff.jpg", r"\xff.jpg"), (b"a\rb.jpg", r"a\rb.jpg")])
@pytest.mark.parametrize("packed", [False, True])
def test_a_name_that_is_not_utf8_or_has_a_carriage_return_is_skipped(
    tmp_path: Path, name: bytes, printable_name: str, packed: bool
) -> None:
    if packed:
        with tarfile.open(tmp_path / "x.tar", "w") as archive:
            archive.addfile(tarfile.TarInfo(os.fsdecode(name)))
    else:
        (tmp_path / os.fsdecode(name)).touch()
    (entry,) = walk_media(Folder(tmp_path))
    assert isinstance(entry, SkippedItem)
    assert (entry.id, entry.reason) == ("x.tar/" * packed + printable_name, "file name")


def test_names_that_differ_only_in_case_are_two_files(tmp_path: Path) -> None:
    files = list(walk_media(make_files(tmp_path, "A.jpg", "a.jpg", "x/a.jpg", "X/a.jpg")))
    assert len({file.id for file in files}) == len(files) == len(list(tmp_path.rglob("*.jpg")))


def test_a_folder_without_permission_is_named_in_the_error(tmp_path: Path) -> None:
    root = make_files(tmp_path, "closed/a.jpg")
    (tmp_path / "closed").chmod(0)
    try:
        if os.access(tmp_path / "closed", os.R_OK):  # root may read anything
            assert [file.id for file in walk_media(root)] == ["closed/a.jpg"]
        else:
            with pytest.raises(PermissionError) as error:
                list(walk_media(root))
            assert error.value.filename == str(tmp_path / "closed")
    finally:
        (tmp_path / "closed").chmod(0o700)


def write_list(tmp_path: Path, content: bytes) -> File:
    (tmp_path / "list.txt").write_bytes(content)
    return Folder(tmp_path).file("list.txt")


def test_lines_may_have_any_line_end_and_a_byte_order_mark(tmp_path: Path) -> None:
    expected = [(1, "a"), (3, "b"), (4, "c \ufffd")]
    assert list(read_lines(write_list(tmp_path, b"\xef\xbb\xbfa\r\n\r\nb\nc \xff"))) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"\xff\xfea\x00", "UTF-16"), (b"x" * MAX_LINE_BYTES, "longer than"), (b"a\rb\n", "carriage return")],
)
def test_a_file_that_is_not_a_list_of_lines_is_reported(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        list(read_lines(write_list(tmp_path, content)))


@given(st.lists(st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1), min_size=1))
def test_joined_values_are_split_again(values: list[str]) -> None:
    assert split_csv_line(" , ".join(values)) == values
    assert split_csv_line(",".join(f'"{value}"' for value in values)) == values


def test_pipes_are_skipped(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.zip"):
        os.mkfifo(tmp_path / name)
    assert [(entry.id, entry.reason) for entry in Folder(tmp_path).entries()] == [
        ("a.jpg", "special file"),
        ("b.zip", "special file"),
    ]


def test_deep_folders_need_no_recursion(tmp_path: Path) -> None:
    deep = tmp_path / "/".join(["a"] * 400)
    deep.mkdir(parents=True)
    (deep / "1.jpg").touch()
    old_limit = sys.getrecursionlimit()
    sys.setrecursionlimit(350)
    try:
        (file,) = walk_media(Folder(tmp_path))
    finally:
        sys.setrecursionlimit(old_limit)
    assert file.name == "1.jpg"
