"""On a GPU, fuse the kernels of a function and record a step as one CUDA graph; elsewhere, run both eagerly."""

import os
import shutil
import sys
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from fer.runtime.errors import is_out_of_memory

EAGER_CALLS = 3  # before a step is recorded: they allocate the state of the optimiser and choose kernels
MIN_TRITON_CAPABILITY = (7, 0)


class RecordedStep:
    """A step that a GPU records as a CUDA graph at its fourth call and then replays; elsewhere it runs eagerly.

    The step reads and writes tensors that keep their address and has no values from the host, so that a replay does
    what a call would do. `generators` are all generators it draws from but the default one of the device.
    """

    def __init__(self, step: Callable[[], None], device: torch.device, *generators: torch.Generator) -> None:
        self._step, self._generators = step, generators
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._graph: Any = None  # torch.cuda.CUDAGraph
        self._n_calls = 0

    def __call__(self) -> None:
        self._n_calls += 1
        if self._stream is None:
            self._step()
        elif self._n_calls <= EAGER_CALLS:
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                self._step()
            torch.cuda.current_stream().wait_stream(self._stream)
        else:
            if self._graph is None:
                self._record()
            self._graph.replay()

    def _record(self) -> None:
        self._graph = graph = torch.cuda.CUDAGraph()
        for generator in self._generators:
            graph.register_generator_state(generator)
        # "thread_local": the thread that watches NCCL may ask the GPU about earlier work meanwhile
        with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
            self._step()


def fuse(function: Callable[..., Tensor], device: torch.device, *example: Any) -> Callable[..., Tensor]:
    """Return `function` compiled for arguments like `example` on a GPU, or as it is, with one line of notice.

    Compiling fuses kernels. It takes about half a minute on a GPU. On a CPU, training is no faster compiled.
    """
    if device.type != "cuda":
        return function
    if obstacle := find_triton_obstacle(device):
        print_fusion_notice(obstacle)
        return function
    return try_to_compile(function, *example)


def try_to_compile(function: Callable[..., Tensor], *example: Any) -> Callable[..., Tensor]:
    """Return `function` compiled for arguments like `example`, or as it is if its forward or backward pass fails.

    Both passes are tried here, in the autocast and gradient mode of the caller. A network keeps its state.
    """
    state = deepcopy(function.state_dict()) if isinstance(function, nn.Module) else None
    # fallback_random: dropout draws what it draws eagerly
    compiled = torch.compile(function, dynamic=False, options={"fallback_random": True})
    try:
        outputs = compiled(*example)
        if outputs.requires_grad:
            outputs.float().sum().backward()
    except Exception as error:  # of the compiler, of Triton, of a C compiler or linker
        if is_out_of_memory(error):
            raise
        print_fusion_notice(f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}")
        return function
    finally:
        if isinstance(function, nn.Module) and state is not None:
            function.load_state_dict(state)
            function.zero_grad()
    return compiled


def find_triton_obstacle(device: torch.device) -> str:
    """Return why torch cannot compile for this GPU, or an empty text."""
    from torch.utils._triton import has_triton_package

    if (capability := torch.cuda.get_device_capability(device)) < MIN_TRITON_CAPABILITY:
        return f"the GPU has compute capability {capability[0]}.{capability[1]}, and Triton needs 7.0"
    if not has_triton_package():
        return "Triton is not installed"
    if not (os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")):
        return "Triton needs a C compiler; install gcc"
    return ""


@cache
def print_fusion_notice(reason: str) -> None:
    """Print, once per reason, that kernels are not fused."""
    print(f"notice: kernels are not fused, which costs speed ({reason})", file=sys.stderr)


def default_generator(device: torch.device) -> torch.Generator:
    """Return the generator from which dropout draws on `device`."""
    if device.type != "cuda":
        return torch.default_generator
    torch.cuda.init()
    return torch.cuda.default_generators[device.index or 0]
