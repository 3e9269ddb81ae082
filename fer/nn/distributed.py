"""Run a stage in several processes: those of `torchrun` (on one machine or many), or `FER_NPROC` on this machine.

Every process runs the same stage. They divide the work by `rank` and `world_size`; only rank 0 writes and prints.
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

from fer.nn.devices import default_device, tune_convolutions
from fer.runtime import errors, stage
from fer.runtime.errors import InputError
from fer.runtime.parallel import count_cores, exit_with_parent, requested_workers

END_SIGNALS = (signal.SIGINT, signal.SIGTERM)
PROCESS_TIMEOUT = timedelta(hours=24)  # ranks wait while rank 0 validates or another one has more work

ValueT = TypeVar("ValueT")


def run_distributed_stage(main: Callable[[], object]) -> None:
    """Run a stage's `main` in `FER_NPROC` processes, or as one process of `torchrun`."""
    stage.run_stage(lambda: _launch(main))


def rank() -> int:
    """Return the rank of this process, from 0."""
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0


def world_size() -> int:
    """Return the number of processes that run this stage."""
    return torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1


def is_main_process() -> bool:
    """Return whether this process is rank 0, the one that writes."""
    return rank() == 0


def wait_for_processes() -> None:
    """Wait until every process has reached this call."""
    if world_size() > 1:
        torch.distributed.barrier()


def broadcast_from_main(compute: Callable[[], ValueT]) -> ValueT:
    """Call `compute` on rank 0 and return its result, which must be picklable, on every rank."""
    if world_size() == 1:
        return compute()
    results = [compute() if is_main_process() else None]
    torch.distributed.broadcast_object_list(results, src=0)
    return results[0]  # type: ignore[return-value]


def mean_over_processes(value: Tensor) -> Tensor:
    """Return the mean of `value` over the processes; `value` itself becomes the sum."""
    if world_size() > 1:
        torch.distributed.all_reduce(value)
    return value / world_size()


def wrap_ddp(network: nn.Module) -> nn.Module:
    """Wrap `network` so that the processes average their gradients and start from the weights of rank 0.

    Batch norm normalises each process's part of a batch separately; the running statistics are those of rank 0.
    """
    return network if world_size() == 1 else DistributedDataParallel(network)


def _launch(main: Callable[[], object]) -> None:
    if "RANK" in os.environ:
        _run_in_process_group(main)
    elif (count := requested_workers() or 1) > 1:
        _spawn_processes(main, count)
    else:
        tune_convolutions()
        main()


def _run_in_process_group(main: Callable[[], object], **rendezvous: Any) -> None:
    """Run `main` in a process group, silenced on all ranks but 0; without `torchrun`, `rendezvous` names the group."""
    device = default_device()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    torch.distributed.init_process_group(backend, timeout=PROCESS_TIMEOUT, **rendezvous)
    with contextlib.ExitStack() as silence:
        if not is_main_process():
            null = silence.enter_context(open(os.devnull, "w"))
            silence.enter_context(contextlib.redirect_stdout(null))
            silence.enter_context(contextlib.redirect_stderr(null))
        tune_convolutions()
        main()
    torch.distributed.destroy_process_group()  # not after an exception: it may wait for messages of other ranks


def _spawn_processes(main: Callable[[], object], count: int) -> None:
    """Run `main` in `count` processes of this machine. When one fails, print its error and stop all.

    Ctrl-C and SIGTERM are passed on to rank 0, which writes its checkpoint.

    Raises:
        InputError: A signal killed a process, for example because memory ran out.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, count_cores() // count)))
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # port 0: any free port
    spawn = multiprocessing.get_context("spawn")
    failures = spawn.SimpleQueue()
    processes = [
        spawn.Process(target=_run_spawned, args=(main, rank, count, store.port, failures)) for rank in range(count)
    ]
    signal.pthread_sigmask(signal.SIG_BLOCK, END_SIGNALS)  # children inherit this, until they have handlers
    try:
        for process in processes:
            process.start()
        for number in END_SIGNALS:
            signal.signal(number, lambda *_: processes[0].terminate())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, END_SIGNALS)
        while (running := [p.sentinel for p in processes if p.is_alive()]) and not any(p.exitcode for p in processes):
            wait(running)
        exit_codes = [process.exitcode or 0 for process in processes]
        if (lowest := min(exit_codes)) < 0:
            raise InputError(
                f"process {exit_codes.index(lowest) + 1} of {count} was killed by {signal.Signals(-lowest).name} "
                "(out of memory, or stopped from outside); try again with a lower FER_NPROC"
            )
        if any(exit_codes):
            sys.exit(1 if failures.empty() else failures.get())
    finally:
        for child in multiprocessing.active_children():
            child.kill()


def _run_spawned(main: Callable[[], object], rank: int, count: int, port: int, failures: "SimpleQueue[Any]") -> None:
    """Run `main` as rank `rank` of `_spawn_processes`, which prints the first error in `failures`."""
    errors.install_signal_handlers()
    exit_with_parent()
    tqdm.set_lock(threading.RLock())  # the default lock is a semaphore: killing its process prints a warning
    os.environ |= {"LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(count)}
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
