"""Several processes at one piece of work, on one machine or many: those of `torchrun`, or as many as `FER_NPROC` says.

Every process runs the same stage. What they share out they share by `rank` and `world_size`, and the first one writes.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import wait
from multiprocessing.queues import SimpleQueue
from typing import Any, TypeVar

import torch
import torch.distributed
from torch import Tensor, nn
from torch.distributed import TCPStore  # type: ignore[attr-defined]
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from fer.nn.inference import default_device
from fer.runtime import errors, stage
from fer.runtime.errors import InputError
from fer.runtime.parallel import count_cores, exit_with_parent, requested_workers

END_SIGNALS = (signal.SIGINT, signal.SIGTERM)
PROCESS_TIMEOUT = timedelta(hours=24)  # of a process for another that is validating, or has more to do

ValueT = TypeVar("ValueT")


def run_distributed_stage(main: Callable[[], object]) -> None:
    """`stages.run` of a stage's `main`, in as many processes as `FER_NPROC` says, or as one of those of `torchrun`."""
    stage.run_stage(lambda: _launch(main))


def rank() -> int:
    """Of this process among those at the same work, from 0."""
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0


def world_size() -> int:
    """Processes at the same work."""
    return torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1


def is_main_process() -> bool:
    """Whether this is the process that writes."""
    return rank() == 0


def wait_for_processes() -> None:
    """Go on when all processes have come here."""
    if world_size() > 1:
        torch.distributed.barrier()


def broadcast_from_main(compute: Callable[[], ValueT]) -> ValueT:
    """What `compute` gives the first process, for all; it must be picklable."""
    if world_size() == 1:
        return compute()
    given = [compute() if is_main_process() else None]
    torch.distributed.broadcast_object_list(given, src=0)
    return given[0]  # type: ignore[return-value]


def mean_over_processes(value: Tensor) -> Tensor:
    """The mean of the processes' values."""
    if world_size() > 1:
        torch.distributed.all_reduce(value)
    return value / world_size()


def wrap_ddp(network: nn.Module) -> nn.Module:
    """`network` as all processes train it: with the mean of their gradients, from the weights of the first.

    Batch norm takes each process's part of a batch by itself; the running statistics are those of the first.
    """
    return network if world_size() == 1 else DistributedDataParallel(network)


def _launch(main: Callable[[], object]) -> None:
    if "RANK" in os.environ:
        _run_in_process_group(main)
    elif (count := requested_workers() or 1) > 1:
        _spawn_processes(main, count)
    else:
        main()


def _run_in_process_group(main: Callable[[], object], **meeting: Any) -> None:
    """`main`, silent unless this is the first process; `meeting` says who the others are, where `torchrun` doesn't."""
    where = default_device()
    if where.type == "cuda":
        torch.cuda.set_device(where)
    torch.distributed.init_process_group("nccl" if where.type == "cuda" else "gloo", timeout=PROCESS_TIMEOUT, **meeting)
    with contextlib.ExitStack() as silence:
        if not is_main_process():
            nowhere = silence.enter_context(open(os.devnull, "w"))
            silence.enter_context(contextlib.redirect_stdout(nowhere))
            silence.enter_context(contextlib.redirect_stderr(nowhere))
        main()
    torch.distributed.destroy_process_group()  # not after an exception: it may wait for what the others still send


def _spawn_processes(main: Callable[[], object], count: int) -> None:
    """Run `main` in `count` processes of this machine. When one fails, print its error and end all.

    Ctrl-C and SIGTERM are passed on to rank 0, which writes its checkpoint.

    Raises:
        InputError: a signal killed a process, for example because memory ran out.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, count_cores() // count)))
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # port 0: any free port
    spawn = multiprocessing.get_context("spawn")
    failures = spawn.SimpleQueue()
    processes = [
        spawn.Process(target=_run_spawned, args=(main, rank, count, store.port, failures)) for rank in range(count)
    ]
    signal.pthread_sigmask(signal.SIG_BLOCK, END_SIGNALS)  # here until the handlers are set, there until `_follow`
    try:
        for process in processes:
            process.start()
        for number in END_SIGNALS:
            signal.signal(number, lambda *_: processes[0].terminate())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, END_SIGNALS)
        while (running := [p.sentinel for p in processes if p.is_alive()]) and not any(p.exitcode for p in processes):
            wait(running)
        exits = [process.exitcode or 0 for process in processes]
        if (lowest := min(exits)) < 0:
            raise InputError(
                f"process {exits.index(lowest) + 1} of {count} died of {signal.Signals(-lowest).name}, out of memory "
                "or ended by someone; try again with a lower FER_NPROC"
            )
        if any(exits):
            sys.exit(1 if failures.empty() else failures.get())
    finally:
        for started in multiprocessing.active_children():
            started.kill()


def _run_spawned(main: Callable[[], object], rank: int, count: int, port: int, failures: "SimpleQueue[Any]") -> None:
    """Run `main` as process `rank` of `_start`, and put its error into `failures`, from which the first is printed."""
    errors.install_signal_handlers()
    exit_with_parent()
    tqdm.set_lock(threading.RLock())  # its own would be a semaphore, of which Python warns where its process is killed
    os.environ["LOCAL_RANK"] = str(rank)
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, END_SIGNALS)
        store = TCPStore("127.0.0.1", port)
        errors.run_main(lambda: _run_in_process_group(main, rank=rank, world_size=count, store=store))
        return
    except SystemExit as end:
        failures.put(end.code)
    except Exception:
        failures.put(traceback.format_exc())
    sys.exit(1)
