"""The reader of RAF-DB in the owners' layout, of its compound emotions and of RAF-CE."""

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

from fer.data.media.folders import Folder
from fer.data.readers import rafdb
from fer.data.readers.params import Ingest
from fer.data.readers.record import Record
from fer.runtime.errors import InputError

TABLE = "EmoLabel/list_patition_label.txt"
LINES = "train_00001.jpg 5\ntrain_00002.jpg 1\ntest_0001.jpg 6\n"
STEMS = ("train_00001", "train_00002", "test_0001")
EMOTIONS = ["sad", "surprise", "angry"]


def write_rafdb(
    root: Path, lines: str | bytes = LINES, images: str = "Image/aligned", ending: str = "_aligned"
) -> Path:
    write_file(root / TABLE, lines)
    for stem in STEMS:
        save_image(root / images / f"{stem}{ending}.jpg")
    return root


def save_numbered(root: Path, numbers: range, name: str = "train_{:05}") -> str:
    """Write an image for each number and return the list of them."""
    for number in numbers:
        save_image(root / f"{name.format(number)}_aligned.jpg")
    return "".join(f"{name.format(number)}.jpg {number}\r\n" for number in numbers)


def read_records(root: Path, rules: Ingest) -> list[Record]:
    return [item for item in rafdb.read(Folder(root), rules) if isinstance(item, Record)]


@pytest.mark.parametrize("wrapper", ["", "basic"])
@pytest.mark.parametrize("images", ["Image/aligned", "Image/aligned/aligned"])
def test_the_list_gives_the_emotion_and_the_file_name_the_fold(
    tmp_path: Path, rules: Ingest, wrapper: str, images: str
) -> None:
    write_rafdb(tmp_path / wrapper, images=images)
    assert rafdb.matches(Folder(tmp_path))
    items = list(rafdb.read(Folder(tmp_path), rules))
    folder = f"{wrapper}/{images}".strip("/")
    assert face_labels(items) == [
        (f"{folder}/train_00001_aligned.jpg", "sad", "train"),
        (f"{folder}/train_00002_aligned.jpg", "surprise", "train"),
        (f"{folder}/test_0001_aligned.jpg", "angry", "test"),
    ]
    assert [item.image.path for item in items] == [tmp_path / item.id for item in items]
    assert {item.face_mode for item in items} == {"whole"}


def test_the_seven_codes_are_those_of_the_owners(tmp_path: Path, rules: Ingest) -> None:
    write_rafdb(tmp_path, save_numbered(tmp_path / "Image/aligned", range(1, 8)))
    emotions = [item.emotion for item in read_records(tmp_path, rules)]
    assert emotions == ["surprise", "fear", "disgust", "happy", "sad", "angry", "neutral"]


@pytest.mark.parametrize("text", [LINES.replace("\n", "\r\n"), "\ufeff" + LINES, LINES.rstrip(), f"\n{LINES}\n \n"])
def test_line_ends_boms_and_blank_lines_make_no_difference(tmp_path: Path, rules: Ingest, text: str) -> None:
    assert [item.emotion for item in read_records(write_rafdb(tmp_path, text), rules)] == EMOTIONS


def test_an_invalid_line_is_skipped_once_with_its_number(tmp_path: Path, rules: Ingest) -> None:
    lines = (
        "train_00001.jpg 9\ntrain_00002.jpg 1 1\ntest_0001.jpg 6\ntest_0001.jpg 5\ntest_0002.jpg 5\nvalid_1.jpg 5\n"
        "../../train_1.jpg 5\n/train_2.jpg 5\n..\\train_3.jpg 5\ntrain_4\xff.jpg 5\n"
    )
    save_image(tmp_path / "train_1_aligned.jpg")
    items = list(rafdb.read(Folder(write_rafdb(tmp_path / "raf", lines.encode("latin-1"))), rules))
    assert skip_reasons(items) == [
        (f"{TABLE}:1", "unknown label"),
        (f"{TABLE}:2", "number of columns"),
        (f"{TABLE}:4", "named twice"),
        (f"{TABLE}:5", "missing picture"),
        (f"{TABLE}:6", "unknown fold"),
        (f"{TABLE}:7", "unsafe path"),
        (f"{TABLE}:8", "unsafe path"),
        (f"{TABLE}:9", "unsafe path"),
        (f"{TABLE}:10", "missing picture"),
    ]
    assert sum(isinstance(item, Record) for item in items) == 1


def test_an_image_that_is_not_listed_is_skipped(tmp_path: Path, rules: Ingest) -> None:
    root = write_rafdb(tmp_path, "train_00001.jpg 5\ntest_0001.jpg 6\n")
    assert skip_reasons(rafdb.read(Folder(root), rules)) == [("Image/aligned/train_00002_aligned.jpg", "without label")]


def test_a_duplicate_image_is_skipped_once(tmp_path: Path, rules: Ingest) -> None:
    save_image(write_rafdb(tmp_path) / "Image/aligned/aligned/test_0001_aligned.jpg")
    items = list(rafdb.read(Folder(tmp_path), rules))
    assert [reason for _, reason in skip_reasons(items)] == ["picture twice"]
    assert sum(isinstance(item, Record) for item in items) == 3


@pytest.mark.parametrize("inside", ["", "aligned"])
def test_the_owners_archive_of_aligned_images_need_not_be_unpacked(tmp_path: Path, rules: Ingest, inside: str) -> None:
    write_rafdb(tmp_path, images=f"elsewhere/{inside}")
    zip_folder(tmp_path / "elsewhere", tmp_path / "Image/aligned.zip")
    records = read_records(tmp_path, rules)
    names = [f"{inside}/{stem}_aligned.jpg".removeprefix("/") for stem in STEMS]
    assert [item.id for item in records] == [f"Image/aligned.zip/{name}" for name in names]
    assert [item.emotion for item in records] == EMOTIONS


def test_an_archive_of_everything_gives_the_same_faces(tmp_path: Path, rules: Ingest) -> None:
    write_rafdb(tmp_path / "there/basic")
    write_rafdb(tmp_path / "there/compound")
    archive = zip_folder(tmp_path / "there", tmp_path / "packed.zip")
    assert rafdb.matches(archive)
    items = summarize_items(rafdb.read(archive, rules))
    assert items == summarize_items(rafdb.read(Folder(tmp_path / "there"), rules))
    assert len(items) == 6


def test_without_aligned_images_faces_are_detected_in_the_originals(tmp_path: Path, rules: Ingest) -> None:
    write_rafdb(tmp_path, images="Image/original", ending="")
    records = read_records(tmp_path, rules)
    assert face_labels(records)[0] == ("Image/original/train_00001.jpg", "sad", "train")
    assert {item.face_mode for item in records} == {"one"}
    write_rafdb(tmp_path)
    assert {item.face_mode for item in read_records(tmp_path, rules)} == {"whole"}


def test_without_images_the_error_says_what_to_unpack(tmp_path: Path, rules: Ingest) -> None:
    write_rafdb(tmp_path, images="elsewhere")
    with pytest.raises(InputError, match=r"no Image/aligned; unpack the owners' aligned\.zip there"):
        list(rafdb.read(Folder(tmp_path), rules))
    (tmp_path / "Image/aligned").mkdir(parents=True)
    with pytest.raises(InputError, match=r"Image/aligned: no images; unpack the owners' archive there"):
        list(rafdb.read(Folder(tmp_path), rules))


def test_faces_with_compound_emotions_are_unlabelled_and_keep_the_name(tmp_path: Path, rules: Ingest) -> None:
    write_rafdb(tmp_path / "compound", save_numbered(tmp_path / "compound/Image/aligned", range(1, 12)))
    assert rafdb.matches(Folder(tmp_path))
    records = read_records(tmp_path, rules)
    assert {(item.emotion, item.fold) for item in records} == {(None, None)}
    assert [item.raw for item in records] == [
        "happily surprised",
        "happily disgusted",
        "sadly fearful",
        "sadly angry",
        "sadly surprised",
        "sadly disgusted",
        "fearfully angry",
        "fearfully surprised",
        "angrily surprised",
        "angrily disgusted",
        "disgustedly surprised",
    ]


def test_basic_and_compound_emotions_are_read_together(tmp_path: Path, rules: Ingest) -> None:
    write_rafdb(tmp_path / "basic")
    write_rafdb(tmp_path / "compound")
    records = read_records(tmp_path, rules)
    assert [(item.emotion, item.fold, item.raw) for item in records] == [
        ("sad", "train", ""),
        ("surprise", "train", ""),
        ("angry", "test", ""),
        (None, None, "sadly surprised"),
        (None, None, "happily surprised"),
        (None, None, "sadly disgusted"),
    ]
    assert len({item.id for item in records}) == 6


@pytest.mark.parametrize("folder", ["compound", "Compound", "anything"])
def test_a_compound_list_is_never_read_as_a_list_of_basic_emotions(tmp_path: Path, rules: Ingest, folder: str) -> None:
    root = tmp_path / folder
    write_rafdb(root, save_numbered(root / "Image/aligned", range(1, 12)))
    assert rafdb.matches(Folder(root))
    assert [item.emotion for item in read_records(root, rules)] == [None] * 11


def test_rafce_has_its_own_codes(tmp_path: Path, rules: Ingest) -> None:
    write_file(tmp_path / "RAFCE_emolabel.txt", save_numbered(tmp_path / "aligned", range(15), "{:04}"))
    assert rafdb.matches(Folder(tmp_path))
    *items, skipped_item = rafdb.read(Folder(tmp_path), rules)
    assert skip_reasons([skipped_item]) == [("RAFCE_emolabel.txt:15", "unknown label")]
    assert face_labels(items) == [(f"aligned/{number:04}_aligned.jpg", None, None) for number in range(14)]
    assert [item.raw for item in items] == [
        "happily surprised",
        "happily disgusted",
        "sadly fearful",
        "sadly angry",
        "sadly surprised",
        "sadly disgusted",
        "fearfully angry",
        "fearfully surprised",
        "fearfully disgusted",
        "angrily surprised",
        "angrily disgusted",
        "disgustedly surprised",
        "happily fearful",
        "happily sad",
    ]


@FUZZ_SETTINGS
@given(
    st.binary()
    | st.lists(st.sampled_from([*LINES.split(), " ", "\n", "\r", "�", "\0", "9", "10 11 8", "../"]))
    .map("".join)
    .map(str.encode)
)
@example(LINES.encode() * 2)
def test_each_line_and_image_is_a_face_or_skipped_for_any_bytes_in_the_list(
    tmp_path: Path, rules: Ingest, content: bytes
) -> None:
    write_rafdb(tmp_path, content)
    try:
        items = list(rafdb.read(Folder(tmp_path), rules))
    except InputError:
        return
    ids = [item.id for item in items]
    assert len(set(ids)) == len(ids)
    assert count_reported_lines(items) == count_lines(content)
