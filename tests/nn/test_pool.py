"""Prediction in slices writes the same bytes as prediction at once, after any kill and with any number of processes."""

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

from fer.nn import batch_predictor
from fer.nn import pool as nn_pool
from fer.nn.inference import predict_logits
from fer.nn.partial import PartialPredictions
from fer.nn.pool import predict_pool
from fer.nn.shards import Shard
from fer.runtime import errors
from fer.runtime.errors import InputError

PROJECT = Path(__file__).parents[2]
BATCH, SLICE = 4, 8
VIEWS = ["plain", "flip"]
ROWS = 128 + 45 * len(VIEWS) * 7 * 4  # bytes of the predictions of 45 faces, with their header


class Stub(nn.Module):
    """One layer that counts its input faces."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(144, 7, bias=False)
        nn.init.normal_(self.dense.weight, generator=torch.Generator().manual_seed(0))
        self.n_faces = 0

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        self.n_faces += len(faces)
        return self.dense(faces.flatten(1))


class Pool:
    """A file of faces and the paths of its predictions."""

    def __init__(self, root: Path, n: int = 45) -> None:
        self.faces, self.out, self.part = root / "faces.npy", root / "0" / "net.npy", root / "0" / ".net.npy.part"
        if not self.faces.exists():
            np.save(self.faces, np.random.default_rng(0).integers(0, 256, (n, 12, 12), dtype=np.uint8))

    def predict(self, weights: str = "abc", batch: int = BATCH, shard: Shard | None = None) -> int:
        """Predict, and return the number of faces that were computed."""
        network, manifest = Stub(), {"weights": weights}
        predict_pool(network, self.faces, self.out, manifest, views=VIEWS, batch=batch, precision="fp32", shard=shard)
        return (network.n_faces - 1) // len(VIEWS)  # one face gives the number of classes

    def predict_until_disk_is_full(self, slices: int, **settings: object) -> None:
        """Predict until the disk is full, after `slices` slices."""
        with pytest.MonkeyPatch.context() as patch:
            calls = iter(range(2 * slices))

            def sync(file: int) -> None:
                if next(calls, None) is None:
                    raise OSError(28, "No space left on device")

            patch.setattr(os, "fsync", sync)
            with pytest.raises(OSError, match="No space left"):
                self.predict(**settings)
        assert not self.out.exists()

    def marks(self) -> bytes:
        return self.part.read_bytes()[ROWS : ROWS + 6]

    def is_complete(self, batch: int = BATCH) -> bool:
        """Return whether the file has the bytes of all logits at once, and no other file is left."""
        expected = io.BytesIO()
        np.save(expected, predict_logits(Stub(), np.load(self.faces), views=VIEWS, batch=batch, precision="fp32"))
        return self.out.read_bytes() == expected.getvalue() and os.listdir(self.out.parent) == [self.out.name]


@pytest.fixture(autouse=True)
def _small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn_pool, "FACES_PER_SLICE", SLICE)


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return Pool(tmp_path)


def test_cudnn_measures_its_algorithms_for_a_pool(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    pool.predict()
    assert torch.backends.cudnn.benchmark


@pytest.mark.parametrize("n", [0, 1, SLICE - 1, SLICE, SLICE + 1, 45])
@pytest.mark.parametrize("batch", [1, 3, 4, 20])
def test_the_bytes_are_those_of_all_logits_at_once(tmp_path: Path, n: int, batch: int) -> None:
    pool = Pool(tmp_path, n)
    assert pool.predict(batch=batch) == n
    assert pool.is_complete(batch)


def test_batches_are_those_of_all_logits_at_once(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    predict_batch = batch_predictor.predict_batch
    monkeypatch.setattr(
        batch_predictor,
        "predict_batch",
        lambda network, faces, *args: sizes.append(len(faces)) or predict_batch(network, faces, *args),
    )
    pool.predict(batch=3)
    assert sizes == [3] * 15


def test_finished_slices_are_not_computed_again(pool: Pool, capsys: pytest.CaptureFixture[str]) -> None:
    pool.predict_until_disk_is_full(slices=2)
    assert pool.predict() == 45 - 2 * SLICE
    assert pool.is_complete()
    assert capsys.readouterr().out == f"resuming from {pool.part}: 2 of 6 slices are done\n"


def test_prediction_can_be_stopped_repeatedly(pool: Pool) -> None:
    for slices in (1, 0, 2, 2):
        pool.predict_until_disk_is_full(slices)
    assert pool.predict() == 5
    assert pool.is_complete()


@pytest.mark.parametrize("change", ["weights", "batch", "faces", "views", "code", "slice"])
def test_a_change_of_the_inputs_starts_over(
    pool: Pool, change: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(nn_pool, "FACES_PER_SLICE", 24)
    pool.predict_until_disk_is_full(slices=1)
    settings = {"weights": {"weights": "xyz"}, "batch": {"batch": 2}}.get(change, {})
    if change == "faces":
        np.save(pool.faces, 255 - np.load(pool.faces))
    if change == "views":
        monkeypatch.setitem(globals(), "VIEWS", ["flip", "plain"])
    if change == "code":
        monkeypatch.setattr(nn_pool, "_hash_loaded_code", lambda: "edited")
    if change == "slice":
        monkeypatch.setattr(nn_pool, "FACES_PER_SLICE", 28)  # also two slices
    assert pool.predict(**settings) == 45
    assert pool.is_complete(**({"batch": 2} if change == "batch" else {}))
    assert capsys.readouterr().out.startswith(f"starting over: {pool.part} is damaged, or has other faces")


def test_the_code_hash_changes_with_an_imported_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    original = nn_pool._hash_loaded_code()
    assert nn_pool._hash_loaded_code() == original
    edited = tmp_path / "errors.py"
    edited.write_text("edited")
    monkeypatch.setattr(errors, "__file__", str(edited))
    assert nn_pool._hash_loaded_code() != original


@pytest.mark.parametrize("keep", [0, 1, 127, 128, 1000, -1])
def test_a_truncated_file_starts_over(pool: Pool, keep: int) -> None:
    pool.predict_until_disk_is_full(slices=3)
    os.truncate(pool.part, keep % pool.part.stat().st_size)
    assert pool.predict() == 45
    assert pool.is_complete()


def test_a_damaged_file_starts_over(pool: Pool) -> None:
    pool.predict_until_disk_is_full(slices=3)
    content = pool.part.read_bytes()
    pool.part.write_bytes(bytes(128) + content[128:])
    assert pool.predict() == 45
    assert pool.is_complete()


def test_a_mark_torn_by_a_power_failure_does_not_count(pool: Pool) -> None:
    pool.predict_until_disk_is_full(slices=3)
    assert pool.marks() == b"\1\1\1\0\0\0"
    content = bytearray(pool.part.read_bytes())
    content[ROWS : ROWS + 6] = b"\1\0\1\xff\0\0"
    pool.part.write_bytes(content)
    assert pool.predict() == 45 - 2 * SLICE
    assert pool.is_complete()


def test_a_full_disk_is_reported_in_one_line(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    resume_or_create = PartialPredictions.resume_or_create

    def create_on_full_disk(self: PartialPredictions) -> list[int]:
        starts = resume_or_create(self)
        self.path.unlink()
        self.path.symlink_to("/dev/full")
        return starts

    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    message = rf"^error: {pool.part}: No space left on device$"
    monkeypatch.setattr(PartialPredictions, "resume_or_create", create_on_full_disk)
    with pytest.raises(SystemExit, match=message):
        errors.run_main(pool.predict)
    monkeypatch.setattr(PartialPredictions, "resume_or_create", resume_or_create)
    monkeypatch.setattr(os, "replace", no_space)  # while the file is created
    with pytest.raises(SystemExit, match=message):
        errors.run_main(pool.predict)


def test_missing_slices_are_reported_and_one_process_can_add_them(pool: Pool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn_pool, "world_size", lambda: 2)  # the second process has died, or uses another file system
        patch.setattr(nn_pool, "wait_for_processes", lambda: None)
        with pytest.raises(InputError, match=r"net\.npy\.part: 3 of 6 slices are missing; run all processes on one"):
            pool.predict()
    assert not pool.out.exists()
    assert pool.marks() == b"\1\0\1\0\1\0"
    assert pool.predict() == 21
    assert pool.is_complete()


def run(root: Path, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (root / "stage.py").write_text(script)
    environment = os.environ | {"PYTHONPATH": f"{PROJECT}:{Path(__file__).parent}:{root}"} | environment
    return subprocess.run([sys.executable, "-m", "stage"], cwd=root, env=environment, capture_output=True, text=True)


KILL_EVERYWHERE = """
import json, os, signal
from pathlib import Path
import torch
from fer.nn import batch_predictor, pool as nn_pool
from test_pool import SLICE, Pool

def die_at(module, name, count):
    calls, function = iter(range(count)), getattr(module, name)
    def call(*arguments):
        if next(calls, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments)
    setattr(module, name, call)

torch.set_num_threads(1)
nn_pool.FACES_PER_SLICE = SLICE
pool = Pool(Path.cwd())
points = [(os, "fsync", count) for count in range(12)] + [(batch_predictor, "predict_batch", 7), (os, "truncate", 0)]
results = []
for module, name, count in points:
    if not (child := os.fork()):
        die_at(module, name, count)
        pool.predict()
    killed = os.waitpid(child, 0)[1] == signal.SIGKILL
    marks = pool.marks().count(1)
    computed = pool.predict()
    results.append([name, count, killed, marks, computed, pool.is_complete()])
    pool.out.unlink()
Path("results.json").write_text(json.dumps(results))
"""


def test_a_prediction_resumes_after_a_kill_anywhere(tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    result = run(tmp_path, KILL_EVERYWHERE)
    assert result.returncode == 0, result.stderr
    for name, count, killed, marks, computed, complete in json.loads((tmp_path / "results.json").read_text()):
        assert killed
        assert complete
        assert computed == max(0, 45 - marks * SLICE)
        if name == "fsync":  # alternates between slices and their marks
            assert marks == (count + 1) // 2
        if name == "predict_batch":
            assert marks < 4
        if name == "truncate":
            assert marks == 6


def test_much_work_is_compiled_and_says_so(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    operations = 45 * len(VIEWS) * 2 * 144 * 7
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda network, **_: compiled.append(network) or network)
    for minimum in (operations + 1, operations):
        monkeypatch.setitem(nn_pool.MIN_OPERATIONS_TO_COMPILE, "cpu", minimum)
        assert not compiled
        pool.predict_until_disk_is_full(slices=2)
        assert (b'"compiled": true' in pool.part.read_bytes()) == bool(compiled)
    assert compiled
    monkeypatch.setitem(nn_pool.MIN_OPERATIONS_TO_COMPILE, "cpu", operations + 1)
    assert pool.predict() == 45  # finished slices of the compiled network are not used by another run
    assert pool.is_complete()


@pytest.mark.parametrize(
    ("device", "n_faces", "batch", "size"),
    [
        ("cpu", 10**7, 256, 16_384),
        ("cpu", 100, 20_000, 20_000),
        ("cuda", 100, 4096, 16_384),
        ("cuda", 10**6, 4096, 28_672),  # 35 slices
        ("cuda", 10**7, 4096, 131_072),
    ],
)
def test_a_slice_has_whole_batches_and_more_of_them_on_a_gpu(
    monkeypatch: pytest.MonkeyPatch, device: str, n_faces: int, batch: int, size: int
) -> None:
    monkeypatch.undo()
    assert nn_pool._slice_size(n_faces, batch, torch.device(device)) == size


TWO_RANKS = """
import time
from pathlib import Path
from fer.nn import distributed, pool as nn_pool
from fer.nn.partial import PartialPredictions
from test_pool import SLICE, Pool

def main():
    nn_pool.FACES_PER_SLICE, write = SLICE, PartialPredictions.write_slice
    def write_late(self, *slice):
        time.sleep(0.3 * distributed.rank())
        write(self, *slice)
    PartialPredictions.write_slice = write_late
    Path(f"{distributed.rank()}.txt").write_text(str(Pool(Path.cwd()).predict()))

if __name__ == "__main__":
    distributed.run_distributed_stage(main)
"""


def test_two_processes_divide_the_faces_and_write_the_bytes_of_one(pool: Pool) -> None:
    result = run(pool.faces.parent, TWO_RANKS, FER_NPROC="2")
    assert result.returncode == 0, result.stderr
    assert pool.is_complete()
    assert [(pool.faces.parent / f"{rank}.txt").read_text() for rank in range(2)] == ["24", "21"]
