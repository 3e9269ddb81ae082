"""The reader of AffectNet with NumPy arrays."""

import pickle
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from trees import FUZZ_SETTINGS, face_labels, save_image, skip_reasons, summarize_items, write_file, zip_folder

from fer.data.media.folders import Folder, SkippedItem
from fer.data.readers import affectnet_npy
from fer.data.readers.params import Ingest

EMOTIONS = ["neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt"]  # in the owner's order


def npy_bytes(value: object) -> bytes:
    buffer = BytesIO()
    np.save(buffer, np.array(value))
    return buffer.getvalue()


def write_arrays(root: Path, values: dict[str, object]) -> Path:
    """Write the later layout; `values` maps <part>/<id> to the emotion."""
    for name, value in values.items():
        part, stem = name.split("/")
        save_image(root / part / "images" / f"{stem}.jpg")
        write_file(root / part / "annotations" / f"{stem}_exp.npy", npy_bytes(value))
        for unused in ("val", "aro", "lnd"):
            write_file(root / part / "annotations" / f"{stem}_{unused}.npy", npy_bytes(0.5))
    return root


@pytest.mark.parametrize("encode", [str, int, float, lambda code: str(code).encode(), np.uint8, lambda code: [code]])
def test_arrays_give_each_image_its_emotion_and_fold(tmp_path: Path, rules: Ingest, encode) -> None:
    values = {f"train_set/{code}": encode(code) for code in range(8)} | {
        "val_set/0": encode(1),
        "test_set/0": encode(6),
    }
    root = Folder(write_arrays(tmp_path, values))
    assert affectnet_npy.matches(root)
    assert face_labels(affectnet_npy.read(root, rules)) == [
        *((f"train_set/images/{code}.jpg", emotion, "train") for code, emotion in enumerate(EMOTIONS)),
        ("val_set/images/0.jpg", "happy", "valid"),
        ("test_set/images/0.jpg", "angry", "test"),
    ]


def test_images_with_missing_or_unknown_labels_are_skipped(tmp_path: Path, rules: Ingest) -> None:
    write_arrays(
        tmp_path, {"train_set/1": "1", "train_set/2": "8", "train_set/3": "11", "train_set/4": "x", "train_set/5": "5"}
    )
    save_image(tmp_path / "train_set/images/6.jpg")
    (tmp_path / "train_set/images/5.jpg").unlink()
    items = list(affectnet_npy.read(Folder(tmp_path), rules))
    assert skip_reasons(items) == [
        ("train_set/images/2.jpg", "no single emotion"),
        ("train_set/images/3.jpg", "unknown label"),
        ("train_set/images/4.jpg", "unknown label"),
        ("train_set/images/6.jpg", "without label"),
        ("train_set/annotations/5_exp.npy", "missing picture"),
    ]
    assert [item.reason for item in items if isinstance(item, SkippedItem) and not item.is_defect] == [
        "no single emotion"
    ]


class Bomb:
    def __reduce__(self):
        return (Path("exploded").touch, ())


def object_array() -> bytes:
    buffer = BytesIO()
    np.save(buffer, np.array(Bomb(), dtype=object), allow_pickle=True)
    return buffer.getvalue()


def npy_header(shape: str, descr: str = "'<i8'") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(8)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"7",
        npy_bytes("7")[:-1],
        npy_bytes([1, 2]),
        npy_bytes([]),
        npy_bytes(np.zeros(0, "U0")),
        pickle.dumps(7),
        pickle.dumps(Bomb()),
        object_array(),
        npy_header("(1 << 60,)"),
        npy_header("(10**15,)"),
        npy_header("(1000000000000000,)"),
        npy_header("()", "'O'"),
        npy_header("()", "'<U1000000000'"),
        npy_header("(" * 3000),
        npy_bytes("1" * 5000),
        b"PK\x03\x04" + bytes(40),
    ],
)
def test_any_other_array_is_skipped_and_no_code_in_it_is_run(
    tmp_path: Path, rules: Ingest, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    write_arrays(tmp_path, {"train_set/1": 1})
    write_file(tmp_path / "train_set/annotations/1_exp.npy", content)
    (item,) = affectnet_npy.read(Folder(tmp_path), rules)
    assert (item.id, item.reason) == ("train_set/images/1.jpg", "unreadable label")
    assert not Path("exploded").exists()


@FUZZ_SETTINGS
@given(
    st.binary()
    | st.binary().map(lambda tail: npy_bytes("7")[: 128 - len(tail) % 100] + tail)
    | arrays.arrays(
        arrays.scalar_dtypes() | arrays.byte_string_dtypes() | arrays.unicode_string_dtypes(),
        arrays.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=2),
    ).map(npy_bytes)
)
def test_each_image_is_a_face_or_skipped_for_any_array(tmp_path: Path, rules: Ingest, content: bytes) -> None:
    write_arrays(tmp_path, {"val_set/1": 1})
    write_file(tmp_path / "val_set/annotations/1_exp.npy", content)
    (item,) = affectnet_npy.read(Folder(tmp_path), rules)
    assert item.id == "val_set/images/1.jpg"


def test_each_part_may_be_an_archive(tmp_path: Path, rules: Ingest) -> None:
    for part, value in (("train_set", 1), ("val_set", 2)):
        write_arrays(tmp_path / part, {f"{part}/0": value})
        zip_folder(tmp_path / part, tmp_path / f"packed/{part}.zip")
    root = Folder(tmp_path / "packed")
    assert affectnet_npy.matches(root)
    assert face_labels(affectnet_npy.read(root, rules)) == [
        ("train_set.zip/train_set/images/0.jpg", "happy", "train"),
        ("val_set.zip/val_set/images/0.jpg", "sad", "valid"),
    ]


def test_an_archive_gives_the_same_faces(tmp_path: Path, rules: Ingest) -> None:
    root = write_arrays(tmp_path / "there", {"train_set/0": 1, "train_set/1": "x", "val_set/1": "2"})
    archive = zip_folder(root, tmp_path / "packed.zip")
    assert affectnet_npy.matches(archive)
    assert summarize_items(affectnet_npy.read(archive, rules)) == summarize_items(
        affectnet_npy.read(Folder(root), rules)
    )
