"""The reader of ExpW."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from trees import (
    FUZZ_SETTINGS,
    count_lines,
    count_reported_lines,
    face_labels,
    save_image,
    skip_reasons,
    summarize_items,
    write_file,
    zip_folder,
)

from fer.data.media.folders import Folder, SkippedItem
from fer.data.readers import expw
from fer.data.readers.params import Ingest
from fer.data.readers.record import Record
from fer.runtime.errors import InputError

LIST, IMAGES = "label/label.lst", "image/origin"
LINES = (
    "angry_actor_104.jpg 0 28 113 226 141 22.9362 0\n"
    "two people.jpg 0 5 10 40 55 9.5 3\n"
    "two people.jpg 1 7.5 60 90 40 9 4\n"
)


def write_expw(root: Path, lines: str | bytes = LINES, *images: str) -> Path:
    write_file(root / LIST, lines)
    for name in images or ("angry_actor_104.jpg", "two people.jpg"):
        save_image(root / IMAGES / name)
    return root


def test_each_line_is_a_face_with_its_box_and_the_faces_of_an_image_are_a_group(tmp_path: Path, rules: Ingest) -> None:
    root = Folder(write_expw(tmp_path))
    assert expw.matches(root)
    items = list(expw.read(root, rules))
    assert [(item.id, item.emotion, item.fold, item.group, item.box) for item in items] == [
        (f"{IMAGES}/angry_actor_104.jpg#0", "angry", None, f"{IMAGES}/angry_actor_104.jpg", (113, 28, 113, 113)),
        (f"{IMAGES}/two people.jpg#0", "happy", None, f"{IMAGES}/two people.jpg", (10, 5, 30, 50)),
        (f"{IMAGES}/two people.jpg#1", "sad", None, f"{IMAGES}/two people.jpg", (60, 7.5, 30, 32.5)),
    ]
    assert [item.image.path for item in items] == [tmp_path / item.group for item in items]


def test_the_seven_codes_are_those_of_the_owners(tmp_path: Path, rules: Ingest) -> None:
    lines = "".join(f"{code}.jpg 0 1 1 9 9 5.0 {code}\n" for code in range(7))
    items = expw.read(Folder(write_expw(tmp_path, lines, *(f"{code}.jpg" for code in range(7)))), rules)
    assert [emotion for _, emotion, _ in face_labels(items)] == [
        "angry",
        "disgust",
        "fear",
        "happy",
        "sad",
        "surprise",
        "neutral",
    ]


@pytest.mark.parametrize("text", [LINES.replace("\n", "\r\n"), "\ufeff" + LINES, LINES.rstrip(), f"\n{LINES}\n \n"])
def test_line_ends_boms_and_blank_lines_make_no_difference(tmp_path: Path, rules: Ingest, text: str) -> None:
    assert summarize_items(expw.read(Folder(write_expw(tmp_path, text)), rules)) == summarize_items(
        expw.read(Folder(write_expw(tmp_path)), rules)
    )


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a.jpg 0 28 113 226 141 22.9", "number of columns"),
        ("a.jpg 0 28 113 226 141 22.9 7", "unknown label"),
        ("a.jpg 0 28 113 226 141 22.9 -1", "unknown label"),
        ("a.jpg 0 28 113 113 141 22.9 0", "face box"),
        ("a.jpg 0 141 113 226 28 22.9 0", "face box"),
        ("a.jpg 0 28 nan 226 141 22.9 0", "face box"),
        ("a.jpg 0 28 x 226 141 22.9 0", "face box"),
        ("a.jpg 0 28 113 1e9 141 22.9 0", "face box"),
        ("../a.jpg 0 28 113 226 141 22.9 0", "unsafe path"),
        ("/a.jpg 0 28 113 226 141 22.9 0", "unsafe path"),
        ("..\\a.jpg 0 28 113 226 141 22.9 0", "unsafe path"),
        ("angry_actor_104.jpg 0 1 1 9 9 5 0", "named twice"),
    ],
)
def test_an_invalid_line_is_skipped_with_its_number_and_other_lines_are_read(
    tmp_path: Path, rules: Ingest, line: str, reason: str
) -> None:
    save_image(tmp_path / "image/a.jpg")
    first_line, next_lines = LINES.split("\n", 1)
    items = list(expw.read(Folder(write_expw(tmp_path, f"{first_line}\n{line}\n{next_lines}")), rules))
    assert skip_reasons(items) == [(f"{LIST}:2", reason)]
    assert sum(isinstance(item, Record) for item in items) == 3


def test_a_missing_image_is_a_defect_and_an_unlabelled_image_is_not(tmp_path: Path, rules: Ingest) -> None:
    items = list(expw.read(Folder(write_expw(tmp_path, LINES, "two people.jpg", "no one.jpg")), rules))
    assert [(item.id, item.reason, item.is_defect) for item in items if isinstance(item, SkippedItem)] == [
        (f"{IMAGES}/no one.jpg", "without label", False),
        (f"{IMAGES}/angry_actor_104.jpg#0", "missing picture", True),
    ]


def test_without_images_the_error_says_what_to_unpack(tmp_path: Path, rules: Ingest) -> None:
    write_file(tmp_path / LIST, LINES)
    with pytest.raises(InputError, match=r"no image/origin beside label/label\.lst; unpack the owners' archives"):
        list(expw.read(Folder(tmp_path), rules))


def test_an_archive_gives_the_same_faces(tmp_path: Path, rules: Ingest) -> None:
    archive = zip_folder(write_expw(tmp_path / "there"), tmp_path / "packed.zip")
    assert expw.matches(archive)
    assert summarize_items(expw.read(archive, rules)) == summarize_items(expw.read(Folder(tmp_path / "there"), rules))


@FUZZ_SETTINGS
@given(
    st.binary()
    | st.lists(st.sampled_from(["a.jpg", " ", "0", "1", "9", "\n", "\r", "\0", "�", "../", LINES, "inf"]))
    .map("".join)
    .map(str.encode)
)
@example(b"a.jpg 0 1 1 9 9 5 0\na.jpg 1 1 1 9 9 5 6\n")
def test_each_line_is_a_face_or_skipped_for_any_bytes_in_the_list(
    tmp_path: Path, rules: Ingest, content: bytes
) -> None:
    write_expw(tmp_path, content, "a.jpg")
    try:
        items = list(expw.read(Folder(tmp_path), rules))
    except InputError:
        return
    assert count_reported_lines(items) == count_lines(content)
