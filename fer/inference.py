"""From faces to logits: the device and the numbers' precision, and prediction over stored faces."""

import contextlib
import os
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import nn
from tqdm import tqdm

from fer.errors import InputError
from fer.models import as_input

VIEWS = {
    "plain": lambda faces: faces,
    "flip": lambda faces: faces.flip(-1),
}


def device() -> torch.device:
    """The device to compute on: `FER_DEVICE` where it is set, else the GPU if there is one, else the CPU."""
    wanted = os.environ.get("FER_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(wanted)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"FER_DEVICE is {wanted!r}, which this machine can't use; try cpu ({str(error).splitlines()[0]})"
        ) from error
    return found


def computing(where: torch.device, precision: str) -> contextlib.AbstractContextManager[object]:
    """A context in which networks compute in `precision`, fp32 or bf16."""
    return torch.autocast(where.type, dtype=torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()


@torch.inference_mode()
def logits(
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
    parts = []
    starts = range(0, len(faces), batch)
    for start in tqdm(starts, desc=progress, unit="batch", disable=None if progress else True, leave=False):
        pixels = torch.from_numpy(np.array(faces[start : start + batch])).to(where).float() / 255
        with computing(where, precision):
            seen = [network(as_input(VIEWS[view](pixels))).float() for view in views]
        parts.append(torch.stack(seen, dim=1))
    if not parts:
        return np.zeros((0, len(views), _classes(network)), dtype=np.float32)
    return torch.cat(parts).cpu().numpy()


def _classes(network: nn.Module) -> int:
    return [layer for layer in network.modules() if isinstance(layer, nn.Linear)][-1].out_features
