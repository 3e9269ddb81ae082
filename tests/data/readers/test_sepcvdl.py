"""The reader of the SEP-CVDL datasets."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trees import (
    FUZZ_SETTINGS,
    face_labels,
    note_texts,
    save_images,
    skip_reasons,
    summarize_items,
    write_file,
    zip_folder,
)

from fer.data.media.folders import Folder, Note
from fer.data.readers import fer2013_folder, sepcvdl
from fer.data.readers.params import Ingest
from fer.data.readers.record import Record
from fer.runtime.errors import InputError

FER_IMAGES = (
    "train/Training_10131352_anger.jpg",
    "train/Training_1_disgust.jpg",
    "train/Training_2_fear.jpg",
    "train/Training_3_happiness.jpg",
    "train/Training_4_sadness.jpg",
    "train/Training_5_surprise.jpg",
    "test/PrivateTest_6_anger.jpg",
    "test/PublicTest_7_fear.jpg",
)
FER_LIST = (
    "Training_10131352_anger.jpg,3\nTraining_1_disgust.jpg,4\nTraining_2_fear.jpg,5\n"
    "Training_3_happiness.jpg,0\nTraining_4_sadness.jpg,2\nTraining_5_surprise.jpg,1\n"
)


@pytest.mark.parametrize("header", ["", "image,label\n", "\ufefffilename,code\r\n"])
def test_the_file_name_ends_with_the_emotion_and_the_folder_is_the_fold(
    tmp_path: Path, rules: Ingest, header: str
) -> None:
    save_images(tmp_path, *FER_IMAGES)
    write_file(tmp_path / "train_FER_labels.csv", header + FER_LIST)
    assert sepcvdl.matches(Folder(tmp_path))
    assert face_labels(sepcvdl.read(Folder(tmp_path), rules)) == [
        ("test/PrivateTest_6_anger.jpg", "angry", "test"),
        ("test/PublicTest_7_fear.jpg", "fear", "test"),
        ("train/Training_10131352_anger.jpg", "angry", "train"),
        ("train/Training_1_disgust.jpg", "disgust", "train"),
        ("train/Training_2_fear.jpg", "fear", "train"),
        ("train/Training_3_happiness.jpg", "happy", "train"),
        ("train/Training_4_sadness.jpg", "sad", "train"),
        ("train/Training_5_surprise.jpg", "surprise", "train"),
    ]


def test_a_list_must_not_contradict_the_file_names(tmp_path: Path, rules: Ingest) -> None:
    save_images(
        tmp_path, "valid/img496_sadness.jpg", "valid/img1_fear.jpg", "valid/img2_fear.jpg", "valid/img3_neutral.jpg"
    )
    write_file(
        tmp_path / "valid_labels.csv",
        "img496_sadness.jpg,3\nimg1_fear.jpg,5\nimg2_fear.jpg,1\nimg2_fear.jpg,5\nimg3_neutral.jpg,6\n"
        'gone_fear.jpg,5\nimage,label\nimg1_fear.jpg,5,5\n"img1_fear.jpg\n',
    )
    items = list(sepcvdl.read(Folder(tmp_path), rules))
    assert skip_reasons(items) == [
        ("valid/img2_fear.jpg", "contradictory labels"),
        ("valid/img496_sadness.jpg", "contradictory labels"),
    ]
    assert face_labels(item for item in items if isinstance(item, Record)) == [
        ("valid/img1_fear.jpg", "fear", "valid"),
        ("valid/img3_neutral.jpg", "neutral", "valid"),
    ]
    bad_lines, missing = note_texts(items)
    assert bad_lines.startswith("2 lines for ")
    assert bad_lines.endswith("/valid are not a name and a code, such as 'img1_fear.jpg,5,5'")
    assert missing.endswith("/valid names 2 missing images: gone_fear.jpg, image")


def test_the_list_of_one_fold_does_not_apply_to_another(tmp_path: Path, rules: Ingest) -> None:
    save_images(tmp_path, "train/a_fear.jpg", "test/a_fear.jpg")
    write_file(tmp_path / "train_RAF_labels.csv", "a_fear.jpg,0\n")
    assert skip_reasons(list(sepcvdl.read(Folder(tmp_path), rules))) == [("train/a_fear.jpg", "contradictory labels")]


def test_a_file_name_without_an_emotion_is_skipped(tmp_path: Path, rules: Ingest) -> None:
    save_images(tmp_path, *(f"train/{number}_fear.jpg" for number in range(10, 20)), "train/9.jpg", "train/fear.jpg")
    save_images(tmp_path, "train/img_boredom.jpg")
    items = list(sepcvdl.read(Folder(tmp_path), rules))
    names = ("train/9.jpg", "train/fear.jpg", "train/img_boredom.jpg")
    assert skip_reasons(items) == [(name, "unknown emotion") for name in names]


def test_a_folder_of_datasets_is_read_and_other_folders_are_reported(tmp_path: Path, rules: Ingest) -> None:
    save_images(tmp_path / "FER2013", *FER_IMAGES[:1])
    save_images(tmp_path / "RAF-DB", "train/train_00001_aligned_sadness.jpg", "test/test_0524_aligned_happiness.jpg")
    save_images(tmp_path / "AffectNet", "anger/image0000006_anger.jpg")
    assert sepcvdl.matches(Folder(tmp_path))
    items = list(sepcvdl.read(Folder(tmp_path), rules))
    assert face_labels(items) == [
        ("FER2013/train/Training_10131352_anger.jpg", "angry", "train"),
        ("RAF-DB/test/test_0524_aligned_happiness.jpg", "happy", "test"),
        ("RAF-DB/train/train_00001_aligned_sadness.jpg", "sad", "train"),
        Note("folders with another layout are not read: AffectNet"),
    ]


@pytest.mark.parametrize(
    "name",
    [
        "train/anger/Training_1.jpg",
        "train/anger/Training_1_anger.jpg",
        "train/Training_1.jpg",
        "train/anger.jpg",
        "train/person_1.jpg",
        "Training_1_anger.jpg",
    ],
)
def test_emotion_folders_and_other_file_names_do_not_match(tmp_path: Path, name: str) -> None:
    assert not sepcvdl.matches(Folder(save_images(tmp_path, name)))


def test_the_layout_does_not_match_fer2013_folder(tmp_path: Path) -> None:
    assert not fer2013_folder.matches(Folder(save_images(tmp_path, *FER_IMAGES)))


def test_an_archive_gives_the_same_faces(tmp_path: Path, rules: Ingest) -> None:
    save_images(tmp_path / "there/FER2013", *FER_IMAGES)
    write_file(tmp_path / "there/FER2013/train_FER_labels.csv", FER_LIST)
    archive = zip_folder(tmp_path / "there", tmp_path / "packed.zip")
    assert sepcvdl.matches(archive)
    assert summarize_items(sepcvdl.read(archive, rules)) == summarize_items(
        sepcvdl.read(Folder(tmp_path / "there"), rules)
    )


@FUZZ_SETTINGS
@given(
    st.binary()
    | st.lists(st.sampled_from(["a_fear.jpg", ",", "5", '"', "\n", "\r", "\0", "�"])).map("".join).map(str.encode)
)
def test_each_image_is_a_face_or_skipped_for_any_bytes_in_the_list(
    tmp_path: Path, rules: Ingest, content: bytes
) -> None:
    save_images(tmp_path, "train/a_fear.jpg", "train/b_fear.jpg")
    write_file(tmp_path / "train_labels.csv", content)
    try:
        items = list(sepcvdl.read(Folder(tmp_path), rules))
    except InputError:
        return
    assert [item.id for item in items if not isinstance(item, Note)] == ["train/a_fear.jpg", "train/b_fear.jpg"]
