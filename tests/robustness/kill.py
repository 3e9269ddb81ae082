"""Kill every stage anywhere: nothing half-written may be left, and a second run must give what one run gives.

    python -m tests.robustness.kill [--out FOLDER] [--stages NAME ...] [--seed 0] [--most 20]

On a small set of drawn faces every stage of `dvc.yaml`, and `fer predict`, is killed with SIGKILL, its whole process
group at once: 20 times (train, predict, unify) or 5. Half of the moments are uniform over its run time; the others are
just before one of its changes of a file: opening to write, fsync, renaming, removing, making a folder. After each,
every output is either absent, or the earlier one, or the one of an uninterrupted run. After every fifth, the stage runs
to its end: all bytes are those of the uninterrupted run, and nothing is left beside them. So are they after SIGTERM and
Ctrl-C, which must end a stage within 10 s, in one line, not with 0 and with all its processes; and after a lack of disk
and memory, and a file where the folder should be. `dvc repro` is killed, ended and interrupted as well, and begun twice
at a time.
"""

import argparse
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from fer.runtime.parallel import worker_count
from tests.robustness import harness
from tests.robustness.harness import GRACE_SECONDS, StageTrials, call, copy_code, files, send, start

KILL_PARAMS = {
    "ensemble": {"improved_se": 1},
    "sample": {"labelled": 70, "tests": 70, "photos": 40},
    "ingest": {"max_dropped": 0.5},
    "train": {"epochs": 6},
    "predict": {"batch": 32},
}
FREQUENT_SAVES = [  # the runs take seconds, so the usual intervals would save nothing
    ("fer/training/checkpoint.py", "SAVE_INTERVAL_SECONDS = 60", "SAVE_INTERVAL_SECONDS = 0"),
    ("fer/nn/pool.py", "FACES_PER_SLICE = 16_384", "FACES_PER_SLICE = 32"),
]
PREDICT_COMMAND = "python -m command predict data/raw/sample_rafdb --out data/seen.csv"  # `fer predict`
OFTEN_KILLED, MANY_KILLS, FEW_KILLS = ("train", "predict", "unify"), 20, 5


def run_small_project(folder: Path) -> None:
    """Make a copy of the project with few faces, and run `dvc repro` and `fer predict` in it."""
    copy_code(folder, KILL_PARAMS)
    for name, usual, often in FREQUENT_SAVES:
        text = (folder / name).read_text()
        assert usual in text
        (folder / name).write_text(text.replace(usual, often))
    (folder / "command.py").write_text("from fer.cli import main\n\nmain()\n")
    for command in ("dvc init --quiet --no-scm", "dvc config core.analytics false", "dvc repro", PREDICT_COMMAND):
        call(folder, *command.split())


def list_stages(folder: Path) -> dict[str, tuple[str, str, list[Path]]]:
    """Return the full name, command and outputs of `fer predict` and of each stage; of a `foreach` the last item's."""
    from dvc.repo import Repo

    with Repo(str(folder)) as repo:
        stages = {
            stage.name.partition("@")[0]: (
                stage.name,
                stage.cmd if isinstance(stage.cmd, str) else stage.cmd[-1],
                [Path(out.fs_path).relative_to(folder) for out in stage.outs],
            )
            for stage in repo.index.stages
        }
    return stages | {"fer predict": ("", PREDICT_COMMAND, [Path("data/seen.csv")])}


def run_trials(stage: StageTrials, kills: int, rng: random.Random) -> None:
    stage.kill(kills, rng)
    for number in (signal.SIGTERM, signal.SIGINT):
        for alone in (True, False) if stage.name in OFTEN_KILLED else [number == signal.SIGTERM]:
            stage.end(number, alone, rng)
    largest = max(file.stat().st_size for out in stage.outs for file in files(stage.folder / out))
    stage.lack("disk", rng.randrange(1, largest))
    stage.lack("memory", rng.randrange(2**20, 2**25))
    stage.lack("folder", 0)


def run_trials_in_copy(
    project: Path, name: str, whole: str, command: str, outs: list[Path], kills: int, rng: random.Random
) -> StageTrials:
    """Run all trials of a stage, or of `dvc repro` of it, in its own copy of the project."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place).resolve() / "project"
        shutil.copytree(project, folder, symlinks=True)
        stage = StageTrials(name, command, outs, folder)
        if name == "dvc repro":
            run_dvc_trials(folder, whole, stage, rng)
        else:
            run_trials(stage, kills, rng)
    lines = [f"slowest end {stage.slowest_end:.1f} s", *sorted(stage.messages), *(f"LOST: {it}" for it in stage.lost)]
    lines.insert(0, f"{name} ({stage.seconds:.1f} s, {stage.changes} changes): {dict(stage.tried)}")
    print("\n  ".join(lines), flush=True)
    return stage


def run_dvc_trials(folder: Path, name: str, stage: StageTrials, rng: random.Random) -> None:
    """Kill, terminate and interrupt `dvc repro` of one stage, and run two of it at once."""
    command = ["dvc", "repro", "--single-item", "--force", name]
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        for shell in ("/bin/sh", "/bin/bash") if number == signal.SIGKILL else ["/bin/sh"]:
            sent = False
            while not sent:
                process = start(folder, command, SHELL=shell)
                wait_for_module(stage.module, process)
                sent = send(number, process, stage.seconds * rng.uniform(0, 0.5), alone=number != signal.SIGINT)
                lines = stage.wait(process, seconds=GRACE_SECONDS)
                stage.seconds *= 1 if sent else 0.5  # it is faster than the first time
            if process.returncode == 0 or "Traceback" in " ".join(lines):
                stage.lost.append(f"dvc repro, {number.name}, {shell}: ended with {process.returncode}: {lines[-4:]}")
            stage.tried[f"{number.name} to dvc"] += 1
            stage.check_whole(f"{number.name} to dvc", absent=True)
            again = start(folder, command)
            lines = stage.wait(again)
            if again.returncode:
                stage.lost.append(f"dvc repro after {number.name}: ended with {again.returncode}: {lines[-4:]}")
            stage.check_complete(f"dvc repro after {number.name}")
    first = start(folder, command)
    wait_for_module(stage.module, first)
    second = start(folder, command)
    lines = stage.wait(second)
    stage.wait(first)
    stage.check_complete("two at a time")
    stage.tried["two at a time"] += 1
    stage.messages.add(" / ".join(lines[-4:]))
    if first.returncode or not second.returncode:
        stage.lost.append(f"two dvc repro: ended with {first.returncode} and {second.returncode}: {lines[-4:]}")


def wait_for_module(module: str, process: "subprocess.Popen[str]") -> None:
    """Wait until the process has a descendant that runs the module, or has ended."""
    while process.poll() is None:
        for child in psutil.Process(process.pid).children(recursive=True):
            try:
                if module in child.cmdline() and "-m" in child.cmdline():
                    return
            except psutil.Error:
                continue
        time.sleep(0.02)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder for kill.json")
    parser.add_argument("--stages", nargs="+", metavar="NAME")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most", type=int, default=MANY_KILLS, help="kills of a stage at most")
    args = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as place, ThreadPoolExecutor(worker_count()) as pool:
        folder = Path(place).resolve()
        run_small_project(folder)
        stages = list_stages(folder)
        stages["dvc repro"] = stages["train"]
        trials = [
            pool.submit(
                run_trials_in_copy,
                folder,
                name,
                *stages[name],
                min(args.most, MANY_KILLS if name in OFTEN_KILLED else FEW_KILLS),
                random.Random(f"{args.seed} {name}"),
            )
            for name in args.stages
            or sorted(stages, key=lambda name: name not in OFTEN_KILLED)  # the longest begin first
        ]
        tried, lost = Counter[str](), list[str]()
        for trial in trials:
            tried.update(trial.result().tried)
            lost += trial.result().lost
    of_them = {name: count for name, count in tried.items() if name.startswith("of them")}
    harness.report(args.out, "kill", tried - Counter(of_them), lost, begun, **of_them)


if __name__ == "__main__":
    main()
