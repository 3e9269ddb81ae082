"""Several processes at one piece of work, on one machine or many: those of `torchrun`, or as many as `FER_NPROC` says.

Every process runs the same stage. What they share out they share by `rank` and `world_size`, and the first one writes.
"""

import logging
import os
import sys
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import torch
import torch.distributed
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from fer import errors
from fer.inference import device
from fer.processes import available_cores, wanted_processes

PATIENCE = timedelta(hours=24)  # of a process for another that is validating, or has more to do

Value = TypeVar("Value")


def run(main: Callable[[], object]) -> None:
    """`errors.run` of a stage's `main`, in as many processes as `FER_NPROC` says, or as one of those of `torchrun`."""
    if "RANK" in os.environ:
        errors.run(lambda: _as_one_of_many(main))
    elif (wanted_processes() or 1) > 1:
        errors.run(_start_again)
    else:
        errors.run(main)


def rank() -> int:
    """Of this process among those at the same work, from 0."""
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0


def world_size() -> int:
    """Processes at the same work."""
    return torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1


def is_first() -> bool:
    """Whether this is the process that writes."""
    return rank() == 0


def wait_for_all() -> None:
    """Go on when all processes have come here."""
    if world_size() > 1:
        torch.distributed.barrier()


def of_first(make: Callable[[], Value]) -> Value:
    """What `make` gives the first process, for all; it must be picklable."""
    if world_size() == 1:
        return make()
    given = [make() if is_first() else None]
    torch.distributed.broadcast_object_list(given, src=0)
    return given[0]  # type: ignore[return-value]


def mean(value: Tensor) -> Tensor:
    """The mean of the processes' values."""
    if world_size() > 1:
        torch.distributed.all_reduce(value)
    return value / world_size()


def in_step(network: nn.Module) -> nn.Module:
    """`network` as all processes train it: with the mean of their gradients, from the weights of the first.

    Batch norm takes each process's part of a batch by itself; the running statistics are those of the first.
    """
    return network if world_size() == 1 else DistributedDataParallel(network)


def _as_one_of_many(main: Callable[[], object]) -> None:
    where = device()
    if where.type == "cuda":
        torch.cuda.set_device(where)
    torch.distributed.init_process_group("nccl" if where.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        main()
    finally:
        torch.distributed.destroy_process_group()


def _start_again() -> None:
    """This command in several processes; the first one's words are shown, and those of the one that fails."""
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, Std
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)  # its account of a failure is 40 lines long
    count = wanted_processes() or 1
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, available_cores() // count)))
    module = sys.modules["__main__"].__spec__.name  # type: ignore[union-attr]
    with tempfile.TemporaryDirectory() as logs:
        others = DefaultLogsSpecs(log_dir=logs, redirects=dict.fromkeys(range(1, count), Std.ALL))
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=count,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            run_id="fer",
            max_restarts=0,
            monitor_interval=0.1,
            logs_specs=others,
        )
        try:
            elastic_launch(config, sys.executable)("-m", module, *sys.argv[1:])
        except ChildFailedError as error:
            failed, failure = error.get_first_failure()
            if failed:
                for told in Path(logs).rglob(f"{failed}/stderr.log"):
                    sys.stderr.write(told.read_text(encoding="utf-8", errors="replace"))
            sys.exit(failure.exitcode if failure.exitcode > 0 else 1)
