"""Several processes train as one would, print once, and stop at the same time."""

import json
import os
import signal
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from processes import assert_none_is_running, wait_until
from torch import nn

from fer.core.table import TABLE_COLUMNS
from fer.nn import distributed
from fer.runtime.errors import InputError
from fer.runtime.parallel import count_cores
from fer.training.examples import LabelledSet, UnlabelledPool
from fer.training.loop import train_network
from fer.training.params import SGD, Online, Phase, PlateauSchedule, Recipe, SmoothSchedule, Transfer, Transforms

ROOT = Path(__file__).parents[2]
NO_TRANSFORMS = Transforms(
    flip=0,
    rotation_degrees=0,
    shift=0,
    zoom=0,
    shear_degrees=0,
    brightness=0,
    contrast=0,
    erasing=0,
    erased_area=0,
    camera=None,
)
RECIPE = Recipe(
    epochs=4,
    batch=16,
    optimizer=SGD(kind="sgd", lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
    schedule=SmoothSchedule(kind="one_cycle", warmup=0.25),
    targets="labels",
    dropout=0.0,
    label_smoothing=0.1,
    mixup=0.0,
    class_weights="balanced",
    ema=0.5,
    patience=None,
    transfer=None,
)
SLOW = RECIPE.optimizer.model_copy(update={"lr": 1e-7})
PHASES = [Phase(layers=layers, epochs=2, lr=0.01, class_weights="none") for layers in ("head", "all")]
ONLINE = Online(policy="fixmatch", threshold=0.4, share=0.5, alignment="none")
STOPPING = {
    "patience": {"patience": 1, "optimizer": SLOW},
    "plateau": {"schedule": PlateauSchedule(kind="plateau", factor=0.1, patience=1), "optimizer": SLOW, "epochs": 8},
    "phases": {"transfer": Transfer(pretrained=False, input_px=32, phases=PHASES)},
}


def make_faces(n: int, seed: int) -> LabelledSet:
    """Return noise whose brightness grows with the class."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, n)
    pixels = generator.integers(0, 120, (n, 8, 8), dtype=np.uint8) + (60 * labels[:, None, None]).astype(np.uint8)
    return LabelledSet(pixels, np.eye(3, dtype=np.float32)[labels], np.ones(n, dtype=np.float32))


def make_network(norm: bool) -> nn.Module:
    torch.manual_seed(distributed.rank())  # rank 0 must send its weights to all
    backbone = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4) if norm else nn.Identity(), nn.ReLU())
    return nn.Sequential(OrderedDict(backbone=backbone, flat=nn.Flatten(), head=nn.Linear(4 * 36, 3)))


def train_tiny_network() -> np.ndarray:
    """Return the weights of a trained network; without batch norm they do not depend on how batches are divided."""
    model = make_network(norm=False)
    options = {"transforms": NO_TRANSFORMS, "seed": 0, "precision": "fp32", "name": "tiny", "epoch_faces": 64}
    train_network(model, make_faces(64, 0), make_faces(40, 1), recipe=RECIPE, **options)
    return torch.cat([tensor.flatten() for tensor in model.state_dict().values()]).numpy()


def train_and_write() -> None:
    """Write weights and learning curves of every process."""
    np.save(f"{distributed.rank()}.npy", train_tiny_network())
    options = {"transforms": NO_TRANSFORMS, "seed": 0, "precision": "fp32", "name": "tiny", "epoch_faces": 64}
    Path(f"{distributed.rank()}.processes").write_text(os.environ["LOCAL_WORLD_SIZE"])
    curves = {}
    for name, changes in STOPPING.items():
        recipe = RECIPE.model_copy(update=changes)
        model = make_network(norm=True)
        curves[name] = train_network(model, make_faces(64, 0), make_faces(40, 1), recipe=recipe, **options)
    pool = UnlabelledPool(make_faces(64, 2).pixels, ONLINE, "soft", 3, None)
    sets = (make_faces(64, 0), make_faces(40, 1))
    curves["pool"] = train_network(make_network(norm=True), *sets, recipe=RECIPE, unlabelled=pool, **options)
    Path(f"{distributed.rank()}.json").write_text(json.dumps(curves))


def train_long() -> None:
    model = make_network(norm=False)
    model.register_forward_pre_hook(lambda *_: Path(f"{os.getpid()}.pid").touch())
    options = {"transforms": NO_TRANSFORMS, "seed": 0, "precision": "fp32", "name": "tiny", "epoch_faces": 64}
    recipe = RECIPE.model_copy(update={"epochs": 100_000})
    train_network(model, make_faces(64, 0), make_faces(40, 1), recipe=recipe, checkpoint=Path("checkpoint"), **options)


def wait_for_a_stopped_process() -> None:
    """Rank 1 stops; rank 0 waits until it has done its work, then for its part of a sum."""
    torch.distributed.barrier()
    if distributed.rank() == 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    distributed.PEER_TIMEOUT = timedelta(seconds=1)
    set_timeout = getattr(torch.distributed, "set_timeout", torch.distributed.distributed_c10d._set_pg_timeout)
    set_timeout(distributed.PEER_TIMEOUT)
    try:
        distributed.wait_for_processes()
    except InputError as error:
        print(error)
    distributed.average_over_processes([torch.ones(1)])


def start(
    folder: Path,
    *command: str,
    processes: int | None = 2,
    launcher: str | None = None,
    dvc: bool = False,
    **options: Any,
) -> "subprocess.Popen[str]":
    """Start `python -m command`, by `launcher` if it is given; if `dvc`, as a child of a process like DVC."""
    folders = (ROOT, ROOT / "tests", Path(__file__).parent)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, folders)), "FER_DEVICE": "cpu"}
    environment |= {"FER_NPROC": str(processes)} if processes else {}
    environment |= {"FER_LAUNCH": launcher} if launcher else {}
    arguments = [sys.executable, "-m", *command]
    if dvc:
        parent = f"import os, subprocess; subprocess.run({arguments}, env=os.environ | {{'DVC_STAGE': 'x'}})"
        arguments = [sys.executable, "-c", parent]
    return subprocess.Popen(arguments, cwd=folder, env=environment, stdout=-1, stderr=-1, text=True, **options)


def write_stage(folder: Path, function: str, module: str = "test_distributed") -> str:
    """Write a stage script that runs a function of a module of this folder, and return its module name."""
    (folder / "stage.py").write_text(
        "from fer.nn import distributed\nfrom fer.runtime import stage\n"
        f"from {module} import {function}\n"
        f"if __name__ == '__main__':\n    stage.exit_with_dvc()\n    distributed.run_distributed_stage({function})\n"
    )
    (folder / "dvc.yaml").write_text("stages: {x: {params: []}}")
    (folder / "params.yaml").write_text("{}")
    return "stage"


def read_output(process: "subprocess.Popen[str]") -> tuple[int, list[str], list[str]]:
    """Return exit code, lines of output and lines of error."""
    out, err = process.communicate(timeout=500)
    return process.returncode, out.splitlines(), err.splitlines()


def wait_for_both(folder: Path) -> list[int]:
    """Return the process ids of both processes once they run."""
    wait_until(lambda: len(list(folder.glob("*.pid"))) == 2)
    return [int(file.stem) for file in folder.glob("*.pid")]


def assert_no_process_survives(folder: Path) -> None:
    assert_none_is_running(wait_for_both(folder))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run two processes and return the folder with their weights and curves."""
    folder = tmp_path_factory.mktemp("trained")
    code, out, err = read_output(start(folder, write_stage(folder, "train_and_write")))
    assert (code, err) == (0, [])
    assert len(out) == 1 + 2 + len(PHASES) + 1, "only rank 0 prints"
    return folder


def test_two_processes_train_to_the_weights_of_one(trained: Path) -> None:
    weights = [np.load(trained / f"{rank}.npy") for rank in range(2)]
    np.testing.assert_array_equal(*weights)
    np.testing.assert_allclose(weights[0], train_tiny_network(), rtol=0, atol=1e-5)
    initial_weights = [parameter.detach().flatten() for parameter in make_network(norm=False).parameters()]
    assert abs(weights[0] - np.concatenate(initial_weights)).max() > 0.1


def test_every_process_knows_how_many_share_the_machine(trained: Path) -> None:
    assert [(trained / f"{rank}.processes").read_text() for rank in range(2)] == ["2", "2"]


@pytest.mark.parametrize(("name", "epochs"), [("patience", 2), ("plateau", 8), ("phases", 4), ("pool", 4)])
def test_all_processes_stop_and_lower_the_rate_at_the_same_epoch(trained: Path, name: str, epochs: int) -> None:
    first, second = (json.loads((trained / f"{rank}.json").read_text())[name] for rank in range(2))
    assert first == second
    assert [row["epoch"] for row in first] == list(range(1, epochs + 1))
    if name == "plateau":
        assert first[-1]["learning_rate"] < first[0]["learning_rate"]
    if name == "pool":
        assert first[-1]["unlabelled_weight"] > 0


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Write the inputs of `pipeline.train`, with 64 training and 16 validation faces."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["train"] |= {"epochs": 2}
    params["ensemble"] = ["se", "improved_se"]  # the first would print a hint on some machines
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    np.save(tmp_path / "faces.npy", np.random.default_rng(0).integers(0, 255, (80, 48, 48), dtype=np.uint8))
    rows = [("train" if i < 64 else "valid", params["emotions"][i % 7]) for i in range(80)]
    table = pd.DataFrame(rows, columns=["fold", "emotion"]).reindex(columns=TABLE_COLUMNS, fill_value="")
    table.to_csv(tmp_path / "table.csv", index=False)
    (tmp_path / "augmented").mkdir()
    np.save(tmp_path / "augmented" / "faces.npy", np.zeros((0, 48, 48), np.uint8))
    np.save(tmp_path / "augmented" / "parents.npy", np.zeros(0, np.int64))
    return tmp_path


def start_training(project: Path, out: str) -> "subprocess.Popen[str]":
    paths = ["--faces", "faces.npy", "--table", "table.csv", "--augmented", "augmented", "--out", out]
    return start(project, "pipeline.train", "improved_se", "--replica", "0", *paths)


@pytest.mark.harden
def test_equal_runs_in_parallel_write_identical_files(project: Path) -> None:
    for process in [start_training(project, name) for name in ("first", "second")]:
        code, out, err = read_output(process)
        assert (code, len(out), err) == (0, 1, [])
        assert out[0].startswith("improved_se-0: 64 faces, 2 epochs")
    names = sorted(path.name for path in (project / "first").iterdir())
    assert names == ["curve.csv", "model.json", "weights.safetensors"]
    for name in names:
        assert (project / "first" / name).read_bytes() == (project / "second" / name).read_bytes()
    assert sorted(path.name for path in project.iterdir() if path.is_dir()) == ["augmented", "first", "second"]


def test_a_batch_that_cannot_be_shared_evenly_is_reported_once(project: Path) -> None:
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["train"]["batch"] = 33
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    line = "error: 2 processes cannot share batches of 33 faces evenly; change train.batch"
    assert read_output(start_training(project, "odd")) == (1, [], [line])
    assert not (project / "odd").exists()


KILLED = (
    "error: process 2 of 2 was killed by SIGKILL (out of memory, or stopped from outside); try again with a lower "
    "FER_NPROC"
)
HARDEN = pytest.mark.harden


@pytest.mark.parametrize(
    ("command", "line"),
    [
        pytest.param("wrong 0", "error: bad input", marks=HARDEN),
        ("wrong 1", "error: bad input"),
        ("killed 1", KILLED),
    ],
)
def test_a_failure_of_one_process_stops_all_and_is_reported_in_one_line(
    tmp_path: Path, command: str, line: str
) -> None:
    result = read_output(start(tmp_path, write_stage(tmp_path, "stop_as_requested", "stopping"), *command.split()))
    assert result == (1, ["started"], ["started", line])
    assert_no_process_survives(tmp_path)


@pytest.mark.harden
def test_an_unexpected_error_in_one_process_prints_its_traceback_once(tmp_path: Path) -> None:
    code, out, err = read_output(start(tmp_path, write_stage(tmp_path, "stop_as_requested", "stopping"), "broken", "1"))
    assert (code, out, err[:2]) == (1, ["started"], ["started", "Traceback (most recent call last):"])
    assert [line for line in err if not line.startswith(" ")][2:] == ["LookupError: unexpected", ""]
    assert_no_process_survives(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.harden
def test_no_process_survives_a_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    process = start(tmp_path, write_stage(tmp_path, "stop_as_requested", "stopping"), "wait")
    wait_for_both(tmp_path)
    process.send_signal(number)
    assert read_output(process) == (1, ["started"], ["started", "error: interrupted"])
    assert_no_process_survives(tmp_path)
    assert {file.read_text() for file in tmp_path.glob("*.pid")} == {str(max(1, count_cores() // 2))}


@pytest.mark.harden
def test_no_process_survives_a_killed_launcher(tmp_path: Path) -> None:
    process = start(tmp_path, write_stage(tmp_path, "stop_as_requested", "stopping"), "wait")
    wait_for_both(tmp_path)
    process.kill()
    process.communicate()
    assert_no_process_survives(tmp_path)


@pytest.mark.harden
def test_ctrl_c_during_imports_stops_all_with_one_line(tmp_path: Path) -> None:
    """The signal goes to the whole process group, as from a terminal."""
    (tmp_path / "slow.py").write_text(
        "import os, time\nfrom pathlib import Path\n"
        "if __name__ == '__mp_main__':\n    Path(f'{os.getpid()}.pid').touch()\n"
        "    while not Path('sent').exists(): time.sleep(0.05)\n"
        "from fer.nn import distributed\nfrom stopping import stop_as_requested\n"
        "if __name__ == '__main__':\n    distributed.run_distributed_stage(stop_as_requested)\n"
    )
    process = start(tmp_path, "slow", start_new_session=True)
    wait_for_both(tmp_path)
    os.killpg(process.pid, signal.SIGINT)
    (tmp_path / "sent").touch()
    assert read_output(process) == (1, [], ["error: interrupted"])
    assert_no_process_survives(tmp_path)


@pytest.mark.parametrize(
    "target", ["the stage", pytest.param("all processes", marks=HARDEN), pytest.param("DVC", marks=HARDEN)]
)
def test_rank_0_saves_a_checkpoint_when_a_signal_stops_the_training(tmp_path: Path, target: str) -> None:
    process = start(tmp_path, write_stage(tmp_path, "train_long"), dvc=target == "DVC")
    pids = wait_for_both(tmp_path)
    number = signal.SIGKILL if target == "DVC" else signal.SIGTERM
    for pid in [process.pid, *(pids if target == "all processes" else [])]:
        os.kill(pid, number)
    code = -number if target == "DVC" else 1
    assert read_output(process) == (code, [], ["error: interrupted; run it again to resume from here"])
    assert_no_process_survives(tmp_path)
    assert (tmp_path / "checkpoint").is_file()


TORCHRUN = f"{sys.executable} -m torch.distributed.run --standalone --nproc-per-node=2"


def test_fer_launch_runs_the_stage_under_torchrun_and_reports_its_failure(tmp_path: Path) -> None:
    stage = write_stage(tmp_path, "stop_as_requested", "stopping")
    code, out, err = read_output(start(tmp_path, stage, "wrong", "1", processes=3, launcher=TORCHRUN))
    assert (code, out, err.count("started")) == (1, ["started"], 1), "only rank 0 prints"
    assert "error: bad input" in err
    assert err[-1] == f"error: FER_LAUNCH={TORCHRUN!r} ended with exit code 1; its messages are above"
    assert_no_process_survives(tmp_path)


def test_a_copy_that_srun_started_refuses_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    with pytest.raises(InputError, match="srun started this stage 4 times"):
        distributed._launch(pytest.fail)


@pytest.mark.harden
@pytest.mark.parametrize("target", ["the stage", "DVC"])
def test_a_signal_reaches_the_processes_that_fer_launch_started(tmp_path: Path, target: str) -> None:
    stage = write_stage(tmp_path, "train_long")
    process = start(tmp_path, stage, processes=None, launcher=TORCHRUN, dvc=target == "DVC")
    wait_for_both(tmp_path)
    process.send_signal(signal.SIGKILL if target == "DVC" else signal.SIGINT)
    _, _, err = read_output(process)
    assert err.count("error: interrupted; run it again to resume from here") == 1
    assert err[-1].endswith("ended with exit code 1; its messages are above")
    assert_no_process_survives(tmp_path)
    assert (tmp_path / "checkpoint").is_file()


def test_a_stopped_process_ends_the_others(tmp_path: Path) -> None:
    code, out, err = read_output(start(tmp_path, write_stage(tmp_path, "wait_for_a_stopped_process")))
    cause = "does not answer: it, its machine or the network has stopped; run it again"
    assert (code, out, err) == (1, [f"process 2 of 2 {cause}"], [f"error: another process {cause}"])


class Clock:
    """A clock that only `sleep` moves on; `peer` is called each second."""

    def __init__(self, peer: Callable[[int], None]) -> None:
        self.now, self.peer = 0, peer

    def monotonic(self) -> int:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += 1
        self.peer(self.now)


@pytest.mark.parametrize("last_beat", [1000, 10_000])
def test_a_process_waits_for_another_as_long_as_that_one_runs(monkeypatch: pytest.MonkeyPatch, last_beat: int) -> None:
    store = torch.distributed.HashStore()

    def work(second: int) -> None:
        if second <= last_beat:
            store.add("beats of 1", 1)
        if second == 5000:
            store.add("arrived", 1)

    clock = Clock(work)
    monkeypatch.setattr(distributed, "time", clock)
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    monkeypatch.setattr(distributed, "_connect_store", lambda: store)
    monkeypatch.setattr(torch.distributed, "barrier", lambda: None)
    if last_beat < 5000:
        with pytest.raises(InputError, match=r"^process 2 of 2 does not answer"):
            distributed.wait_for_processes()
        assert clock.now - last_beat <= distributed.PEER_TIMEOUT.total_seconds()
    else:
        distributed.wait_for_processes()
        assert clock.now == 5000
