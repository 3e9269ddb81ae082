"""Shards have the bytes of one run together, whatever was computed first, and nothing else joins them."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from test_pool import SLICE, Pool

from fer.nn import pool as nn_pool
from fer.nn.partial import PartialPredictions
from fer.nn.shards import Shard, parse_shard
from fer.runtime.errors import InputError


@pytest.fixture(autouse=True)
def _small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn_pool, "FACES_PER_SLICE", SLICE)


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return Pool(tmp_path)


def shard_files(pool: Pool) -> list[Path]:
    return sorted(pool.out.parent.glob(".net.npy.*of*.part"))


@pytest.mark.parametrize("order", [[1, 2, 3], [3, 1, 2], [2], [], [3, 3, 1]])
def test_a_run_takes_the_slices_of_shards_in_any_order_and_computes_the_others(pool: Pool, order: list[int]) -> None:
    n_faces = {1: 16, 2: 16, 3: 13}  # each has two of six slices; the last slice has five faces
    for position, number in enumerate(order):
        assert pool.predict(shard=Shard(number, 3)) == (0 if number in order[:position] else n_faces[number])
    assert not pool.out.exists()
    assert pool.predict() == 45 - sum(n_faces[number] for number in set(order))
    assert pool.is_complete()


def test_shards_of_other_divisions_join(pool: Pool) -> None:
    pool.predict(shard=Shard(1, 2))
    pool.predict(shard=Shard(2, 3))
    assert pool.predict() == 8 + 5  # slices 4 and 6 of six
    assert pool.is_complete()


def test_shards_join_after_the_modification_time_changed(pool: Pool) -> None:
    pool.predict(shard=Shard(1, 2))
    pool.faces.touch()  # as in another clone
    assert pool.predict() == 45 - 3 * SLICE
    assert pool.is_complete()


def test_a_stopped_shard_resumes_and_gives_its_finished_slices(pool: Pool, capsys: pytest.CaptureFixture[str]) -> None:
    pool.predict_until_disk_is_full(slices=1, shard=Shard(1, 2))
    assert pool.predict(shard=Shard(1, 2)) == 2 * SLICE
    (path,) = shard_files(pool)
    assert capsys.readouterr().out == (
        f"resuming from {path}: 1 of 6 slices are done\nshard 1/2: 3 of 6 slices are in {path}\n"
    )
    pool.predict_until_disk_is_full(slices=1, shard=Shard(2, 2))
    assert pool.predict() == 45 - 4 * SLICE
    assert pool.is_complete()


def test_more_shards_than_slices_do_no_harm(pool: Pool) -> None:
    assert sum(pool.predict(shard=Shard(number, 8)) for number in range(1, 9)) == 45
    assert pool.predict() == 0
    assert pool.is_complete()


def test_a_shard_of_other_weights_is_named_and_ignored(pool: Pool, capsys: pytest.CaptureFixture[str]) -> None:
    pool.predict(weights="xyz", shard=Shard(1, 2))
    (other,) = shard_files(pool)
    assert pool.predict(shard=Shard(1, 2)) == 3 * SLICE
    assert len(shard_files(pool)) == 2
    capsys.readouterr()
    assert pool.predict() == 45 - 3 * SLICE
    assert f"ignoring {other}: it is damaged, or has other faces, weights" in capsys.readouterr().out
    assert shard_files(pool) == [other]  # kept for a run with these weights
    other.unlink()
    assert pool.is_complete()


@pytest.mark.parametrize("keep", [0, 100, 1000, -200, -1])
def test_a_truncated_shard_is_ignored(pool: Pool, keep: int, capsys: pytest.CaptureFixture[str]) -> None:
    pool.predict(shard=Shard(1, 2))
    (path,) = shard_files(pool)
    path.write_bytes(path.read_bytes()[:keep])
    assert pool.predict() == 45
    assert f"ignoring {path}: it is damaged" in capsys.readouterr().out
    path.unlink()
    assert pool.is_complete()


@pytest.mark.parametrize("text", ['{"slice": 0}', '{"slice": "8"}', "{}", "[]", "{\xff"])
def test_a_damaged_end_of_a_shard_is_noticed(pool: Pool, text: str) -> None:
    pool.predict(shard=Shard(1, 2))
    (path,) = shard_files(pool)
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"{")] + text.encode("latin-1"))
    assert PartialPredictions.read(path, (45, 2, 7)) is None


def pretend(monkeypatch: pytest.MonkeyPatch, torch_version: str) -> None:
    monkeypatch.setattr(nn_pool.torch, "__version__", torch_version)


def test_complete_shards_of_other_machines_are_merged(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn_pool, "FACES_PER_SLICE", 2 * SLICE)  # as on another device
    for number in (1, 2):
        pool.predict(shard=Shard(number, 2))
    monkeypatch.setattr(nn_pool, "FACES_PER_SLICE", SLICE)
    pretend(monkeypatch, "9.9")
    assert pool.predict() == 0
    assert pool.is_complete()


def test_slices_that_other_machines_left_out_are_an_error(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    pool.predict(shard=Shard(1, 2))
    pretend(monkeypatch, "9.9")
    with pytest.raises(
        InputError,
        match=r"^the shards of .*net\.npy were computed with device=cpu, compiled=False, torch=.*, slice=8, but this "
        r"machine would add slices with .* torch=9\.9, slice=8; compute all on machines of one kind",
    ):
        pool.predict()
    monkeypatch.undo()
    monkeypatch.setattr(nn_pool, "FACES_PER_SLICE", SLICE)
    assert pool.predict() == 45 - 3 * SLICE
    assert pool.is_complete()


def test_shards_of_machines_that_differ_are_an_error(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    pool.predict(shard=Shard(1, 2))
    pretend(monkeypatch, "9.9")
    pool.predict(shard=Shard(2, 2))
    with pytest.raises(InputError, match=r"1of2.*\.part was computed with .* but .*2of2.*\.part with .*torch=9\.9"):
        pool.predict()


def test_two_runs_of_a_shard_at_once_write_the_same_bytes(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    write_slice, computed = PartialPredictions.write_slice, []

    def start_another_run_first(self: PartialPredictions, *rows: object) -> None:
        monkeypatch.setattr(PartialPredictions, "write_slice", write_slice)
        computed.append(pool.predict(shard=Shard(1, 2)))
        computed.append(pool.predict(weights="xyz", shard=Shard(1, 2)))
        write_slice(self, *rows)

    monkeypatch.setattr(PartialPredictions, "write_slice", start_another_run_first)
    assert pool.predict(shard=Shard(1, 2)) == 3 * SLICE
    assert computed == [3 * SLICE, 3 * SLICE]
    assert pool.predict() == 45 - 3 * SLICE
    (other,) = shard_files(pool)
    other.unlink()
    assert pool.is_complete()


def test_a_shard_that_is_merged_while_it_runs_ends_with_an_error(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    write_slice = PartialPredictions.write_slice

    def merge_first(self: PartialPredictions, *rows: object) -> None:
        monkeypatch.setattr(PartialPredictions, "write_slice", write_slice)
        assert pool.predict() == 45
        write_slice(self, *rows)

    monkeypatch.setattr(PartialPredictions, "write_slice", merge_first)
    with pytest.raises(FileNotFoundError, match=r"1of2-.*\.part"):
        pool.predict(shard=Shard(1, 2))
    assert pool.is_complete()


@pytest.mark.parametrize("text", ["9/8", "0/8", "x", "", "/8", "1/", "1/0", "-1/8", "1/8/2", "１/8", "1.5/8", "1/8 "])
def test_a_wrong_shard_is_an_error(text: str) -> None:
    message = f"--shard {text}: write number/count, counted from 1: 1/8 to 8/8, for Slurm --array=1-8"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        parse_shard(text)


@pytest.mark.parametrize(("text", "selected"), [("1/3", [0, 3]), ("3/3", [2]), ("1/1", [0, 1, 2, 3]), ("4/4", [3])])
def test_shards_divide_the_slices(text: str, selected: Sequence[int]) -> None:
    assert parse_shard(text).select([0, 1, 2, 3]) == selected
