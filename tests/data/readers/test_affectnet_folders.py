"""The reader of AffectNet in numbered folders."""

from pathlib import Path

import pytest
from trees import face_labels, save_images, skip_reasons, summarize_items, zip_folder

from fer.data.media.folders import Folder
from fer.data.readers import affectnet_folders
from fer.data.readers.params import Ingest
from fer.data.readers.record import Record

EMOTIONS = ["neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt"]  # in the owner's order


def test_numbered_folders_have_the_owners_codes(tmp_path: Path, rules: Ingest) -> None:
    names = [f"train/{code}/{code}.jpg" for code in range(9)]
    root = Folder(save_images(tmp_path, *names, "val/7/1.jpg", "test/0/1.jpg", "train/loose.jpg"))
    assert affectnet_folders.matches(root)
    items = list(affectnet_folders.read(root, rules))
    assert face_labels([item for item in items if isinstance(item, Record)]) == [
        *((f"train/{code}/{code}.jpg", emotion, "train") for code, emotion in enumerate(EMOTIONS)),
        ("val/7/1.jpg", "contempt", "valid"),
        ("test/0/1.jpg", "neutral", "test"),
    ]
    assert skip_reasons(items) == [("train/loose.jpg", "unknown label"), ("train/8/8.jpg", "no single emotion")]


@pytest.mark.parametrize(
    "stray", ["train/1/train_00001_aligned.jpg", "train/happy/1.jpg", "train/0/1.jpg train/11/1.jpg"]
)
def test_folders_that_start_at_one_or_have_other_names_do_not_match(tmp_path: Path, stray: str) -> None:
    assert not affectnet_folders.matches(Folder(save_images(tmp_path, *stray.split())))


def test_an_archive_gives_the_same_faces(tmp_path: Path, rules: Ingest) -> None:
    root = save_images(tmp_path / "there", "train/0/1.jpg", "train/7/2.jpg", "val/1/3.jpg")
    archive = zip_folder(root, tmp_path / "packed.zip")
    assert affectnet_folders.matches(archive)
    assert summarize_items(affectnet_folders.read(archive, rules)) == summarize_items(
        affectnet_folders.read(Folder(root), rules)
    )
