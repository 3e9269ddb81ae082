"""Run a stage in several processes: those of `FER_LAUNCH` or `torchrun` (on many machines), or `FER_NPROC` on this one.

Every process runs the same stage. They divide the work by `rank` and `world_size`; only rank 0 writes and prints.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import cache
from multiprocessing.connection import wait
from multiprocessing.queues import SimpleQueue
from typing import Any, TypeVar

import torch
import torch.distributed
from torch import Tensor, nn
from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]
from tqdm import tqdm

from fer.nn.devices import default_device
from fer.runtime import errors, stage
from fer.runtime.errors import InputError
from fer.runtime.launcher import refuse_copies, run_launcher
from fer.runtime.parallel import count_cores, exit_with_parent, requested_workers

END_SIGNALS = (signal.SIGINT, signal.SIGTERM)
PEER_TIMEOUT = timedelta(minutes=10)  # a process that gives no answer for so long ends the others
POLL_SECONDS = 0.01

ValueT = TypeVar("ValueT")


def run_distributed_stage(main: Callable[[], object]) -> None:
    """Run a stage's `main` by the command `FER_LAUNCH`, in `FER_NPROC` processes, or as one process of `torchrun`."""
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
    """Wait until every process has reached this call, however long the others work before.

    Raises:
        InputError: A process does not run any more: it, its machine or the network has stopped.
    """
    if world_size() == 1:
        return
    store, peers = _connect_store(), range(world_size())
    needed = -(-store.add("arrived", 1) // len(peers)) * len(peers)  # each process has arrived equally often
    beats, check_time = [-1] * len(peers), 0.0
    while store.add("arrived", 0) < needed:
        if time.monotonic() >= check_time:
            last_beats, beats = beats, [store.add(f"beats of {peer}", 0) for peer in peers]
            check_time = time.monotonic() + PEER_TIMEOUT.total_seconds() / 2
            for peer in peers:
                if beats[peer] == last_beats[peer] and peer != rank():
                    raise _no_answer(f"process {peer + 1} of {len(peers)}")
        time.sleep(POLL_SECONDS)  # unlike a collective, this heeds signals
    torch.distributed.barrier()  # rank 0 may hold the store, and must not end before the others have looked


def broadcast_from_main(compute: Callable[[], ValueT]) -> ValueT:
    """Call `compute` on rank 0 and return its result, which must be picklable, on every rank."""
    if world_size() == 1:
        return compute()
    results = [compute() if is_main_process() else None]
    wait_for_processes()  # longer than `PEER_TIMEOUT`, if need be
    torch.distributed.broadcast_object_list(results, src=0)
    return results[0]  # type: ignore[return-value]


def sum_over_processes(value: Tensor) -> Tensor:
    """Replace `value` by its sum over the processes, and return it."""
    if world_size() > 1:
        torch.distributed.all_reduce(value)
    return value


def prepare_network(network: nn.Module) -> nn.Module:
    """Give `network` the weights of rank 0 in every process; on GPUs, batch norm sees the whole batch, not a share."""
    if world_size() > 1:
        for tensor in network.state_dict().values():
            torch.distributed.broadcast(tensor, src=0)
        if torch.distributed.get_backend() == "nccl":
            nn.SyncBatchNorm.convert_sync_batchnorm(network)  # replaces the layers in `network`
    return network


def average_over_processes(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its mean over the processes, with one message."""
    if world_size() > 1:
        values = torch.cat([tensor.reshape(-1) for tensor in tensors])
        torch.distributed.all_reduce(values)
        means = (values / world_size()).split([tensor.numel() for tensor in tensors])
        torch._foreach_copy_(list(tensors), [mean.view_as(tensor) for mean, tensor in zip(means, tensors, strict=True)])


def _launch(main: Callable[[], object]) -> None:
    if "RANK" in os.environ:
        _run_in_process_group(main)
        return
    refuse_copies()
    if command := os.environ.get("FER_LAUNCH"):
        run_launcher(command)
    elif (count := requested_workers() or 1) > 1:
        _spawn_processes(main, count)
    else:
        main()


def _run_in_process_group(main: Callable[[], object]) -> None:
    """Run `main` in the process group that the environment names as `torchrun` does, silenced on all ranks but 0."""
    device = default_device()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    torch.distributed.init_process_group(backend, timeout=PEER_TIMEOUT)
    ended = threading.Event()
    threading.Thread(target=_beat, args=[_connect_store(), f"beats of {rank()}", ended], daemon=True).start()
    with contextlib.ExitStack() as stack:
        stack.callback(ended.set)
        if not is_main_process():
            null = stack.enter_context(open(os.devnull, "w"))
            stack.enter_context(contextlib.redirect_stdout(null))
            stack.enter_context(contextlib.redirect_stderr(null))
        try:
            main()
        except RuntimeError as error:
            if "Timed out waiting" not in str(error):  # Gloo has no type for it
                raise
            raise _no_answer("another process") from error
    torch.distributed.destroy_process_group()  # not after an exception: it may wait for messages of other ranks


@cache
def _connect_store() -> PrefixStore:
    """Return the store in which the processes count their beats and their arrivals."""
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    return PrefixStore(f"fer {attempt}", TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])))


def _beat(store: PrefixStore, key: str, ended: threading.Event) -> None:
    """Count up in the store as long as this process runs."""
    with contextlib.suppress(RuntimeError):  # The process that holds the store has ended.
        while not ended.wait(PEER_TIMEOUT.total_seconds() / 20):
            store.add(key, 1)


def _no_answer(subject: str) -> InputError:
    return InputError(f"{subject} does not answer: it, its machine or the network has stopped; run it again")


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
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, END_SIGNALS)
        errors.run_main(lambda: _run_in_process_group(main))
        return
    except SystemExit as end:
        failures.put(end.code)
    except Exception:
        failures.put(traceback.format_exc())
    sys.stdout.flush()
    os._exit(1)  # After a failure, Gloo may abort a process that ends in the ordinary way.
