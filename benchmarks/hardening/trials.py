"""Trials of one stage: it is killed, told to end or short of something, and what is left is compared."""

import os
import random
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

CHECKPOINTS = "data/models/*/.*.checkpoint"
CHAIN = 5  # kills before a run to the end
PATIENCE_SECONDS = 10
CLEAR = ("error: ", "OpenBLAS error: Memory", "libgomp: Thread creation failed")  # these end the process themselves
# Runs a module as `python -m` does. `at` is the number of the change of a file before which it kills its process group;
# `disk` the bytes that a file may have, `memory` those that it may take when it has been imported.
WATCHED = """
import atexit, os, resource, runpy, signal, sys
from pathlib import Path

at, told, disk, memory, module = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
count = 0

def change():
    global count
    count += 1
    if count == at:
        os.killpg(0, signal.SIGKILL)

def look(event, given):
    global memory
    if event == "open":
        path, _, flags = given
        if isinstance(path, int) or os.path.isabs(path):
            return
        if flags & (os.O_WRONLY | os.O_RDWR):
            change()
        elif memory and str(path).startswith("data"):
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            resource.setrlimit(resource.RLIMIT_AS, 2 * (pages * resource.getpagesize() + memory,))
            memory = 0
    elif event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate") and not os.path.isabs(given[0]):
        change()

def synced(file, fsync=os.fsync):
    change()
    fsync(file)

def heed(number, handler, set_handler=signal.signal):
    before = set_handler(number, handler)
    if number == signal.SIGTERM:
        Path("begun").touch()
    return before

os.fsync, signal.signal = synced, heed
if told:
    atexit.register(lambda: Path(told).write_text(str(count)))
sys.argv = ["-m", *sys.argv[6:]]
sys.addaudithook(look)
if disk:
    resource.setrlimit(resource.RLIMIT_FSIZE, (disk, disk))
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


class Stage:
    """One of the project in the working directory, with what an uninterrupted run of it gave."""

    def __init__(self, name: str, command: str, outs: list[Path], folder: Path) -> None:
        self.name, self.outs, self.folder = name, outs, folder
        self.module, *self.arguments = shlex.split(command)[2:]
        self.tried: Counter[str] = Counter()
        self.lost: list[str] = []
        self.told: set[str] = set()
        self.slowest, self.said = 0.0, ""
        self.new = {out: content(folder / out) for out in outs}
        begun = time.monotonic()
        told = folder / "told"
        self.ended(self.start(told=str(told)))
        self.seconds, self.changes = time.monotonic() - begun, int(told.read_text())
        told.unlink()
        self.compare("an uninterrupted run without DVC")
        self.set_earlier()
        self.old = {out: content(folder / out) for out in outs}

    def start(self, at: int = 0, told: str = "", disk: int = 0, memory: int = 0) -> "subprocess.Popen[str]":
        given = [str(at), told, str(disk), str(memory), self.module, *self.arguments]
        return begin([sys.executable, "-c", WATCHED, *given], self.folder)

    def set_earlier(self) -> None:
        """Other files in the places of the outputs, as an earlier run left them."""
        for out in self.outs:
            path = self.folder / out
            for file in files(path):
                file.write_bytes(b"earlier" + file.read_bytes())
            if path.is_dir():
                (path / "earlier").touch()

    def ended(self, process: "subprocess.Popen[str]", seconds: float = 600) -> list[str]:
        """Lines on stderr when the process has ended; what is left of its group is lost."""
        try:
            self.said, error = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            self.lost.append(f"{self.name}: did not end within {seconds} s")
            return []
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (left := group(process.pid)) and time.monotonic() < deadline:
            time.sleep(0.05)
        if left:
            self.lost.append(f"{self.name}: orphans {left}")
            os.killpg(process.pid, signal.SIGKILL)
        return error.splitlines()

    def check(self, when: str, absent: bool) -> None:
        for out in self.outs:
            found = content(self.folder / out)
            allowed = [self.old[out], self.new[out], *([None] if absent else [])]
            if found not in allowed:
                self.lost.append(f"{self.name}, {when}: {out} is {'absent' if found is None else 'half-written'}")

    def compare(self, when: str) -> None:
        for out, wanted in self.new.items():
            if content(self.folder / out) != wanted:
                self.lost.append(f"{self.name}, {when}: {out} is not that of an uninterrupted run")
        beside = [*self.folder.glob("data/**/.*.part"), *self.folder.glob("metrics/.*.part")]
        beside += self.folder.glob(CHECKPOINTS)
        if beside:
            self.lost.append(f"{self.name}, {when}: left are {', '.join(map(str, beside))}")

    def run_to_the_end(self, when: str) -> None:
        kept = any(self.folder.glob(CHECKPOINTS))
        process = self.start()
        lines = self.ended(process)
        went_on = "going on" in self.said
        self.tried["of them gone on from what was kept"] += went_on
        if kept and not went_on:
            self.lost.append(f"{self.name}, {when}: began anew beside a checkpoint: {self.said[:200]}")
        if process.returncode:
            self.lost.append(f"{self.name}, {when}: ends with {process.returncode}, {' / '.join(lines[-3:])}")
        self.compare(when)
        self.set_earlier()

    def kill(self, times: int, rng: random.Random) -> None:
        for number in range(times):
            if number % 2:
                at = rng.randint(1, self.changes)
                when = f"killed before change {at} of {self.changes}"
                self.ended(self.start(at=at))
                self.tried["kills before a change of a file"] += 1
            else:
                while not self.killed_after(seconds := rng.uniform(0, self.seconds)):
                    self.seconds = seconds  # it is faster than the first time
                    self.compare("run again")
                    self.set_earlier()
                when = f"killed after {seconds:.1f} s"
                self.tried["kills at a moment"] += 1
            self.check(when, absent=True)
            if number % CHAIN == CHAIN - 1 or number == times - 1:
                self.run_to_the_end(f"run again after it was {when}")

    def killed_after(self, seconds: float) -> bool:
        process = self.start()
        sent = send(signal.SIGKILL, process, seconds)
        self.ended(process)
        return sent

    def end(self, number: signal.Signals, alone: bool, rng: random.Random, attempts: int = 5) -> None:
        """Send a signal to the process, or to its group, as a terminal does; anew and sooner where that is too late."""
        begun = self.folder / "begun"
        begun.unlink(missing_ok=True)
        process = self.start()
        while not begun.exists() and process.poll() is None:
            time.sleep(0.01)
        seconds = rng.uniform(0, 0.9 * self.seconds)
        when = f"{number.name} after {seconds:.1f} s"
        sent = send(number, process, seconds, alone=alone)
        since = time.monotonic()
        lines = self.ended(process, seconds=PATIENCE_SECONDS)
        self.slowest = max(self.slowest, time.monotonic() - since)
        complete = all(content(self.folder / out) == wanted for out, wanted in self.new.items())
        at_exit = complete and "Traceback" not in "".join(lines)  # of Python, which heeds no signal any more
        if process.returncode == 0 or (process.returncode == -number and at_exit):
            if attempts > 1:
                self.seconds = min(self.seconds, seconds)
                self.compare("run again")
                self.set_earlier()
                return self.end(number, alone, rng, attempts - 1)
            self.tried["came too late"] += 1
        elif not sent or len(lines) != 1 or not lines[0].startswith("error: "):
            self.lost.append(f"{self.name}, {when}: ended with {process.returncode}: {' / '.join(lines[-4:])}")
        else:
            self.tried[number.name] += 1
            self.tried["of them with a checkpoint"] += any(self.folder.glob(CHECKPOINTS))
        self.check(when, absent=False)
        return self.run_to_the_end(f"run again after {when}")

    def lack(self, what: str, limit: int) -> None:
        """Let it lack disk or memory, or have it find a file where its folder is to be."""
        place = self.folder / self.outs[0].parent
        if what == "folder":
            aside = place.with_name("aside")
            place.rename(aside)
            place.touch()
        process = self.start(**({} if what == "folder" else {what: limit}))
        lines = [line for line in self.ended(process) if line.strip()]
        when = f"with {what} of {limit:,}"
        if what == "folder":
            place.unlink()
            aside.rename(place)
        if process.returncode == 0:
            self.tried[f"enough {what}"] += 1
            self.compare(when)
            self.set_earlier()
        elif process.returncode != 1 or len(lines) != 1 or not lines[0].startswith(CLEAR):
            self.lost.append(f"{self.name}, {when}: ended with {process.returncode}: {' / '.join(lines[-4:])}")
        else:
            self.tried[f"too little {what}" if limit else "a file in the folder's place"] += 1
            self.told.add(lines[0])
        self.check(when, absent=False)


def send(number: signal.Signals, process: "subprocess.Popen[str]", seconds: float, alone: bool = False) -> bool:
    """Whether the process still ran after so many seconds; the signal is sent to it, or to all of its group."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        (os.kill if alone else os.killpg)(process.pid, number)
        return True
    return False


def files(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def content(path: Path) -> Any:
    """The bytes of a file, those of all files of a folder, or None."""
    if path.is_dir():
        return {str(file.relative_to(path)): file.read_bytes() for file in files(path)}
    return path.read_bytes() if path.is_file() else None


def group(number: int) -> list[str]:
    """The processes of a group that have not ended."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == number and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()[:6])[:200])
        except (psutil.Error, ProcessLookupError):
            continue
    return found


def begin(command: list[str], folder: Path, **more: str) -> "subprocess.Popen[str]":
    place = more | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "FER_DEVICE": "cpu"}
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | place
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
