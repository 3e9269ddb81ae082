"""A stage of several processes that ends as its arguments say. It imports little, because every process imports it."""

import os
import signal
import sys
import time
from pathlib import Path

from fer.nn import distributed
from fer.runtime.errors import InputError


def stop_as_requested() -> None:
    """Print, wait for the other process, and end as the arguments say.

    "wrong 1": rank 1 rejects its input. "broken 1": rank 1 fails unexpectedly. "killed 1": rank 1 is killed. "wait":
    both wait.
    """
    command, rank = " ".join(sys.argv[1:]), distributed.rank()
    print("started", flush=True)
    print("started", file=sys.stderr, flush=True)
    Path(f"{os.getpid()}.pid").write_text(os.environ["OMP_NUM_THREADS"])
    distributed.wait_for_processes()
    if command == f"wrong {rank}":
        raise InputError("bad input")
    if command == f"broken {rank}":
        raise LookupError("unexpected")
    if command == f"killed {rank}":
        os.kill(os.getpid(), signal.SIGKILL)
    if command == "wait":
        time.sleep(1000)
    distributed.wait_for_processes()
