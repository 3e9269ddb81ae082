"""Batches have the faces of their rows, wherever the faces lie, and each process gets its share."""

import math
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fer.nn import distributed
from fer.runtime.errors import InputError
from fer.training import batches
from fer.training.batches import FaceBatches, shuffled_batches

CPU = torch.device("cpu")
FACES = np.random.default_rng(0).integers(0, 256, (20, 4, 4), dtype=np.uint8)


def read_epoch(faces: FaceBatches, first_step: int, end_step: int) -> list[list[int]]:
    """Return the rows of the steps, after a check of their pixels and addresses."""
    rows, addresses = [], set()
    faces.start_epoch(first_step, end_step)
    for index in range(end_step - first_step):
        faces.load(index)
        assert torch.equal(faces.pixels, torch.from_numpy(FACES[faces.rows]))
        addresses.add((faces.rows.data_ptr(), faces.pixels.data_ptr()))
        rows.append(faces.rows.tolist())
    assert len(addresses) == 1, "a recorded step reads one address"
    return rows


@pytest.mark.parametrize("on_device", [False, True])
def test_batches_have_the_faces_of_their_rows_and_can_skip_steps(
    monkeypatch: pytest.MonkeyPatch, on_device: bool
) -> None:
    monkeypatch.setattr(batches, "fits_on_gpu", lambda *_: on_device)
    expected = [rows.tolist() for rows in islice(shuffled_batches(20, 6, 3), 9)]
    whole, resumed = (FaceBatches(FACES, 6, 3, CPU) for _ in range(2))
    assert read_epoch(whole, 0, 5) + read_epoch(whole, 5, 9) == expected
    assert read_epoch(resumed, 3, 5) + read_epoch(resumed, 7, 9) == expected[3:5] + expected[7:9]


def test_processes_divide_each_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read_epoch(FaceBatches(FACES, 6, 3, CPU), 0, 3)
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    shares = []
    for rank in range(2):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        shares.append(read_epoch(FaceBatches(FACES, 6, 3, CPU), 0, 3))
    assert [sorted(first + second) for first, second in zip(*shares, strict=True)] == [sorted(rows) for rows in whole]
    with pytest.raises(InputError, match=r"2 processes cannot share batches of 7 faces evenly; change train\.batch"):
        FaceBatches(FACES, 7, 3, CPU)


@given(st.integers(1, 50), st.integers(1, 20), st.integers(0, 1000))
def test_every_face_comes_once_before_any_comes_again(n: int, batch: int, seed: int) -> None:
    rows = np.concatenate(list(islice(shuffled_batches(n, batch, seed), math.ceil(3 * n / batch))))
    for start in range(0, 3 * n, n):
        assert sorted(rows[start : start + n]) == list(range(n))


@pytest.mark.parametrize(("free", "fits"), [(1000, True), (199, False)])
def test_faces_lie_on_a_gpu_if_they_leave_room_for_the_training(
    monkeypatch: pytest.MonkeyPatch, free: int, fits: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 2000))
    assert batches.fits_on_gpu(100, torch.device("cuda")) == fits
    assert not batches.fits_on_gpu(100, CPU)
