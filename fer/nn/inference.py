"""From faces to logits: the device and the numbers' precision, and prediction over stored faces."""

import contextlib
import os
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.functional import interpolate
from tqdm import tqdm

from fer.nn.weights import normalize_faces
from fer.runtime.errors import InputError

BF16_INSTRUCTIONS = {"avx512_bf16", "amx_bf16", "bf16"}  # the last on ARM
SLOW_BF16_WARNING = "precision is bf16, but the processor has no instructions for it: fp32 may be faster"
CPU_BATCH = 32  # faces, on a processor: their maps stay in its cache, and prediction is up to twice as fast
CROP_MARGIN = 1 / 24  # of the side, around a central crop: 44 of 48 pixels remain, as is usual with FER-2013


def make_views(faces: Float[Tensor, "n size size"], views: Sequence[str]) -> dict[str, Float[Tensor, "n size size"]]:
    """The faces as each of `views` shows them, by name.

    plain: as they are; flip: in the mirror; ten_crop: the corners, the centre and the mirror images of these, each
    enlarged to the size of the face (Krizhevsky et al. 2012).
    """
    shown = {}
    for view in views:
        match view:
            case "plain":
                shown["plain"] = faces
            case "flip":
                shown["flip"] = faces.flip(-1)
            case "ten_crop":
                for name, crop in _make_crops(faces).items():
                    shown |= {name: crop, f"{name} flipped": crop.flip(-1)}
    return shown


def view_names(views: Sequence[str]) -> list[str]:
    """The names of what `views` show, in the order of `logits`."""
    return list(make_views(torch.zeros(1, 12, 12), views))


def _make_crops(faces: Float[Tensor, "n size size"]) -> dict[str, Float[Tensor, "n size size"]]:
    size = faces.shape[-1]
    middle = max(1, round(CROP_MARGIN * size))
    last, side = 2 * middle, size - 2 * middle
    corners = {
        "top left": (0, 0),
        "top right": (0, last),
        "bottom left": (last, 0),
        "bottom right": (last, last),
        "centre": (middle, middle),
    }
    return {
        name: interpolate(faces[:, None, y : y + side, x : x + side], size=(size, size), mode="bilinear")[:, 0]
        for name, (y, x) in corners.items()
    }


def default_device() -> torch.device:
    """The device to compute on: `FER_DEVICE` where it is set, else the GPU if there is one, else the CPU."""
    wanted = os.environ.get("FER_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(wanted)
        if found == torch.device("cuda") and "LOCAL_RANK" in os.environ:  # each of several processes takes its own
            found = torch.device("cuda", int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"FER_DEVICE is {wanted!r}, which this machine can't use; try cpu ({str(error).splitlines()[0]})"
        ) from error
    return found


def to_device(network: nn.Module, where: torch.device | None = None) -> nn.Module:
    """`network` on `where`, or else on `device()`, with the channels last in memory: convolutions are faster so."""
    return network.to(where or default_device()).to(memory_format=torch.channels_last)


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[object]:
    """A context in which networks compute in `precision`, fp32 or bf16."""
    if precision == "fp32":
        return contextlib.nullcontext()
    if device.type == "cpu":
        warn_if_bf16_is_slow()
    return torch.autocast(device.type, dtype=torch.bfloat16)


@cache
def warn_if_bf16_is_slow() -> None:
    """Say so, once, if this processor has no instructions for bf16."""
    if not supports_bf16(Path("/proc/cpuinfo")):
        print(f"warning: {SLOW_BF16_WARNING}", file=sys.stderr)


def supports_bf16(cpuinfo: Path) -> bool:
    """Whether the processor that `cpuinfo` describes, as Linux's /proc/cpuinfo does, has instructions for bf16.

    Without that file nobody knows, and nobody need be warned.
    """
    return not cpuinfo.is_file() or not BF16_INSTRUCTIONS.isdisjoint(cpuinfo.read_text(encoding="utf-8").split())


@torch.inference_mode()
def predict_logits(
    network: nn.Module,
    faces: UInt8[np.ndarray, "n size size"],
    *,
    views: Sequence[str],
    batch: int,
    precision: str,
    progress: str | None = None,
) -> Float[np.ndarray, "n views classes"]:
    """What `network` says of every face, seen in each of `views`; float32, on the host.

    `faces` may be memory-mapped: a batch at a time is read. With `progress`, a bar of that name is shown on a terminal.
    """
    where = next(network.parameters()).device
    network.eval()
    classes = network(normalize_faces(torch.zeros(1, *faces.shape[1:], device=where))).shape[1]
    said = torch.zeros(len(faces), len(view_names(views)), classes, device=where)
    starts = range(0, len(faces), batch)
    for start in tqdm(starts, desc=progress, unit="batch", disable=None if progress else True, leave=False):
        pixels = torch.from_numpy(np.array(faces[start : start + batch])).to(where)
        said[start : start + batch] = predict_batch(network, pixels, views, precision)
    return said.cpu().numpy()


@torch.inference_mode()
def predict_batch(
    network: nn.Module, faces: UInt8[Tensor, "n size size"], views: Sequence[str], precision: str
) -> Float[Tensor, "n views classes"]:
    """What `network`, in evaluation mode, says of a batch of faces on its device; float32, there."""
    parts = faces.split(CPU_BATCH) if faces.device.type == "cpu" else [faces]
    said = []
    with autocast(faces.device, precision):
        for part in parts:
            shown = make_views(part.float() / 255, views).values()
            said.append(torch.stack([network(normalize_faces(view)).float() for view in shown], dim=1))
    return torch.cat(said)
