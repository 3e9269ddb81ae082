"""A small project to break, trials of one of its stages, and the report, shared by the scripts of this folder.

The project is a git repository of its own, with few drawn faces and small networks.
"""

import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import yaml

from fer.core.files import write_json

ROOT = Path(__file__).parents[2]
FOLDERS = ("fer", "pipeline")
FILES = ("dvc.yaml", ".dvcignore", ".gitignore", "data/reviews.csv", "data/pseudo_labels/.gitkeep")
SMALL = {
    "ensemble": {"simple_cnn": 1},
    "sample": {"labelled": 140, "tests": 70, "photos": 40},
    "ingest": {"max_dropped": 0.3},
    "train": {"epochs": 2},
}
ENVIRONMENT = os.environ | {
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "PYTHONPATH": "",
    "FER_DEVICE": "cpu",
    **{f"GIT_{role}_{field}": "nobody" for role in ("AUTHOR", "COMMITTER") for field in ("NAME", "EMAIL")},
}
CHECKPOINTS = "data/models/*/.*.checkpoint"
KILLS_BETWEEN_RUNS = 5  # then the stage runs to its end
GRACE_SECONDS = 10
CLEAR = ("error: ", "OpenBLAS error: Memory", "libgomp: Thread creation failed")  # these end the process themselves
# Runs a module as `python -m` does. `kill_at` is the number of the change of a file before which it kills its process
# group; `disk` the bytes that a file may have, `memory` those that it may take once it has been imported.
WATCHED = """
import atexit, os, resource, runpy, signal, sys
from pathlib import Path

kill_at, disk, memory = map(int, sys.argv[1:4])
count_file, module = sys.argv[4:6]
count = 0

def change():
    global count
    count += 1
    if count == kill_at:
        os.killpg(0, signal.SIGKILL)

def audit(event, args):
    global memory
    if event == "open":
        path, _, flags = args
        if isinstance(path, int) or os.path.isabs(path):
            return
        if flags & (os.O_WRONLY | os.O_RDWR):
            change()
        elif memory and str(path).startswith("data"):
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            resource.setrlimit(resource.RLIMIT_AS, 2 * (pages * resource.getpagesize() + memory,))
            memory = 0
    elif event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate") and not os.path.isabs(args[0]):
        change()

def counting_fsync(file, fsync=os.fsync):
    change()
    fsync(file)

def set_handler(number, handler, set_signal=signal.signal):
    before = set_signal(number, handler)
    if number == signal.SIGTERM:
        Path("begun").touch()
    return before

os.fsync, signal.signal = counting_fsync, set_handler
if count_file:
    atexit.register(lambda: Path(count_file).write_text(str(count)))
sys.argv = ["-m", *sys.argv[6:]]
sys.addaudithook(audit)
if disk:
    resource.setrlimit(resource.RLIMIT_FSIZE, (disk, disk))
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def start(folder: Path, command: Sequence[str], **environment: str) -> "subprocess.Popen[str]":
    """Start a command in `folder`, in a process group of its own."""
    return subprocess.Popen(
        command,
        cwd=folder,
        env=ENVIRONMENT | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def call(folder: Path, *command: str, fails: bool = False) -> str:
    """Run a command and return its output, with both streams merged.

    Raises:
        RuntimeError: it fails, or with `fails` does not.
    """
    process = start(folder, command)
    output = "".join(process.communicate())
    if bool(process.returncode) != fails:
        raise RuntimeError(f"{' '.join(command)} ends with {process.returncode}\n{output[-3000:]}")
    return output


def copy_code(folder: Path, changes: Mapping[str, Any]) -> None:
    """Copy code and parameters into `folder`, and merge each section of `changes` into that of params.yaml."""
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for key, value in changes.items():
        params[key] = value if key == "ensemble" else params[key] | value
    params["pseudo_label"]["policies"]["fixed"]["threshold"] = 0.2
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")


def make_project(folder: Path) -> Path:
    """Make a repository in `folder`, run its pipeline and commit everything."""
    copy_code(folder, SMALL)
    call(folder, "git", "init", "--quiet")
    call(folder, "dvc", "init", "--quiet")
    shutil.copy(ROOT / ".dvc/config", folder / ".dvc/config")
    call(folder, "dvc", "repro", "--quiet")
    commit_all(folder)
    return folder


def commit_all(folder: Path) -> None:
    call(folder, "git", "add", "--all")
    call(folder, "git", "commit", "--quiet", "--message", "Everything")


def stages_run(output: str) -> list[str]:
    """Return the stages that `dvc repro` ran, from its output."""
    return re.findall(r"Running stage '([^']+)'", output)


class StageTrials:
    """Trials of one stage of the project in `folder`: kills, signals, and too little disk or memory."""

    def __init__(self, name: str, command: str, outs: list[Path], folder: Path) -> None:
        self.name, self.outs, self.folder = name, outs, folder
        self.module, *self.arguments = shlex.split(command)[2:]
        self.tried: Counter[str] = Counter()
        self.lost: list[str] = []
        self.messages: set[str] = set()
        self.slowest_end, self.output = 0.0, ""
        self.complete = {out: content(folder / out) for out in outs}
        begun, count_file = time.monotonic(), folder / "changes"
        self.wait(self.start(count_file=str(count_file)))
        self.seconds, self.changes = time.monotonic() - begun, int(count_file.read_text())
        count_file.unlink()
        self.check_complete("an uninterrupted run without DVC")
        self.set_earlier()
        self.earlier = {out: content(folder / out) for out in outs}

    def start(self, kill_at: int = 0, count_file: str = "", disk: int = 0, memory: int = 0) -> "subprocess.Popen[str]":
        watch = [str(kill_at), str(disk), str(memory), count_file]
        return start(self.folder, [sys.executable, "-c", WATCHED, *watch, self.module, *self.arguments])

    def set_earlier(self) -> None:
        """Replace the outputs by other files, as an earlier run would have left them."""
        for out in self.outs:
            path = self.folder / out
            for file in files(path):
                file.write_bytes(b"earlier" + file.read_bytes())
            if path.is_dir():
                (path / "earlier").touch()

    def wait(self, process: "subprocess.Popen[str]", seconds: float = 600) -> list[str]:
        """Return the lines on stderr once the process has ended; a process of its group that is left is lost."""
        try:
            self.output, error = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            self.lost.append(f"{self.name}: did not end within {seconds} s")
            return []
        deadline = time.monotonic() + GRACE_SECONDS
        while (orphans := running_in_group(process.pid)) and time.monotonic() < deadline:
            time.sleep(0.05)
        if orphans:
            self.lost.append(f"{self.name}: orphans {orphans}")
            os.killpg(process.pid, signal.SIGKILL)
        return error.splitlines()

    def check_whole(self, when: str, absent: bool) -> None:
        """Check that every output is the earlier or the complete one, or, if `absent`, missing."""
        for out in self.outs:
            current = content(self.folder / out)
            if current not in [self.earlier[out], self.complete[out], *([None] if absent else [])]:
                self.lost.append(f"{self.name}, {when}: {out} is {'absent' if current is None else 'half-written'}")

    def check_complete(self, when: str) -> None:
        """Check that every output is that of an uninterrupted run, without temporary files or checkpoints."""
        for out, expected in self.complete.items():
            if content(self.folder / out) != expected:
                self.lost.append(f"{self.name}, {when}: {out} is not that of an uninterrupted run")
        patterns = ("data/**/.*.part", "metrics/.*.part", CHECKPOINTS)
        if leftovers := [str(path) for pattern in patterns for path in self.folder.glob(pattern)]:
            self.lost.append(f"{self.name}, {when}: left are {', '.join(leftovers)}")

    def run_to_the_end(self, when: str) -> None:
        has_checkpoint = any(self.folder.glob(CHECKPOINTS))
        process = self.start()
        lines = self.wait(process)
        resumed = "resuming from" in self.output
        self.tried["of them gone on from what was kept"] += resumed
        if has_checkpoint and not resumed:
            self.lost.append(f"{self.name}, {when}: restarted beside a checkpoint: {self.output[:200]}")
        if process.returncode:
            self.lost.append(f"{self.name}, {when}: ends with {process.returncode}, {' / '.join(lines[-3:])}")
        self.check_complete(when)
        self.set_earlier()

    def kill(self, times: int, rng: random.Random) -> None:
        for number in range(times):
            if number % 2:
                change = rng.randint(1, self.changes)
                when = f"killed before change {change} of {self.changes}"
                self.wait(self.start(kill_at=change))
                self.tried["kills before a change of a file"] += 1
            else:
                while not self.killed_after(seconds := rng.uniform(0, self.seconds)):
                    self.seconds = seconds  # it is faster than the first time
                    self.check_complete("run again")
                    self.set_earlier()
                when = f"killed after {seconds:.1f} s"
                self.tried["kills at a moment"] += 1
            self.check_whole(when, absent=True)
            if number % KILLS_BETWEEN_RUNS == KILLS_BETWEEN_RUNS - 1 or number == times - 1:
                self.run_to_the_end(f"run again after it was {when}")

    def killed_after(self, seconds: float) -> bool:
        process = self.start()
        sent = send(signal.SIGKILL, process, seconds)
        self.wait(process)
        return sent

    def end(self, number: signal.Signals, alone: bool, rng: random.Random, attempts: int = 5) -> None:
        """Send a signal to the process, or to its group as a terminal does; retry sooner if the process had ended."""
        begun = self.folder / "begun"
        begun.unlink(missing_ok=True)
        process = self.start()
        while not begun.exists() and process.poll() is None:
            time.sleep(0.01)
        seconds = rng.uniform(0, 0.9 * self.seconds)
        when = f"{number.name} after {seconds:.1f} s"
        sent = send(number, process, seconds, alone=alone)
        since = time.monotonic()
        lines = self.wait(process, seconds=GRACE_SECONDS)
        self.slowest_end = max(self.slowest_end, time.monotonic() - since)
        complete = all(content(self.folder / out) == expected for out, expected in self.complete.items())
        at_exit = complete and "Traceback" not in "".join(lines)  # of Python, which heeds no signal any more
        if process.returncode == 0 or (process.returncode == -number and at_exit):
            if attempts > 1:
                self.seconds = min(self.seconds, seconds)
                self.check_complete("run again")
                self.set_earlier()
                return self.end(number, alone, rng, attempts - 1)
            self.tried["came too late"] += 1
        elif not sent or len(lines) != 1 or not lines[0].startswith("error: "):
            self.lost.append(f"{self.name}, {when}: ended with {process.returncode}: {' / '.join(lines[-4:])}")
        else:
            self.tried[number.name] += 1
            self.tried["of them with a checkpoint"] += any(self.folder.glob(CHECKPOINTS))
        self.check_whole(when, absent=False)
        return self.run_to_the_end(f"run again after {when}")

    def lack(self, resource: str, limit: int) -> None:
        """Run the stage with too little disk or memory, or with a file in the place of its folder."""
        place = self.folder / self.outs[0].parent
        if resource == "folder":
            moved = place.with_name("aside")
            place.rename(moved)
            place.touch()
        process = self.start(**({} if resource == "folder" else {resource: limit}))
        lines = [line for line in self.wait(process) if line.strip()]
        when = f"with {resource} of {limit:,}"
        if resource == "folder":
            place.unlink()
            moved.rename(place)
        if process.returncode == 0:
            self.tried[f"enough {resource}"] += 1
            self.check_complete(when)
            self.set_earlier()
        elif process.returncode != 1 or len(lines) != 1 or not lines[0].startswith(CLEAR):
            self.lost.append(f"{self.name}, {when}: ended with {process.returncode}: {' / '.join(lines[-4:])}")
        else:
            self.tried[f"too little {resource}" if limit else "a file in the folder's place"] += 1
            self.messages.add(lines[0])
        self.check_whole(when, absent=False)


def send(number: signal.Signals, process: "subprocess.Popen[str]", seconds: float, alone: bool = False) -> bool:
    """Send a signal after so many seconds to the process, or to its group, and return whether it was still running."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        (os.kill if alone else os.killpg)(process.pid, number)
        return True
    return False


def files(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def content(path: Path) -> Any:
    """Return the bytes of a file, those of all files of a folder, or None."""
    if path.is_dir():
        return {str(file.relative_to(path)): file.read_bytes() for file in files(path)}
    return path.read_bytes() if path.is_file() else None


def running_in_group(number: int) -> list[str]:
    """Return the command lines of a process group's processes that have not ended."""
    commands = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == number and process.status() != psutil.STATUS_ZOMBIE:
                commands.append(" ".join(process.cmdline()[:6])[:200])
        except (psutil.Error, ProcessLookupError):
            continue
    return commands


def report(
    out: Path | None, name: str, tried: Mapping[str, int], lost: Sequence[str], begun: float, **extra: Any
) -> None:
    """Print the figures, write them and `extra` as `name`.json into `out`, and exit with 1 if anything was lost."""
    seconds = round(time.monotonic() - begun)
    for line in lost:
        print(f"LOST: {line}")
    counts = ", ".join(f"{count:,} {trial}" for trial, count in tried.items())
    print(f"{name}: tried {counts}; lost {len(lost)}; {seconds} s")
    if out:
        command = shlex.join(["python", "-m", f"tests.robustness.{name}"])
        figures = {"name": name, "command": command, "tried": tried, "lost": len(lost), "seconds": seconds}
        write_json(out / f"{name}.json", figures | extra)
    sys.exit(1 if lost else 0)
