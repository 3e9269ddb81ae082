"""The readers of RAF-DB: the owners' form and Kaggle's."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fer.datasets import Dropped, Note, Record, rafdb, rafdb_kaggle
from fer.errors import InputError

LINES = "train_00001.jpg 5\ntrain_00002.jpg 1\ntest_0001.jpg 6\n"
ALIGNED = ("train_00001_aligned.jpg", "train_00002_aligned.jpg", "test_0001_aligned.jpg")


def save(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (100, 100)).save(path)


def official(root: Path, lines: bytes = LINES.encode(), aligned: str = "Image/aligned") -> Path:
    (root / "EmoLabel").mkdir(parents=True, exist_ok=True)
    (root / "EmoLabel/list_patition_label.txt").write_bytes(lines)
    for name in ALIGNED:
        save(root / aligned / name)
    return root


@pytest.mark.parametrize("wrapper", ["", "basic"])
@pytest.mark.parametrize("aligned", ["Image/aligned", "Image/aligned/aligned"])
def test_the_list_gives_the_emotion_and_the_name_the_fold(tmp_path: Path, wrapper: str, aligned: str) -> None:
    official(tmp_path / wrapper, aligned=aligned)
    assert rafdb.recognises(tmp_path)
    folder = f"{wrapper}/{aligned}".strip("/")
    assert list(rafdb.read(tmp_path)) == [
        Record(f"{folder}/train_00001_aligned.jpg", tmp_path / folder / "train_00001_aligned.jpg", "sad", "train"),
        Record(f"{folder}/train_00002_aligned.jpg", tmp_path / folder / "train_00002_aligned.jpg", "surprise", "train"),
        Record(f"{folder}/test_0001_aligned.jpg", tmp_path / folder / "test_0001_aligned.jpg", "angry", "test"),
    ]


def test_the_seven_numbers_are_the_owners(tmp_path: Path) -> None:
    names = [f"train_{code:05}" for code in range(1, 8)]
    official(tmp_path, "\r\n".join(f"{name}.jpg {code}" for code, name in enumerate(names, 1)).encode())
    for name in names:
        save(tmp_path / f"Image/aligned/{name}_aligned.jpg")
    emotions = [item.emotion for item in rafdb.read(tmp_path) if isinstance(item, Record)]
    assert emotions == ["surprise", "fear", "disgust", "happy", "sad", "angry", "neutral"]


def test_a_bad_line_is_dropped_once_with_its_number(tmp_path: Path) -> None:
    lines = "train_00001.jpg 9\ntrain_00002.jpg 1 1\ntest_0001.jpg 6\ntest_0001.jpg 5\ntest_0002.jpg 5\nvalid_1.jpg 5\n"
    items = list(rafdb.read(official(tmp_path, lines.encode())))
    assert [(item.id, item.reason) for item in items if isinstance(item, Dropped)] == [
        ("list_patition_label.txt:1", "unknown label"),
        ("list_patition_label.txt:2", "number of columns"),
        ("list_patition_label.txt:4", "named twice"),
        ("list_patition_label.txt:5", "no such picture"),
        ("list_patition_label.txt:6", "unknown fold"),
    ]
    assert sum(isinstance(item, Record) for item in items) == 1


def test_a_picture_that_the_list_does_not_name_is_dropped(tmp_path: Path) -> None:
    items = list(rafdb.read(official(tmp_path, b"train_00001.jpg 5\ntest_0001.jpg 6\n")))
    assert [item.reason for item in items if isinstance(item, Dropped)] == ["without label"]


def test_a_name_that_leaves_the_folder_is_no_picture(tmp_path: Path) -> None:
    save(tmp_path / "train_1_aligned.jpg")
    items = list(rafdb.read(official(tmp_path / "source", LINES.encode() + b"../../../train_1.jpg 5\n")))
    assert [item.id for item in items if isinstance(item, Dropped)] == ["list_patition_label.txt:4"]


def test_without_pictures_the_error_says_what_to_unpack(tmp_path: Path) -> None:
    official(tmp_path, aligned="elsewhere")
    with pytest.raises(InputError, match=r"Image/aligned: no pictures; unpack aligned\.zip"):
        list(rafdb.read(tmp_path))


def test_compound_emotions_are_left_out_with_a_note_and_never_taken_for_basic_ones(tmp_path: Path) -> None:
    official(tmp_path / "compound")
    assert not rafdb.recognises(tmp_path)
    assert not rafdb.recognises(tmp_path / "compound")
    official(tmp_path / "basic")
    notes = [item.text for item in rafdb.read(tmp_path) if isinstance(item, Note)]
    assert notes == ["compound/ left out: its labels are pairs of emotions"]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.binary()
    | st.lists(st.sampled_from([*LINES.split(), " ", "\n", "\r", "�", "\0", "9"])).map("".join).map(str.encode)
)
def test_whatever_bytes_the_list_holds_no_face_is_lost_or_counted_twice(tmp_path: Path, content: bytes) -> None:
    official(tmp_path, content)
    try:
        items = list(rafdb.read(tmp_path))
    except InputError:
        return
    ids = [item.id for item in items]
    assert len(set(ids)) == len(ids)
    assert len(items) >= len(ALIGNED)
    assert all(item.emotion in rafdb.EMOTIONS.values() for item in items if isinstance(item, Record))


def kaggle(root: Path) -> Path:
    for name in ("train/5/train_00001_aligned.jpg", "train/1/train_00002_aligned.jpg", "test/6/test_0001_aligned.jpg"):
        save(root / name)
    return root


def test_kaggles_folders_are_the_owners_numbers(tmp_path: Path) -> None:
    kaggle(tmp_path / "DATASET")
    assert rafdb_kaggle.recognises(tmp_path)
    assert [(item.id, item.emotion, item.fold) for item in rafdb_kaggle.read(tmp_path)] == [
        ("DATASET/test/6/test_0001_aligned.jpg", "angry", "test"),
        ("DATASET/train/1/train_00002_aligned.jpg", "surprise", "train"),
        ("DATASET/train/5/train_00001_aligned.jpg", "sad", "train"),
    ]
    assert [item.emotion for item in rafdb_kaggle.read(tmp_path / "DATASET")] == ["angry", "surprise", "sad"]


def test_kaggles_tables_are_only_compared(tmp_path: Path) -> None:
    kaggle(tmp_path / "DATASET")
    rows = "image,label\ntrain_00001_aligned.jpg,5\ntrain_00002_aligned.jpg,4\ntrain_00003_aligned.jpg,4\n"
    (tmp_path / "train_labels.csv").write_text(rows)
    (tmp_path / "test_labels.csv").write_text("name,code\ntest_0001_aligned.jpg,6\n")
    items = list(rafdb_kaggle.read(tmp_path))
    (bad,) = (item for item in items if isinstance(item, Dropped))
    assert (bad.id, bad.reason) == ("DATASET/train/1/train_00002_aligned.jpg", "contradictory labels")
    assert bad.detail == "folder 1, but train_labels.csv says '4'"
    first, second = (item.text for item in items if isinstance(item, Note))
    assert first == "test_labels.csv is not compared with the folders: its columns are name, code, not image,label"
    assert second == "train_labels.csv names 1 pictures that are not there: train_00003_aligned.jpg"
    assert sum(isinstance(item, Record) for item in items) == 2


@pytest.mark.parametrize("stray", ["train/0/train_1.jpg", "train/8/train_1.jpg"])
def test_numbers_beyond_rafdbs_are_another_layout(tmp_path: Path, stray: str) -> None:
    save(kaggle(tmp_path) / stray)
    assert not rafdb_kaggle.recognises(tmp_path)


def test_numbers_over_files_that_are_not_rafdbs_are_another_layout(tmp_path: Path) -> None:
    save(tmp_path / "train/1/image0000001.jpg")
    assert not rafdb_kaggle.recognises(tmp_path)
