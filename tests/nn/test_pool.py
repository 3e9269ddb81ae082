"""Prediction in slices: the same bytes as in one go, wherever it was killed and however many processes there are."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fer.nn import pool as nn_pool
from fer.nn.inference import predict_logits
from fer.nn.pool import PartialPredictions, predict_pool
from fer.runtime import errors
from fer.runtime.errors import InputError

PROJECT = Path(__file__).parents[2]
BATCH, SLICE = 4, 8
VIEWS = ["plain", "flip"]
ROWS = 128 + 45 * len(VIEWS) * 7 * 4  # bytes of the predictions of 45 faces, their header among them


class Stub(nn.Module):
    """One layer, which counts the faces that it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(7, 144, generator=torch.Generator().manual_seed(0)))
        self.seen = 0

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        self.seen += len(faces)
        return faces.flatten(1) @ self.weight.T


class Pool:
    """A file of faces, and the place of their predictions."""

    def __init__(self, root: Path, n: int = 45) -> None:
        self.faces, self.out, self.part = root / "faces.npy", root / "0" / "net.npy", root / "0" / ".net.npy.part"
        if not self.faces.exists():
            np.save(self.faces, np.random.default_rng(0).integers(0, 256, (n, 12, 12), dtype=np.uint8))

    def predict(self, weights: str = "abc", batch: int = BATCH) -> int:
        """The number of faces that were computed."""
        network = Stub()
        predict_pool(network, self.faces, self.out, {"weights": weights}, views=VIEWS, batch=batch, precision="fp32")
        return (network.seen - 1) // len(VIEWS)  # one is seen once, for the shape of an answer

    def predict_in_part(self, slices: int, **settings: object) -> None:
        """Predict, and be stopped by a full disk after so many slices."""
        with pytest.MonkeyPatch.context() as patch:
            synced = iter(range(2 * slices))

            def sync(file: int) -> None:
                if next(synced, None) is None:
                    raise OSError(28, "No space left on device")

            patch.setattr(os, "fsync", sync)
            with pytest.raises(OSError, match="No space left"):
                self.predict(**settings)
        assert not self.out.exists()

    def marks(self) -> bytes:
        return self.part.read_bytes()[ROWS : ROWS + 6]

    def is_complete(self, batch: int = BATCH) -> bool:
        """Whether the bytes are those of all logits at once, and nothing else is left."""
        expected = io.BytesIO()
        np.save(expected, predict_logits(Stub(), np.load(self.faces), views=VIEWS, batch=batch, precision="fp32"))
        return self.out.read_bytes() == expected.getvalue() and os.listdir(self.out.parent) == [self.out.name]


@pytest.fixture(autouse=True)
def _small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn_pool, "FACES_PER_SLICE", SLICE)


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return Pool(tmp_path)


@pytest.mark.parametrize("n", [0, 1, SLICE - 1, SLICE, SLICE + 1, 45])
@pytest.mark.parametrize("batch", [1, 3, 4, 20])
def test_the_bytes_are_those_of_all_logits_at_once(tmp_path: Path, n: int, batch: int) -> None:
    pool = Pool(tmp_path, n)
    assert pool.predict(batch=batch) == n
    assert pool.is_complete(batch)


def test_batches_are_those_of_all_logits_at_once(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    answer = nn_pool.predict_batch
    monkeypatch.setattr(
        nn_pool,
        "predict_batch",
        lambda network, faces, *more: sizes.append(len(faces)) or answer(network, faces, *more),
    )
    pool.predict(batch=3)
    assert sizes == [3] * 15


def test_what_is_done_is_not_done_again(pool: Pool, capsys: pytest.CaptureFixture[str]) -> None:
    pool.predict_in_part(slices=2)
    assert pool.predict() == 45 - 2 * SLICE
    assert pool.is_complete()
    assert capsys.readouterr().out == f"going on with {pool.part}: 2 of 6 slices are done\n"


def test_one_may_be_stopped_again_and_again(pool: Pool) -> None:
    for slices in (1, 0, 2, 2):
        pool.predict_in_part(slices)
    assert pool.predict() == 5
    assert pool.is_complete()


@pytest.mark.parametrize("change", ["weights", "batch", "faces", "views", "code", "slice"])
def test_another_question_begins_anew(
    pool: Pool, change: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(nn_pool, "FACES_PER_SLICE", 24)
    pool.predict_in_part(slices=1)
    settings = {"weights": {"weights": "xyz"}, "batch": {"batch": 2}}.get(change, {})
    if change == "faces":
        np.save(pool.faces, 255 - np.load(pool.faces))
    if change == "views":
        monkeypatch.setitem(globals(), "VIEWS", ["flip", "plain"])
    if change == "code":
        monkeypatch.setattr(nn_pool, "_hash_loaded_code", lambda: "mended")
    if change == "slice":
        monkeypatch.setattr(nn_pool, "FACES_PER_SLICE", 28)  # two slices, too
    assert pool.predict(**settings) == 45
    assert pool.is_complete(**({"batch": 2} if change == "batch" else {}))
    assert capsys.readouterr().out.startswith(f"beginning anew: {pool.part} is damaged, or of other faces")


def test_code_is_another_when_a_loaded_file_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = nn_pool._hash_loaded_code()
    assert nn_pool._hash_loaded_code() == before
    mended = tmp_path / "errors.py"
    mended.write_text("mended")
    monkeypatch.setattr(errors, "__file__", str(mended))
    assert nn_pool._hash_loaded_code() != before


@pytest.mark.parametrize("keep", [0, 1, 127, 128, 1000, -1])
def test_a_file_cut_short_begins_anew(pool: Pool, keep: int) -> None:
    pool.predict_in_part(slices=3)
    os.truncate(pool.part, keep % pool.part.stat().st_size)
    assert pool.predict() == 45
    assert pool.is_complete()


def test_a_damaged_file_begins_anew(pool: Pool) -> None:
    pool.predict_in_part(slices=3)
    content = pool.part.read_bytes()
    pool.part.write_bytes(bytes(128) + content[128:])
    assert pool.predict() == 45
    assert pool.is_complete()


def test_a_mark_torn_by_a_power_failure_is_none(pool: Pool) -> None:
    pool.predict_in_part(slices=3)
    assert pool.marks() == b"\1\1\1\0\0\0"
    content = bytearray(pool.part.read_bytes())
    content[ROWS : ROWS + 6] = b"\1\0\1\xff\0\0"
    pool.part.write_bytes(content)
    assert pool.predict() == 45 - 2 * SLICE
    assert pool.is_complete()


def test_a_full_disk_is_told_in_one_line(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = PartialPredictions.resume_or_create

    def begin_on_full_disk(self: PartialPredictions) -> list[int]:
        found = begin(self)
        self.path.unlink()
        self.path.symlink_to("/dev/full")
        return found

    told = rf"^error: {pool.part}: No space left on device$"
    monkeypatch.setattr(PartialPredictions, "resume_or_create", begin_on_full_disk)
    with pytest.raises(SystemExit, match=told):
        errors.run_main(pool.predict)
    monkeypatch.setattr(PartialPredictions, "resume_or_create", begin)
    with pytest.raises(SystemExit, match=told):
        errors.run_main(pool.predict)


def test_slices_that_never_came_are_told_and_one_process_can_add_them(pool: Pool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn_pool, "world_size", lambda: 2)  # but the other died, or does not see this file system
        patch.setattr(nn_pool, "wait_for_processes", lambda: None)
        with pytest.raises(InputError, match=r"net\.npy\.part: lacks 3 of 6 slices; all processes must write to one"):
            pool.predict()
    assert not pool.out.exists()
    assert pool.marks() == b"\1\0\1\0\1\0"
    assert pool.predict() == 21
    assert pool.is_complete()


def run(root: Path, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (root / "stage.py").write_text(script)
    everything = os.environ | {"PYTHONPATH": f"{PROJECT}:{Path(__file__).parent}:{root}"} | environment
    return subprocess.run([sys.executable, "-m", "stage"], cwd=root, env=everything, capture_output=True, text=True)


KILLED = """
import json, os, signal
from pathlib import Path
import torch
from fer.nn import pool as nn_pool
from test_pool import SLICE, Pool

def die_at(module, name, count):
    calls, real = iter(range(count)), getattr(module, name)
    def call(*arguments):
        if next(calls, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments)
    setattr(module, name, call)

torch.set_num_threads(1)
nn_pool.FACES_PER_SLICE = SLICE
pool = Pool(Path.cwd())
points = [(os, "fsync", count) for count in range(12)] + [(nn_pool, "predict_batch", 7), (os, "truncate", 0)]
found = []
for module, name, count in points:
    if not (child := os.fork()):
        die_at(module, name, count)
        pool.predict()
    killed = os.waitpid(child, 0)[1] == signal.SIGKILL
    marks = pool.marks().count(1)
    computed = pool.predict()
    found.append([name, count, killed, marks, computed, pool.is_complete()])
    pool.out.unlink()
Path("found.json").write_text(json.dumps(found))
"""


def test_killed_anywhere_it_goes_on_where_it_was(tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    done = run(tmp_path, KILLED)
    assert done.returncode == 0, done.stderr
    for name, count, killed, marks, computed, complete in json.loads((tmp_path / "found.json").read_text()):
        assert killed
        assert complete
        assert computed == max(0, 45 - marks * SLICE)
        if name == "fsync":  # that of a slice, then that of its mark, and so on
            assert marks == (count + 1) // 2
        if name == "predict_batch":
            assert marks < 4
        if name == "truncate":
            assert marks == 6


RANKS = """
import time
from pathlib import Path
from fer.nn import distributed, pool as nn_pool
from test_pool import SLICE, Pool

def main():
    nn_pool.FACES_PER_SLICE, write = SLICE, nn_pool.PartialPredictions.write_slice
    def write_late(self, *slice):
        time.sleep(0.3 * distributed.rank())
        write(self, *slice)
    nn_pool.PartialPredictions.write_slice = write_late
    Path(f"{distributed.rank()}.txt").write_text(str(Pool(Path.cwd()).predict()))

if __name__ == "__main__":
    distributed.run_distributed_stage(main)
"""


def test_two_processes_write_the_bytes_of_one_and_share_the_faces(pool: Pool) -> None:
    done = run(pool.faces.parent, RANKS, FER_NPROC="2")
    assert done.returncode == 0, done.stderr
    assert pool.is_complete()
    assert [(pool.faces.parent / f"{rank}.txt").read_text() for rank in range(2)] == ["24", "21"]
