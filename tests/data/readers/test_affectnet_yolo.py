"""The reader of AffectNet in YOLO format."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trees import FUZZ_SETTINGS, face_labels, save_image, skip_reasons, summarize_items, write_file, zip_folder

from fer.data.media.folders import Folder
from fer.data.readers import affectnet_yolo
from fer.data.readers.params import Ingest
from fer.runtime.errors import InputError

YOLO_NAMES = "names: [Anger, Contempt, Disgust, Fear, Happy, Neutral, Sad, Surprise]\nnc: 8\ntrain: ../train/images\n"


def write_yolo(root: Path, texts: dict[str, str], names: str = YOLO_NAMES) -> Path:
    write_file(root / "data.yaml", names)
    for name, text in texts.items():
        part, stem = name.split("/")
        save_image(root / part / "images" / f"{stem}.png")
        write_file(root / part / "labels" / f"{stem}.txt", text)
    return root


def test_text_files_give_the_emotions_of_data_yaml(tmp_path: Path, rules: Ingest) -> None:
    texts = {f"train/{code}": f"{code} 0.5 0.5 0.9 0.9\n" for code in range(8)}
    texts |= {"valid/a": "4 .5 .5 1 1", "test/b": "\ufeff6 .5 .5 1 1\r\n\r\n6 .1 .1 .2 .2\r\n"}
    root = Folder(write_yolo(tmp_path, texts))
    assert affectnet_yolo.matches(root)
    alphabetical = ["angry", "contempt", "disgust", "fear", "happy", "neutral", "sad", "surprise"]
    assert face_labels(affectnet_yolo.read(root, rules)) == [
        *((f"train/images/{code}.png", emotion, "train") for code, emotion in enumerate(alphabetical)),
        ("valid/images/a.png", "happy", "valid"),
        ("test/images/b.png", "sad", "test"),
    ]


@pytest.mark.parametrize("names", ["names: {0: happy, 7: Sadness}", "names:\n  0: happy\n  7: Sadness\n"])
def test_the_names_may_be_numbered_and_the_validation_part_may_be_called_val(
    tmp_path: Path, rules: Ingest, names: str
) -> None:
    root = Folder(write_yolo(tmp_path, {"val/a": "0 0 0 1 1", "val/b": "7 0 0 1 1", "val/c": "1 0 0 1 1"}, names))
    assert affectnet_yolo.matches(root)
    items = list(affectnet_yolo.read(root, rules))
    assert face_labels(items[:2]) == [("val/images/a.png", "happy", "valid"), ("val/images/b.png", "sad", "valid")]
    assert (items[2].reason, items[2].detail) == ("unknown label", "'1'; allowed 0 happy, 7 sad")


def test_images_with_an_invalid_text_file_are_skipped(tmp_path: Path, rules: Ingest) -> None:
    texts = {"train/a": "", "train/b": "4 0 0 1", "train/c": "4 0 0 1 1\n5 0 0 1 1", "train/d": "8 0 0 1 1"}
    write_yolo(tmp_path, texts | {"train/e": "4 0 0 1 1", "train/f": "4 0 0 1 1"})
    write_file(tmp_path / "train/labels/d.txt", b"\xff 0 0 1 1")
    (tmp_path / "train/labels/e.txt").unlink()
    (tmp_path / "train/images/f.png").unlink()
    assert skip_reasons(affectnet_yolo.read(Folder(tmp_path), rules)) == [
        ("train/images/a.png", "without label"),
        ("train/images/b.png", "number of columns"),
        ("train/images/c.png", "contradictory labels"),
        ("train/images/d.png", "unknown label"),
        ("train/images/e.png", "without label"),
        ("train/labels/f.txt", "missing picture"),
    ]


YAML_BOMB = "".join(f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]\n" for k in range(1, 40))


@pytest.mark.parametrize(
    "names",
    [
        "names: [cone, bus]",
        "names: [happy, cone]",
        "names: happy",
        "names: []",
        "nc: 8",
        "[1]",
        "",
        "names: [happy",
        "names: !!python/object/apply:os.system [ls]",
        "names: 2026-99-99",
        "a0: &a0 happy\n" + YAML_BOMB + "names: [*a39]",
        "[" * 5000,
        "names: [happy]\n" + "#" * (1 << 16),
        b"\xff\xfe\xff",
    ],
)
def test_a_data_yaml_without_emotions_does_not_match(tmp_path: Path, names: str) -> None:
    write_yolo(tmp_path, {"train/a": "0 0 0 1 1"})
    write_file(tmp_path / "data.yaml", names)
    assert not affectnet_yolo.matches(Folder(tmp_path))


@FUZZ_SETTINGS
@given(
    st.binary() | st.lists(st.sampled_from(["4", "5", " ", "0.5", "\n", "\r", "\0", "�"])).map("".join).map(str.encode)
)
def test_each_image_is_a_face_or_skipped_for_any_text_file(tmp_path: Path, rules: Ingest, content: bytes) -> None:
    write_yolo(tmp_path, {"train/a": ""})
    write_file(tmp_path / "train/labels/a.txt", content)
    try:
        (item,) = affectnet_yolo.read(Folder(tmp_path), rules)
    except InputError:
        return
    assert item.id == "train/images/a.png"


@FUZZ_SETTINGS
@given(st.binary() | st.text().map(lambda text: f"names: {text}".encode()))
def test_matching_never_fails_for_any_data_yaml(tmp_path: Path, content: bytes) -> None:
    write_yolo(tmp_path, {"train/a": "0 0 0 1 1"})
    write_file(tmp_path / "data.yaml", content)
    affectnet_yolo.matches(Folder(tmp_path))


def test_an_archive_gives_the_same_faces(tmp_path: Path, rules: Ingest) -> None:
    root = write_yolo(tmp_path / "there", {"train/a": "4 0 0 1 1", "train/b": "", "valid/b": "6 0 0 1 1"})
    archive = zip_folder(root, tmp_path / "packed.zip")
    assert affectnet_yolo.matches(archive)
    assert summarize_items(affectnet_yolo.read(archive, rules)) == summarize_items(
        affectnet_yolo.read(Folder(root), rules)
    )
