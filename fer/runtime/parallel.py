"""Work spread over the cores, its results in order, with a bounded part of it in memory."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice
from typing import TypeVar

from fer.runtime.errors import InputError

IN_FLIGHT = 4  # pieces of work for each process: what memory holds
ALONE = 4  # pieces that are not worth starting processes for

Work = TypeVar("Work")
Result = TypeVar("Result")


def ordered_map(
    function: Callable[[Work], Result], works: Iterable[Work], *, threads: bool = False
) -> Iterator[Result]:
    """`function` of each piece of work, in order, computed by as many processes, or `threads`, as there are cores.

    For processes both must be picklable. A piece is taken from `works` only when there is room for its result.

    Raises:
        InputError: a process died, as one does that runs out of memory.
    """
    works = iter(works)
    first = list(islice(works, ALONE))
    workers = cores()
    if len(first) < ALONE or workers == 1:
        yield from map(function, chain(first, works))
        return
    # "spawn": a process forked from one with threads, such as a progress bar's, may wait for ever
    pool: Executor = (
        ThreadPoolExecutor(workers)
        if threads
        else ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), follow_parent)
    )
    waiting: deque[Future[Result]] = deque()
    try:
        for work in chain(first, works):
            waiting.append(pool.submit(function, work))
            if len(waiting) >= IN_FLIGHT * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise InputError("a process died, out of memory or over a damaged file; try again with FER_NPROC=1") from error
    finally:
        pool.shutdown(cancel_futures=True)


def cores() -> int:
    """Processes to use: `FER_NPROC`, or as many as this one may have cores.

    Raises:
        InputError: `FER_NPROC` is no number from 1.
    """
    return wanted_processes() or available_cores()


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def wanted_processes() -> int | None:
    """What `FER_NPROC` says, if it is set.

    Raises:
        InputError: it is no number from 1.
    """
    wanted = os.environ.get("FER_NPROC", "")
    if wanted and not (wanted.isdecimal() and int(wanted)):
        raise InputError(f"FER_NPROC is {wanted!r}; it must be a number of processes, from 1")
    return int(wanted) if wanted else None


def follow_parent() -> None:
    """Leave Ctrl-C to the parent, and end when it ends, however it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
