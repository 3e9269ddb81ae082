"""The reader of folders named after emotions."""

from pathlib import Path

import pytest
from PIL import Image

from fer.core.labels import EMOTION_ALIASES
from fer.data.media.folders import File, Folder, Note, SkippedItem
from fer.data.readers import class_folders
from fer.data.readers.params import Ingest
from fer.data.readers.record import Record


def save_images(root: Path, *names: str, size: tuple[int, int] = (8, 8)) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", size).save(root / name)
    return root


def read_labels(root: Path, rules: Ingest) -> dict[str, tuple[str | None, str | None]]:
    return {item.id: (item.emotion, item.fold) for item in class_folders.read(Folder(root), rules)}


def test_the_folder_is_the_emotion_and_the_image_is_the_face(tmp_path: Path, rules: Ingest) -> None:
    save_images(tmp_path, "Happiness/1.jpg", "SAD/1.jpg", "sad/deeper/2.png")
    assert class_folders.matches(Folder(tmp_path))
    assert list(class_folders.read(Folder(tmp_path), rules)) == [
        Record(name, File(name, tmp_path / name), emotion)
        for name, emotion in (("Happiness/1.jpg", "happy"), ("SAD/1.jpg", "sad"), ("sad/deeper/2.png", "sad"))
    ]


@pytest.mark.parametrize(
    ("train", "valid", "test"),
    [("train", "val", "test"), ("Training", "validation", "testing"), ("TRAIN", "valid", "Test")],
)
def test_folders_named_after_folds_give_the_fold(
    tmp_path: Path, rules: Ingest, train: str, valid: str, test: str
) -> None:
    labels = {
        f"{train}/fear/1.jpg": ("fear", "train"),
        f"{train}/angry/1.jpg": ("angry", "train"),
        f"{valid}/disgust/1.jpg": ("disgust", "valid"),
        f"{test}/surprise/1.jpg": ("surprise", "test"),
    }
    save_images(tmp_path, *labels)
    assert class_folders.matches(Folder(tmp_path))
    assert read_labels(tmp_path, rules) == labels


def test_every_name_of_an_emotion_is_recognised(tmp_path: Path, rules: Ingest) -> None:
    save_images(tmp_path, *(f"{name}/1.png" for name in EMOTION_ALIASES))
    labels = {f"{name}/1.png": (emotion, None) for name, emotion in EMOTION_ALIASES.items()}
    assert read_labels(tmp_path, rules) == labels


def test_images_outside_emotion_folders_are_skipped(tmp_path: Path, rules: Ingest) -> None:
    save_images(tmp_path, "train/happy/1.jpg", "train/sad/1.jpg", "train/bored/1.jpg", "train/3/1.jpg", "example.jpg")
    (tmp_path / "train/happy/notes.txt").write_text("x")
    items = list(class_folders.read(Folder(tmp_path), rules))
    assert {item.id: item.reason for item in items if isinstance(item, SkippedItem)} == {
        "example.jpg": "unknown emotion",
        "train/3/1.jpg": "unknown emotion",
        "train/bored/1.jpg": "unknown emotion",
    }
    assert "in train/bored; allowed folders angry, " in next(i.detail for i in items if i.id == "train/bored/1.jpg")
    assert sum(isinstance(item, Record) for item in items) == 2
    assert sum(isinstance(item, Note) for item in items) == 1


@pytest.mark.parametrize("size", [(640, 480), (562, 762)])
def test_the_largest_face_of_a_photo_is_detected(tmp_path: Path, rules: Ingest, size: tuple[int, int]) -> None:
    save_images(tmp_path, "happy/1.jpg", "sad/1.jpg", size=size)
    assert [item.face_mode for item in class_folders.read(Folder(tmp_path), rules)] == ["one", "one"]


@pytest.mark.parametrize(
    "names",
    [
        ("1/a.jpg", "2/a.jpg", "3/a.jpg"),
        ("Joy/a.jpg",),
        ("Joy/a.jpg", "Happy/a.jpg"),
        ("sad/a.jpg", "fear/a.jpg", "1/a.jpg", "2/a.jpg", "3/a.jpg"),
        ("pool/sad/a.jpg", "pool/fear/a.jpg"),
    ],
)
def test_other_trees_do_not_match(tmp_path: Path, names: tuple[str, ...]) -> None:
    assert not class_folders.matches(Folder(save_images(tmp_path, *names)))
