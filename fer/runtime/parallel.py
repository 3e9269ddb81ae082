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

MAX_PENDING_PER_WORKER = 4  # pieces of work for each process: what memory holds
MIN_PARALLEL_ITEMS = 4  # pieces that are not worth starting processes for

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


def ordered_map(
    function: Callable[[ItemT], ResultT], items: Iterable[ItemT], *, threads: bool = False
) -> Iterator[ResultT]:
    """`function` of each piece of work, in order, computed by as many processes, or `threads`, as there are cores.

    For processes both must be picklable. A piece is taken from `items` only when there is room for its result.

    Raises:
        InputError: a process died, as one does that runs out of memory.
    """
    items = iter(items)
    first = list(islice(items, MIN_PARALLEL_ITEMS))
    workers = worker_count()
    if len(first) < MIN_PARALLEL_ITEMS or workers == 1:
        yield from map(function, chain(first, items))
        return
    # "spawn": a process forked from one with threads, such as a progress bar's, may wait for ever
    pool: Executor = (
        ThreadPoolExecutor(workers)
        if threads
        else ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), exit_with_parent)
    )
    waiting: deque[Future[ResultT]] = deque()
    try:
        for work in chain(first, items):
            waiting.append(pool.submit(function, work))
            if len(waiting) >= MAX_PENDING_PER_WORKER * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise InputError("a process died, out of memory or over a damaged file; try again with FER_NPROC=1") from error
    finally:
        pool.shutdown(cancel_futures=True)


def worker_count() -> int:
    """Processes to use: `FER_NPROC`, or as many as this one may have cores.

    Raises:
        InputError: `FER_NPROC` is no number from 1.
    """
    return requested_workers() or count_cores()


def count_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def requested_workers() -> int | None:
    """What `FER_NPROC` says, if it is set.

    Raises:
        InputError: it is no number from 1.
    """
    wanted = os.environ.get("FER_NPROC", "")
    if wanted and not (wanted.isdecimal() and int(wanted)):
        raise InputError(f"FER_NPROC is {wanted!r}; it must be a number of processes, from 1")
    return int(wanted) if wanted else None


def exit_with_parent() -> None:
    """Leave Ctrl-C to the parent, and end when it ends, however it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
