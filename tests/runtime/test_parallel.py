"""Work over several processes: order, bounds, and ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import assert_none_is_running, wait_until

from fer.runtime.errors import InputError
from fer.runtime.parallel import MAX_PENDING_PER_WORKER, MIN_PARALLEL_ITEMS, ordered_map, worker_count

PROJECT = Path(__file__).parents[2]


def square(number: int) -> int:
    time.sleep((number % 3) / 100)  # so that they are not done in the order in which they were begun
    return number * number


def process_of(number: int) -> int:
    return os.getpid()


def die(number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(number: int) -> None:
    raise InputError(f"{number} is wrong")


@pytest.mark.parametrize("count", [0, 1, MIN_PARALLEL_ITEMS, 40])
def test_results_come_in_order(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setenv("FER_NPROC", "2")
    assert list(ordered_map(square, range(count))) == [number * number for number in range(count)]


def test_work_is_taken_only_when_there_is_room_for_its_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_NPROC", "2")
    taken = 0

    def works() -> Iterator[int]:
        nonlocal taken
        while taken < 100:
            taken += 1
            yield taken

    for done, _ in enumerate(ordered_map(process_of, works()), 1):
        assert taken - done <= 2 * MAX_PENDING_PER_WORKER


def test_little_work_starts_no_process_and_much_starts_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_NPROC", "2")
    assert set(ordered_map(process_of, range(MIN_PARALLEL_ITEMS - 1))) == {os.getpid()}
    assert os.getpid() not in set(ordered_map(process_of, range(40)))
    monkeypatch.setenv("FER_NPROC", "1")
    assert set(ordered_map(process_of, range(40))) == {os.getpid()}


def test_a_process_that_dies_is_told_and_does_not_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_NPROC", "2")
    with pytest.raises(InputError, match="a process died"):
        list(ordered_map(die, range(40)))


def test_a_mistake_of_the_users_comes_through_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_NPROC", "2")
    with pytest.raises(InputError, match=r"^0 is wrong$"):
        list(ordered_map(refuse, range(40)))


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5"])
def test_a_number_of_processes_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("FER_NPROC", value)
    with pytest.raises(InputError, match="FER_NPROC is"):
        worker_count()


def test_no_process_outlives_one_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "endless.py"
    script.write_text(
        "import os, time\nfrom pathlib import Path\nfrom fer.runtime.parallel import ordered_map\n"
        "def work(number):\n    (Path(__file__).parent / f'{os.getpid()}.pid').touch()\n    time.sleep(1000)\n"
        "if __name__ == '__main__':\n    list(ordered_map(work, range(40)))\n"
    )
    environment = os.environ | {"FER_NPROC": "2", "PYTHONPATH": str(PROJECT)}
    parent = subprocess.Popen([sys.executable, script], env=environment, stderr=subprocess.DEVNULL)
    wait_until(lambda: len(list(tmp_path.glob("*.pid"))) == 2)
    parent.kill()
    parent.wait()
    assert_none_is_running([int(file.stem) for file in tmp_path.glob("*.pid")])
