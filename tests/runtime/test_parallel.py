"""The parallel map: order of results, bounded memory, and the end of worker processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import assert_none_is_running, wait_until

from fer.runtime import parallel
from fer.runtime.errors import InputError
from fer.runtime.parallel import MAX_PENDING_PER_WORKER, ordered_map, worker_count

PROJECT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def start_processes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "ALONE_SECONDS", -1)


def square(number: int) -> int:
    time.sleep((number % 3) / 100)  # Calls end in another order than they start.
    return number * number


def current_pid(number: int) -> int:
    return os.getpid()


def kill_self(number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(number: int) -> None:
    raise InputError(f"{number} is wrong")


@pytest.mark.parametrize("count", [0, 1, 4, 40])
def test_results_come_in_order(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setenv("FER_NPROC", "2")
    assert list(ordered_map(square, range(count))) == [number * number for number in range(count)]


def test_items_are_read_only_when_there_is_room_for_their_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_NPROC", "2")
    n_read = 0

    def items() -> Iterator[int]:
        nonlocal n_read
        while n_read < 100:
            n_read += 1
            yield n_read

    for n_done, _ in enumerate(ordered_map(current_pid, items()), 1):
        assert n_read - n_done <= 2 * MAX_PENDING_PER_WORKER


def test_short_work_starts_no_process_and_long_work_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_NPROC", "2")
    assert os.getpid() not in set(ordered_map(current_pid, range(40)))
    monkeypatch.setattr(parallel, "ALONE_SECONDS", float("inf"))
    assert set(ordered_map(current_pid, range(40))) == {os.getpid()}
    pids = list(ordered_map(current_pid, range(40), is_long=lambda number: number == 10))
    assert [pid == os.getpid() for pid in pids] == [True] * 10 + [False] * 30
    monkeypatch.setattr(parallel, "ALONE_SECONDS", -1)
    monkeypatch.setenv("FER_NPROC", "1")
    assert set(ordered_map(current_pid, range(40))) == {os.getpid()}


def test_a_worker_that_dies_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_NPROC", "2")
    with pytest.raises(InputError, match="a process died"):
        list(ordered_map(kill_self, range(40)))


def test_input_errors_of_workers_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_NPROC", "2")
    with pytest.raises(InputError, match=r"^0 is wrong$"):
        list(ordered_map(refuse, range(40)))


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5"])
def test_an_invalid_number_of_processes_is_reported(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("FER_NPROC", value)
    with pytest.raises(InputError, match="FER_NPROC is"):
        worker_count()


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "endless.py"
    script.write_text(
        "import os, time\nfrom pathlib import Path\nfrom fer.runtime import parallel\n"
        "def work(number):\n    (Path(__file__).parent / f'{os.getpid()}.pid').touch()\n    time.sleep(1000)\n"
        "if __name__ == '__main__':\n    parallel.ALONE_SECONDS = -1\n    list(parallel.ordered_map(work, range(40)))\n"
    )
    environment = os.environ | {"FER_NPROC": "2", "PYTHONPATH": str(PROJECT)}
    parent = subprocess.Popen([sys.executable, script], env=environment, stderr=subprocess.DEVNULL)
    wait_until(lambda: len(list(tmp_path.glob("*.pid"))) == 2)
    parent.kill()
    parent.wait()
    assert_none_is_running([int(file.stem) for file in tmp_path.glob("*.pid")])
