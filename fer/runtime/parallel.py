"""A map over several processes or threads: ordered results and bounded memory."""

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import chain
from typing import TypeVar

from fer.runtime.errors import InputError

MAX_PENDING_PER_WORKER = 4  # results that may wait in memory, for each worker
ALONE_SECONDS = 2.0  # CPU time of this process, after which it starts others; each takes half a second to start

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


def ordered_map(
    function: Callable[[ItemT], ResultT],
    items: Iterable[ItemT],
    *,
    threads: bool = False,
    is_long: Callable[[ItemT], bool] = lambda item: False,
) -> Iterator[ResultT]:
    """Yield `function(item)` for every item, in order, computed by one process, or thread, per core.

    This process computes the first results itself, for `ALONE_SECONDS` and up to the first item that `is_long`.
    Processes need a picklable function and items. An item is read from `items` only when there is room for its result.

    Raises:
        InputError: A worker process died, for example because memory ran out.
    """
    items, workers, start = iter(items), worker_count(), time.process_time()
    if workers == 1 or not threads:
        for item in items:
            if workers > 1 and (is_long(item) or time.process_time() - start > ALONE_SECONDS):
                items = chain([item], items)
                break
            yield function(item)
    # "spawn", because a fork of a process with threads, such as that of a progress bar, may wait for ever.
    pool: Executor = (
        ThreadPoolExecutor(workers)
        if threads
        else ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), exit_with_parent)
    )
    pending: deque[Future[ResultT]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= MAX_PENDING_PER_WORKER * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BrokenProcessPool as error:
        raise InputError("a process died, out of memory or on a damaged file; try again with FER_NPROC=1") from error
    finally:
        pool.shutdown(cancel_futures=True)


def worker_count() -> int:
    """Return the number of processes to use: `FER_NPROC` if it is set, else the number of usable cores.

    Raises:
        InputError: `FER_NPROC` is not a number of at least 1.
    """
    return requested_workers() or count_cores()


def count_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def requested_workers() -> int | None:
    """Return the value of `FER_NPROC`, or None if it is not set."""
    value = os.environ.get("FER_NPROC", "")
    if value and not (value.isdecimal() and int(value)):
        raise InputError(f"FER_NPROC is {value!r}; set it to a number of processes, at least 1")
    return int(value) if value else None


def exit_with_parent() -> None:
    """Ignore Ctrl-C, which the parent handles, and end this process when the parent ends for any reason."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
