"""A process that is killed, interrupted or short of disk or memory loses no file and leaves no partial file."""

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from processes import assert_none_is_running, wait_until

from fer.core import files
from fer.core.files import atomic_write, atomic_write_folder, write_json
from fer.nn import weights
from fer.runtime import errors
from tests.robustness import harness

ROOT = Path(__file__).parents[1]
SLEEP = "from pathlib import Path; import time; Path('started').touch(); time.sleep(1000)"

# Replace a folder and a file in child processes, each killed before another file operation.
KILL_AT_EVERY_CHANGE = """
import os, shutil, signal, sys
from pathlib import Path
from fer.core.files import atomic_write_folder, write_json

def work():
    with atomic_write_folder(Path("out/folder")) as part:
        for name in ("a", "b", "c"):
            (part / name).write_text("new")
    write_json(Path("out/file"), "new")

def audit(event, arguments):
    global countdown
    is_change = event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir")
    if is_change or event == "open" and arguments[1] in ("w", "wb", "xb"):
        countdown -= 1
        if not countdown:
            os.kill(os.getpid(), signal.SIGKILL)

def state():
    folder = Path("out/folder")
    texts = [(file.name, file.read_text()) for file in sorted(folder.iterdir())] if folder.is_dir() else None
    return texts, Path("out/file").read_text()

work()
new = state()
old = ([("a", "old"), ("gone", "old")], '"old"\\n')
states, number, code = [], 0, 1
while code:
    number += 1
    for path in Path("out/folder").iterdir():
        path.unlink()
    for name in ("a", "gone"):
        Path("out/folder", name).write_text("old")
    Path("out/file").write_text(old[1])
    child = os.fork()
    if not child:
        countdown = number
        sys.addaudithook(audit)
        work()
        os._exit(0)
    code = os.waitpid(child, 0)[1]
    folder, file = state()
    assert folder in (None, old[0], new[0]), folder
    assert file in (old[1], new[1]), file
    states.append((folder is None, folder == new[0], file == new[1]))
    work()
    assert state() == new
    assert sorted(os.listdir("out")) == ["file", "folder"], os.listdir("out")
print(len(states), len(set(states)))
"""


def start_script(folder: Path, text: str, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", text, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        stdout=-1,
        stderr=-1,
        text=True,
    )


def test_a_process_killed_at_any_file_operation_loses_nothing_and_the_next_cleans_up(tmp_path: Path) -> None:
    out, err = start_script(tmp_path, KILL_AT_EVERY_CHANGE).communicate(timeout=300)
    assert err == ""
    kills, states = map(int, out.split())
    assert kills > 10
    assert states == 4  # the old folder, no folder, the new folder, and the new file


def test_temporary_files_of_running_processes_are_kept(tmp_path: Path) -> None:
    foreign = [tmp_path / f".x.{os.getppid()}.part", tmp_path / ".x.y.1.part", tmp_path / ".xy.99999999.part"]
    stale = [tmp_path / ".x.99999999.part", tmp_path / f".x.{os.getpid()}.part", tmp_path / ".x.99999999.earlier.part"]
    for path in (*foreign, stale[0]):
        path.touch()
    for path in stale[1:]:
        path.mkdir()
        (path / "half").touch()
    write_json(tmp_path / "x", 1)
    assert sorted(tmp_path.iterdir()) == sorted([*foreign, tmp_path / "x"])


def test_the_old_folder_is_restored_if_the_new_one_cannot_replace_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, rename = tmp_path / "kept", os.replace
    folder.mkdir()
    (folder / "old").touch()

    def refuse(source: Path, target: Path) -> None:
        if "new" in [file.name for file in source.iterdir()]:
            raise OSError(errno.EIO, "Input/output error", str(source))
        rename(source, target)

    monkeypatch.setattr(files.os, "replace", refuse)
    with pytest.raises(OSError, match=r"kept'$"), atomic_write_folder(folder) as part:
        (part / "new").touch()
    assert [file.name for file in folder.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [folder]


def write_text(part: Path) -> None:
    part.write_bytes(bytes(50_000))


def write_array(part: Path) -> None:
    with part.open("wb") as file:
        np.save(file, np.zeros(50_000, np.uint8))


def write_tensors(part: Path) -> None:
    weights.save_tensors({"a": torch.zeros(50_000)}, part)


@pytest.mark.parametrize("write", [write_text, write_array, write_tensors])
def test_a_full_disk_is_reported_in_one_line_and_the_old_file_is_kept(
    tmp_path: Path, write: Callable[[Path], None], file_size_limit: None
) -> None:
    path = tmp_path / "kept"
    path.write_text("old")

    def work() -> None:
        with atomic_write(path) as part:
            write(part)

    with pytest.raises(SystemExit, match=f"^error: {path}: .*([Tt]oo large|disk full)"):
        errors.run_main(work)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def file_size_limit() -> object:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        np._core._exceptions._ArrayMemoryError((10**9, 10**6), np.dtype(np.float32)),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory\nmore"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 1 GiB"),
        RuntimeError("can't start new thread"),
        pd.errors.ParserError("Error tokenizing data. C error: out of memory"),
    ],
)
def test_lack_of_memory_is_reported_in_one_line(error: Exception) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(SystemExit) as exit_info:
        errors.run_main(fail)
    assert str(exit_info.value.code).startswith("error: out of memory")
    assert "\n" not in str(exit_info.value.code)


def test_other_errors_keep_their_traceback() -> None:
    def fail() -> None:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        errors.run_main(fail)


def end_with_signal(process: "subprocess.Popen[str]", folder: Path, number: signal.Signals) -> tuple[int, str, str]:
    wait_until((folder / "started").exists)
    process.send_signal(number)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stage_interrupted_during_its_imports_ends_with_one_line(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline/__init__.py").write_text((ROOT / "pipeline/__init__.py").read_text())
    (tmp_path / "pipeline/slow.py").write_text(SLEEP)
    command = [sys.executable, "-m", "pipeline.slow"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=-1, stderr=-1, text=True)
    assert end_with_signal(process, tmp_path, number) == (1, "", "error: interrupted\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_fer_predict_ends_with_one_line(tmp_path: Path, number: signal.Signals) -> None:
    text = f"def sleep(args):\n    {SLEEP}\nfrom fer.cli import main, predict; predict.predict_sources = sleep; main()"
    process = start_script(tmp_path, text, "predict", "x")
    assert end_with_signal(process, tmp_path, number) == (1, "", "error: interrupted\n")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("shell", ["exec", "child"])
def test_a_stage_ends_with_the_dvc_that_started_it(tmp_path: Path, number: signal.Signals, shell: str) -> None:
    stage = (
        "import os; from pathlib import Path; from fer.runtime import errors, stage\nerrors.install_signal_handlers()\n"
    )
    stage += f"stage.exit_with_dvc(); Path('pid').write_text(str(os.getpid())); {SLEEP}"
    (tmp_path / "stage.py").write_text(stage)
    command = f"exec '{sys.executable}' stage.py" if shell == "exec" else f"'{sys.executable}' stage.py; exit 1"
    dvc = f"import os, subprocess; subprocess.run(['sh', '-c', {command!r}], env=os.environ | {{'DVC_STAGE': 'x'}})"
    process = start_script(tmp_path, dvc)
    code, _, err = end_with_signal(process, tmp_path, number)
    assert (code, err) == (-number, "error: interrupted\n")
    assert_none_is_running([int((tmp_path / "pid").read_text())])


def test_a_stage_ends_if_its_dvc_ended_before_the_stage_started(tmp_path: Path) -> None:
    stage = f"from fer.runtime import errors, stage; errors.install_signal_handlers(); stage.exit_with_dvc(); {SLEEP}"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "DVC_STAGE": "x"}
    completed = subprocess.run(
        [sys.executable, "-c", stage], env=environment, cwd=tmp_path, start_new_session=True, timeout=300
    )
    assert completed.returncode == 1


def test_a_stage_started_without_dvc_does_not_watch_its_parents(tmp_path: Path) -> None:
    stage = "import threading\nfrom fer.runtime.stage import exit_with_dvc\nexit_with_dvc()\n"
    stage += "print(threading.active_count())"
    out, _ = start_script(tmp_path, stage, DVC_ROOT="x").communicate(timeout=300)
    assert out == "1\n"


ATOMIC = "atomic_write_folder(Path('data/x'))"
IN_PLACE = "contextlib.nullcontext(Path('data/x'))"


@pytest.mark.parametrize(("write", "loses_files"), [(ATOMIC, False), (IN_PLACE, True)], ids=["atomic", "in_place"])
def test_the_kill_trials_detect_lost_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: str, loses_files: bool
) -> None:
    monkeypatch.setattr(harness, "GRACE_SECONDS", 300)
    shutil.copytree(ROOT / "fer", tmp_path / "fer", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "pipeline").mkdir()
    shutil.copy(ROOT / "pipeline/__init__.py", tmp_path / "pipeline")
    (tmp_path / "pipeline/toy.py").write_text(
        "import contextlib\nfrom pathlib import Path\nfrom fer.runtime.stage import run_stage\n"
        "from fer.core.files import atomic_write_folder\ndef main():\n"
        f"    with {write} as out:\n"
        "        for number in range(5):\n            (out / str(number)).write_text('new')\n"
        "run_stage(main)\n"
    )
    (tmp_path / "data/x").mkdir(parents=True)
    for number in range(5):
        (tmp_path / f"data/x/{number}").write_text("new")
    stage = harness.StageTrials("toy", "python -m pipeline.toy", [Path("data/x")], tmp_path)
    stage.wait(stage.start(kill_at=3))
    stage.check_whole("killed before its third change", absent=True)
    if not loses_files:
        stage.kill(2, random.Random(0))
        assert sum(stage.tried.values()) == 2
        stage.end(signal.SIGTERM, True, random.Random(0))
        stage.lack("folder", 0)
    assert bool(stage.lost) == loses_files, stage.lost


def test_dvc_ignores_temporary_files_beside_an_output() -> None:
    assert {"*.part", "*.checkpoint"} <= set((ROOT / ".dvcignore").read_text().split())
