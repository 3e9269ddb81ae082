"""Several processes at one piece of work: they learn what one would, speak with one voice, and end together."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from processes import assert_none_is_running, wait_until
from torch import nn

from fer.core.labels import TABLE_COLUMNS
from fer.nn import distributed
from fer.runtime.errors import InputError
from fer.runtime.parallel import count_cores
from fer.training.examples import LabelledSet
from fer.training.loop import train_network
from fer.training.params import SGD, Phase, PlateauSchedule, Recipe, SmoothSchedule, Transfer, Transforms

ROOT = Path(__file__).parents[2]
NONE = Transforms(flip=0, rotation_degrees=0, shift=0, zoom=0, shear_degrees=0, brightness=0, contrast=0, erasing=0)
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
STOPPING = {
    "patience": {"patience": 1, "optimizer": SLOW},
    "plateau": {"schedule": PlateauSchedule(kind="plateau", factor=0.1, patience=1), "optimizer": SLOW, "epochs": 8},
    "phases": {"transfer": Transfer(pretrained=False, input_px=32, phases=PHASES)},
}


def examples(n: int, seed: int) -> LabelledSet:
    """Faces whose brightness grows with their class, in noise."""
    random = np.random.default_rng(seed)
    label = random.integers(0, 3, n)
    pixels = random.integers(0, 120, (n, 8, 8), dtype=np.uint8) + (60 * label[:, None, None]).astype(np.uint8)
    return LabelledSet(pixels, np.eye(3, dtype=np.float32)[label], np.ones(n, dtype=np.float32))


def network(norm: bool) -> nn.Module:
    torch.manual_seed(distributed.rank())  # the first process's weights must come to all
    backbone = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4) if norm else nn.Identity(), nn.ReLU())
    return nn.Sequential(OrderedDict(backbone=backbone, flat=nn.Flatten(), head=nn.Linear(4 * 36, 3)))


def learn_as_one() -> np.ndarray:
    """The weights of a network that is the same however its batches are shared out."""
    taught = network(norm=False)
    options = {"transforms": NONE, "seed": 0, "precision": "fp32", "name": "tiny", "epoch_faces": 64}
    train_network(taught, examples(64, 0), examples(40, 1), recipe=RECIPE, **options)
    return torch.cat([tensor.flatten() for tensor in taught.state_dict().values()]).numpy()


def learn_and_write() -> None:
    """Every process writes what it has learnt and seen."""
    np.save(f"{distributed.rank()}.npy", learn_as_one())
    options = {"transforms": NONE, "seed": 0, "precision": "fp32", "name": "tiny", "epoch_faces": 64}
    curves = {}
    for name, changes in STOPPING.items():
        recipe = RECIPE.model_copy(update=changes)
        curves[name] = train_network(network(norm=True), examples(64, 0), examples(40, 1), recipe=recipe, **options)
    Path(f"{distributed.rank()}.json").write_text(json.dumps(curves))


def learn_long() -> None:
    taught = network(norm=False)
    taught.register_forward_pre_hook(lambda *_: Path(f"{os.getpid()}.pid").touch())
    options = {"transforms": NONE, "seed": 0, "precision": "fp32", "name": "tiny", "epoch_faces": 64}
    recipe = RECIPE.model_copy(update={"epochs": 100_000})
    train_network(taught, examples(64, 0), examples(40, 1), recipe=recipe, checkpoint=Path("kept"), **options)


def end_as_told() -> None:
    """Print, wait for each other, and end as the arguments say.

    "wrong 1": rank 1 rejects its input; "broken 1": it fails unexpectedly; "killed 1": it is killed; "wait": all wait.
    """
    how, rank = " ".join(sys.argv[1:]), distributed.rank()
    print("begun", flush=True)
    print("begun", file=sys.stderr, flush=True)
    Path(f"{os.getpid()}.pid").write_text(os.environ["OMP_NUM_THREADS"])
    distributed.wait_for_processes()
    if how == f"wrong {rank}":
        raise InputError("it is wrong")
    if how == f"broken {rank}":
        raise LookupError("it is broken")
    if how == f"killed {rank}":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "wait":
        time.sleep(1000)
    distributed.wait_for_processes()


def begin(
    folder: Path, *command: str, processes: int | None = 2, dvc: bool = False, **options: Any
) -> "subprocess.Popen[str]":
    """Start `python -m command`, by a shell as DVC does if `dvc`."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{Path(__file__).parent}", "FER_DEVICE": "cpu"}
    environment |= {"FER_NPROC": str(processes)} if processes else {}
    begun = [sys.executable, "-m", *command]
    if dvc:
        by = f"import os, subprocess; subprocess.run({begun}, env=os.environ | {{'DVC_STAGE': 'x'}})"
        begun = [sys.executable, "-c", by]
    return subprocess.Popen(begun, cwd=folder, env=environment, stdout=-1, stderr=-1, text=True, **options)


def script(folder: Path, function: str) -> str:
    """The name of a stage, as it were, that is one of this file's functions."""
    (folder / "stage.py").write_text(
        "from fer.nn import distributed\nfrom fer.runtime import stage as stages\n"
        f"from test_distributed import {function}\n"
        f"if __name__ == '__main__':\n    stages.exit_with_dvc()\n    distributed.run_distributed_stage({function})\n"
    )
    (folder / "dvc.yaml").write_text("stages: {x: {params: []}}")
    (folder / "params.yaml").write_text("{}")
    return "stage"


def told(process: "subprocess.Popen[str]") -> tuple[int, list[str], list[str]]:
    """Exit code, lines of output and lines of error."""
    out, err = process.communicate(timeout=500)
    return process.returncode, out.splitlines(), err.splitlines()


def wait_for_two(folder: Path) -> list[int]:
    """The process numbers of both, when they have come so far."""
    wait_until(lambda: len(list(folder.glob("*.pid"))) == 2)
    return [int(file.stem) for file in folder.glob("*.pid")]


def assert_none_is_left(folder: Path) -> None:
    assert_none_is_running(wait_for_two(folder))


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("learnt")
    code, out, err = told(begin(folder, script(folder, "learn_and_write")))
    assert (code, err) == (0, [])
    assert len(out) == 1 + 2 + len(PHASES), "each training is told once"
    return folder


def test_two_processes_learn_the_weights_of_one(learnt: Path) -> None:
    both = [np.load(learnt / f"{rank}.npy") for rank in range(2)]
    np.testing.assert_array_equal(*both)
    np.testing.assert_allclose(both[0], learn_as_one(), rtol=0, atol=1e-5)
    assert abs(both[0] - np.concatenate([p.detach().flatten() for p in network(norm=False).parameters()])).max() > 0.1


@pytest.mark.parametrize(("name", "epochs"), [("patience", 2), ("plateau", 8), ("phases", 4)])
def test_all_processes_stop_and_slow_down_at_the_same_epoch(learnt: Path, name: str, epochs: int) -> None:
    first, second = (json.loads((learnt / f"{rank}.json").read_text())[name] for rank in range(2))
    assert first == second
    assert [row["epoch"] for row in first] == list(range(1, epochs + 1))
    if name == "plateau":
        assert first[-1]["learning_rate"] < first[0]["learning_rate"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `pipeline.train` reads: 64 faces to learn from, 16 to validate on."""
    folder = tmp_path_factory.mktemp("project")
    chosen = yaml.safe_load((ROOT / "params.yaml").read_text())
    chosen["train"] |= {"epochs": 2}
    (folder / "params.yaml").write_text(yaml.safe_dump(chosen, sort_keys=False))
    random = np.random.default_rng(0)
    np.save(folder / "faces.npy", random.integers(0, 255, (80, 48, 48), dtype=np.uint8))
    rows = [("train" if i < 64 else "valid", chosen["emotions"][i % 7]) for i in range(80)]
    table = pd.DataFrame(rows, columns=["fold", "emotion"]).reindex(columns=TABLE_COLUMNS, fill_value="")
    table.to_csv(folder / "table.csv", index=False)
    (folder / "augmented").mkdir()
    np.save(folder / "augmented" / "faces.npy", np.zeros((0, 48, 48), np.uint8))
    np.save(folder / "augmented" / "parents.npy", np.zeros(0, np.int64))
    return folder


def train(project: Path, out: str, processes: int) -> "subprocess.Popen[str]":
    paths = ["--faces", "faces.npy", "--table", "table.csv", "--augmented", "augmented", "--out", out]
    return begin(project, "pipeline.train", "improved_se", *paths, processes=processes)


def test_equal_runs_at_the_same_time_give_one_model_of_equal_bytes(project: Path) -> None:
    for process in [train(project, out, 2) for out in ("one", "other")]:
        code, said, err = told(process)
        assert (code, len(said), err) == (0, 1, [])
        assert said[0].startswith("improved_se: 64 faces, 2 epochs")
    names = sorted(path.name for path in (project / "one").iterdir())
    assert names == ["curve.csv", "model.json", "weights.safetensors"]
    for name in names:
        assert (project / "one" / name).read_bytes() == (project / "other" / name).read_bytes()
    assert sorted(path.name for path in project.iterdir() if path.is_dir()) == ["augmented", "one", "other"]


def test_a_batch_that_cannot_be_shared_evenly_is_told_once(project: Path) -> None:
    line = "error: improved_se: 3 processes can't share batches of 32 faces evenly; change train.batch"
    assert told(train(project, "three", 3)) == (1, [], [line])
    assert not (project / "three").exists()


KILLED = "error: process 2 of 2 died of SIGKILL, out of memory or ended by someone; try again with a lower FER_NPROC"


@pytest.mark.parametrize(
    ("how", "line"), [("wrong 0", "error: it is wrong"), ("wrong 1", "error: it is wrong"), ("killed 1", KILLED)]
)
def test_what_ends_one_process_ends_all_and_is_told_in_a_line(tmp_path: Path, how: str, line: str) -> None:
    ended = told(begin(tmp_path, script(tmp_path, "end_as_told"), *how.split()))
    assert ended == (1, ["begun"], ["begun", line])
    assert_none_is_left(tmp_path)


def test_an_unexpected_error_of_one_process_shows_its_traceback_once(tmp_path: Path) -> None:
    code, out, err = told(begin(tmp_path, script(tmp_path, "end_as_told"), "broken", "1"))
    assert (code, out, err[:2]) == (1, ["begun"], ["begun", "Traceback (most recent call last):"])
    assert [line for line in err if not line.startswith(" ")][2:] == ["LookupError: it is broken", ""]
    assert_none_is_left(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_no_process_is_left_of_one_that_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    process = begin(tmp_path, script(tmp_path, "end_as_told"), "wait")
    wait_for_two(tmp_path)
    process.send_signal(number)
    assert told(process) == (1, ["begun"], ["begun", "error: interrupted"])
    assert_none_is_left(tmp_path)
    assert {file.read_text() for file in tmp_path.glob("*.pid")} == {str(max(1, count_cores() // 2))}


def test_no_process_is_left_of_one_that_is_killed(tmp_path: Path) -> None:
    process = begin(tmp_path, script(tmp_path, "end_as_told"), "wait")
    wait_for_two(tmp_path)
    process.kill()
    process.communicate()
    assert_none_is_left(tmp_path)


def test_ctrl_c_while_the_processes_import_ends_all_in_a_line(tmp_path: Path) -> None:
    """As a terminal sends it, to all of the group."""
    (tmp_path / "slow.py").write_text(
        "import os, time\nfrom pathlib import Path\n"
        "if __name__ == '__mp_main__':\n    Path(f'{os.getpid()}.pid').touch()\n"
        "    while not Path('sent').exists(): time.sleep(0.05)\n"
        "from fer.nn import distributed\nfrom test_distributed import end_as_told\n"
        "if __name__ == '__main__':\n    distributed.run_distributed_stage(end_as_told)\n"
    )
    process = begin(tmp_path, "slow", start_new_session=True)
    wait_for_two(tmp_path)
    os.killpg(process.pid, signal.SIGINT)
    (tmp_path / "sent").touch()
    assert told(process) == (1, [], ["error: interrupted"])
    assert_none_is_left(tmp_path)


@pytest.mark.parametrize("to", ["the stage", "all processes", "DVC"])
def test_of_several_processes_that_are_told_to_end_the_first_keeps_a_checkpoint(tmp_path: Path, to: str) -> None:
    process = begin(tmp_path, script(tmp_path, "learn_long"), dvc=to == "DVC")
    pids = wait_for_two(tmp_path)
    number = signal.SIGKILL if to == "DVC" else signal.SIGTERM
    for pid in [process.pid, *(pids if to == "all processes" else [])]:
        os.kill(pid, number)
    code = -number if to == "DVC" else 1
    assert told(process) == (code, [], ["error: interrupted; run it again, and it goes on from here"])
    assert_none_is_left(tmp_path)
    assert (tmp_path / "kept").is_file()


def test_of_the_processes_of_torchrun_the_first_speaks_and_errors_are_told(tmp_path: Path) -> None:
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", script(tmp_path, "end_as_told")]
    code, out, err = told(begin(tmp_path, *torchrun, "wrong", "1", processes=None))
    assert (code, out, err.count("begun")) == (1, ["begun"], 1)
    assert "error: it is wrong" in err
    assert_none_is_left(tmp_path)
