"""Choose the device, say what it can do, and compute on it in a precision."""

import contextlib
import os
import shutil
import sys
import warnings
from functools import cache
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import grid_sample

from fer.runtime.errors import InputError

NVIDIA_DRIVER = Path("/proc/driver/nvidia")
CPU_INFO = Path("/proc/cpuinfo")
BF16_INSTRUCTIONS = {"avx512_bf16", "amx_bf16", "bf16"}  # "bf16" is that of ARM
BF16_CAPABILITY = (8, 0)  # of NVIDIA's GPUs; older ones emulate bf16
SLOW_BF16_WARNING = "precision=bf16, but this device has no bf16 instructions; fp32 may be faster"


def default_device() -> torch.device:
    """Return the device `FER_DEVICE`, if that is set, else a GPU if there is one, else the CPU.

    Each of several processes on this machine gets a GPU of its own. Print a warning if the CPU is returned although
    there is an NVIDIA driver.

    Raises:
        InputError: This machine cannot use the device, or has fewer GPUs than processes.
    """
    setting = os.environ.get("FER_DEVICE")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns in many lines of what becomes one line here
        name = setting or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            device = torch.device(name)
            if device.type == "cuda":
                device = _gpu_of_process(device)
            _compute_on(device)
        except (RuntimeError, AssertionError) as error:
            subject = f"FER_DEVICE={name!r}" if setting else "the GPU"
            raise InputError(f"{subject}: not usable on this machine ({_reason(error)}); try FER_DEVICE=cpu") from error
    if not setting and device.type == "cpu" and (warning := unusable_gpu_warning()):
        _print_warning(warning)
    return device


def _gpu_of_process(device: torch.device) -> torch.device:
    """Return `device`, or the GPU of this process if `device` has no number and there are several processes."""
    torch.cuda.init()
    last = torch.cuda.device_count() - 1
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if device.index is not None:
        if device.index > last:
            raise InputError(f"FER_DEVICE='{device}': the last GPU of this machine is cuda:{last}; choose one up to it")
        check_gpu_count(device, processes)
        return device
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    check_gpu_count(device, max(processes, local_rank + 1))
    return torch.device("cuda", local_rank) if "LOCAL_RANK" in os.environ else device


def check_gpu_count(device: torch.device, processes: int) -> None:
    """Check that each of `processes` on this machine can have a GPU of its own.

    Raises:
        InputError: `device` is a GPU and the processes outnumber the GPUs; NCCL refuses two processes on one.
    """
    count = torch.cuda.device_count() if device.index is None else 1
    if device.type == "cuda" and processes > count:
        raise InputError(
            f"{processes} processes cannot share {count} GPU{'s' if count > 1 else ''}; set FER_NPROC (for torchrun: "
            f"--nproc-per-node) to {count}, or FER_DEVICE=cpu"
        )


def _compute_on(device: torch.device) -> None:
    """Run a kernel that training needs; an empty tensor launches none.

    It is one that MPS has only in newer versions of torch (pytorch #125098).

    Raises:
        InputError: The GPU has no kernels in this build of torch.
    """
    try:
        face, grid = torch.zeros(1, 1, 1, 1, device=device), torch.zeros(1, 1, 1, 2, device=device)
        grid_sample(face, grid, padding_mode="border", align_corners=False).item()
    except RuntimeError as error:
        if "no kernel image" not in str(error):
            raise
        raise InputError(
            f"{describe_gpu(device)}: torch {torch.__version__} has no kernels for it, only for "
            f"{', '.join(torch.cuda.get_arch_list())}; install a build that has (https://pytorch.org), or try "
            "FER_DEVICE=cpu"
        ) from error


def _reason(error: Exception) -> str:
    """Return why torch cannot use a device, in one line."""
    if "not compiled with CUDA" in str(error):
        return f"torch {torch.__version__} is built without CUDA; install a build with it from https://pytorch.org"
    return str(error).splitlines()[0]


def describe_gpu(device: torch.device) -> str:
    """Return name, memory and compute capability of a GPU."""
    gpu = torch.cuda.get_device_properties(device)
    return f"{gpu.name}, {gpu.total_memory / 1e9:.0f} GB, capability {gpu.major}.{gpu.minor}"


def unusable_gpu_warning() -> str | None:
    """Return a warning if this machine has an NVIDIA driver that torch cannot use, for example because it is too old.

    GPUs that `CUDA_VISIBLE_DEVICES` hides are not missed.
    """
    has_driver = NVIDIA_DRIVER.exists() or shutil.which("nvidia-smi") is not None
    if not has_driver or os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1"):
        return None
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return f"there is an NVIDIA driver, but the CPU is used ({_reason(error)}); FER_DEVICE=cpu hides this warning"
    return None


@cache
def _print_warning(text: str) -> None:
    """Print a warning, once for each text, in the first of several processes."""
    if os.environ.get("LOCAL_RANK", "0") == "0":
        print(f"warning: {text}", file=sys.stderr)


def to_device(network: nn.Module, device: torch.device | None = None) -> nn.Module:
    """Move `network` to `device` (None: `default_device()`), in channels-last format, which speeds up convolutions."""
    return network.to(device or default_device()).to(memory_format=torch.channels_last)


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[object]:
    """Return a context in which networks compute in `precision`, fp32 or bf16."""
    if precision == "fp32":
        return contextlib.nullcontext()
    _warn_if_bf16_is_slow(device)
    return torch.autocast(device.type, dtype=torch.bfloat16)


@cache
def _warn_if_bf16_is_slow(device: torch.device) -> None:
    if supports_bf16(device) is False:
        _print_warning(SLOW_BF16_WARNING)


def supports_bf16(device: torch.device) -> bool | None:
    """Return whether the CPU or GPU has bf16 instructions; None if that is not known."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= BF16_CAPABILITY
    if device.type != "cpu" or not CPU_INFO.is_file():
        return None
    return not BF16_INSTRUCTIONS.isdisjoint(CPU_INFO.read_text(encoding="utf-8").split())


def tune_convolutions() -> None:
    """Let cuDNN measure its algorithms once for each shape of a batch, unless torch has to be deterministic."""
    torch.backends.cudnn.benchmark = not torch.are_deterministic_algorithms_enabled()
