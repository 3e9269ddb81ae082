"""The reader of AffectNet's arrays."""

import pickle
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from trees import FUZZ_SETTINGS, face_labels, save_image, skip_reasons, summarize_items, write_file, zip_folder

from fer.data.media.folders import Folder
from fer.data.media.issues import SkippedItem
from fer.data.readers import affectnet_npy
from fer.data.readers.params import Ingest

EIGHT = ["neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt"]  # in the owner's order


def npy(value: object) -> bytes:
    buffer = BytesIO()
    np.save(buffer, np.array(value))
    return buffer.getvalue()


def npys(root: Path, values: dict[str, object]) -> Path:
    """The later form: `values` has the emotion of each <part>/<id>."""
    for name, value in values.items():
        part, stem = name.split("/")
        save_image(root / part / "images" / f"{stem}.jpg")
        write_file(root / part / "annotations" / f"{stem}_exp.npy", npy(value))
        for other in ("val", "aro", "lnd"):
            write_file(root / part / "annotations" / f"{stem}_{other}.npy", npy(0.5))
    return root


@pytest.mark.parametrize("form", [str, int, float, lambda code: str(code).encode(), np.uint8, lambda code: [code]])
def test_arrays_give_each_picture_its_emotion_and_fold(tmp_path: Path, rules: Ingest, form) -> None:
    values = {f"train_set/{code}": form(code) for code in range(8)} | {"val_set/0": form(1), "test_set/0": form(6)}
    root = Folder(npys(tmp_path, values))
    assert affectnet_npy.matches(root)
    assert face_labels(affectnet_npy.read(root, rules)) == [
        *((f"train_set/images/{code}.jpg", emotion, "train") for code, emotion in enumerate(EIGHT)),
        ("val_set/images/0.jpg", "happy", "valid"),
        ("test_set/images/0.jpg", "angry", "test"),
    ]


def test_of_arrays_what_is_missing_or_no_emotion_is_dropped(tmp_path: Path, rules: Ingest) -> None:
    npys(
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


def header(shape: str, descr: str = "'<i8'") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(8)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"7",
        npy("7")[:-1],
        npy([1, 2]),
        npy([]),
        npy(np.zeros(0, "U0")),
        pickle.dumps(7),
        pickle.dumps(Bomb()),
        object_array(),
        header("(1 << 60,)"),
        header("(10**15,)"),
        header("(1000000000000000,)"),
        header("()", "'O'"),
        header("()", "'<U1000000000'"),
        header("(" * 3000),
        npy("1" * 5000),
        b"PK\x03\x04" + bytes(40),
    ],
)
def test_an_array_of_anything_else_is_dropped_and_nothing_of_it_is_run(
    tmp_path: Path, rules: Ingest, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    npys(tmp_path, {"train_set/1": 1})
    write_file(tmp_path / "train_set/annotations/1_exp.npy", content)
    (item,) = affectnet_npy.read(Folder(tmp_path), rules)
    assert (item.id, item.reason) == ("train_set/images/1.jpg", "unreadable label")
    assert not Path("exploded").exists()


@FUZZ_SETTINGS
@given(
    st.binary()
    | st.binary().map(lambda tail: npy("7")[: 128 - len(tail) % 100] + tail)
    | arrays.arrays(
        arrays.scalar_dtypes() | arrays.byte_string_dtypes() | arrays.unicode_string_dtypes(),
        arrays.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=2),
    ).map(npy)
)
def test_whatever_an_array_holds_its_picture_is_a_face_or_dropped(
    tmp_path: Path, rules: Ingest, content: bytes
) -> None:
    npys(tmp_path, {"val_set/1": 1})
    write_file(tmp_path / "val_set/annotations/1_exp.npy", content)
    (item,) = affectnet_npy.read(Folder(tmp_path), rules)
    assert item.id == "val_set/images/1.jpg"


def test_parts_may_be_archives_of_their_own(tmp_path: Path, rules: Ingest) -> None:
    for part, value in (("train_set", 1), ("val_set", 2)):
        npys(tmp_path / part, {f"{part}/0": value})
        zip_folder(tmp_path / part, tmp_path / f"packed/{part}.zip")
    root = Folder(tmp_path / "packed")
    assert affectnet_npy.matches(root)
    assert face_labels(affectnet_npy.read(root, rules)) == [
        ("train_set.zip/train_set/images/0.jpg", "happy", "train"),
        ("val_set.zip/val_set/images/0.jpg", "sad", "valid"),
    ]


def test_an_archive_gives_the_same_faces(tmp_path: Path, rules: Ingest) -> None:
    root = npys(tmp_path / "there", {"train_set/0": 1, "train_set/1": "x", "val_set/1": "2"})
    archive = zip_folder(root, tmp_path / "packed.zip")
    assert affectnet_npy.matches(archive)
    assert summarize_items(affectnet_npy.read(archive, rules)) == summarize_items(
        affectnet_npy.read(Folder(root), rules)
    )
