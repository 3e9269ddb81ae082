"""Faces in files, and rows of them."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer.core import store
from fer.core.store import FaceRows, concatenate_rows, iter_chunks, open_faces, read_rows
from fer.runtime.errors import InputError

FACES = np.random.default_rng(0).integers(0, 256, (40, 5, 5), dtype=np.uint8)
ROWS = st.lists(st.integers(0, len(FACES) - 1), max_size=60).map(lambda rows: np.array(rows, dtype=np.int64))


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    path = tmp_path_factory.mktemp("faces") / "faces.npy"
    np.save(path, FACES)
    return open_faces(path)


@given(ROWS)
def test_rows_of_a_file_are_those_of_the_array(mapped: np.ndarray, rows: np.ndarray) -> None:
    assert (read_rows(mapped, rows) == FACES[rows]).all()
    assert (read_rows(mapped[3:], rows[rows < 37]) == FACES[3:][rows[rows < 37]]).all(), "a part of a mapping"
    assert (read_rows(FACES, rows) == FACES[rows]).all()


@pytest.mark.parametrize("per_chunk", [1, 7, 40, 100])
def test_chunks_are_all_faces_in_order(mapped: np.ndarray, per_chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "FACES_PER_CHUNK", per_chunk)
    chunks = list(iter_chunks(mapped))
    assert (np.concatenate([part for _, part in chunks]) == FACES).all()
    assert all((FACES[rows] == part).all() for rows, part in chunks)


def test_a_file_that_has_become_shorter_is_reported(tmp_path: Path) -> None:
    np.save(tmp_path / "faces.npy", FACES)
    faces = open_faces(tmp_path / "faces.npy")
    with (tmp_path / "faces.npy").open("r+b") as file:
        file.truncate(500)
    with pytest.raises(InputError, match=r"faces\.npy: shorter than when it was opened; recreate"):
        read_rows(faces, np.arange(30))


@given(ROWS, ROWS, st.data())
def test_rows_of_several_arrays_are_indexed_like_one_array(
    mapped: np.ndarray, first: np.ndarray, second: np.ndarray, data: st.DataObject
) -> None:
    faces = concatenate_rows(FaceRows((mapped, first)), FACES[:3], FaceRows((FACES, second)))
    expected = np.concatenate([FACES[first], FACES[:3], FACES[second]])
    assert (len(faces), faces.shape, faces.dtype) == (len(expected), expected.shape, expected.dtype)
    assert (np.asarray(faces) == expected).all()
    rows = np.array(data.draw(st.lists(st.integers(0, len(expected) - 1), max_size=50)), dtype=np.int64)
    assert (faces[rows] == expected[rows]).all()
    part = data.draw(st.slices(len(expected)))
    assert (faces[part] == expected[part]).all()


@pytest.mark.parametrize("row", [-1, 5])
def test_a_row_that_does_not_exist_is_refused(row: int) -> None:
    with pytest.raises(IndexError, match=r"not in 0\.\.4"):
        FaceRows((FACES, np.arange(5)))[np.array([2, row])]


def test_a_fingerprint_changes_with_rows_content_and_file(tmp_path: Path) -> None:
    path, rows = tmp_path / "faces.npy", np.arange(5)
    np.save(path, FACES)

    def fingerprint() -> str:
        return FaceRows((open_faces(path), rows)).fingerprint()

    first = fingerprint()
    assert first == fingerprint()
    assert first != FaceRows((open_faces(path), rows + 1)).fingerprint()
    os.utime(path, ns=(0, 0))
    assert first != fingerprint(), "the file was written again"
    in_memory = FaceRows((FACES, rows)).fingerprint()
    assert in_memory == FaceRows((FACES.copy(), rows)).fingerprint()
    assert in_memory != FaceRows((FACES ^ 1, rows)).fingerprint()


def test_a_fingerprint_reads_no_face(mapped: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "read_rows", lambda *_: pytest.fail("faces are read"))
    monkeypatch.setattr(np, "ascontiguousarray", lambda *_: pytest.fail("faces are read"))
    assert FaceRows((mapped, np.arange(3))).fingerprint()
