"""The networks: one file each, found by name, and how their weights are kept.

A file `fer/models/<name>.py` has `build(classes, size, dropout) -> nn.Module`, a network from faces (n, 1, size, size),
as `as_input` makes them, to logits (n, classes).
"""

import errno
import hashlib
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from jaxtyping import Float
from pydantic import Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from fer.core.files import read_json, write_json
from fer.core.schema import BelowOne, Name, Section
from fer.nn.names import NETWORKS
from fer.runtime.errors import InputError, lacks_memory

NAMES = NETWORKS  # found as files, so that adding one does not touch a file that the others depend on

MEAN, DEVIATION = 0.5077, 0.2550  # of FER-2013's pixels in 0..1


Side = Annotated[int, Field(ge=8, le=512)]


class Facts(Section):
    """What must be known to use a folder's weights."""

    network: Name
    emotions: Annotated[tuple[str, ...], Field(min_length=2)]
    size: Side  # of a face, in pixels
    dropout: BelowOne
    input_px: Side | None  # side to which a transfer network resizes faces; None: it takes them as they are


def build(facts: Facts) -> nn.Module:
    """The network of `facts`, with fresh weights from torch's global generator.

    Raises:
        InputError: there is no such network.
    """
    if facts.network not in NAMES:
        raise InputError(f"network {facts.network!r} is unknown; fer/models has {', '.join(NAMES)}")
    module = importlib.import_module(f"fer.nn.weights.{facts.network}")
    network: nn.Module = module.build(len(facts.emotions), facts.input_px or facts.size, facts.dropout)
    if facts.input_px and not hasattr(network, "backbone"):
        raise InputError(f"networks.{facts.network} has `transfer`, but this network begins without other weights")
    return network


def as_input(faces: Float[Tensor, "n size size"]) -> Float[Tensor, "n 1 size size"]:
    """Faces in 0..1, centred and scaled as every network expects them."""
    return ((faces - MEAN) / DEVIATION)[:, None]


def unfreeze(network: nn.Module, layers: str) -> None:
    """Let "all" layers of a transfer network learn, or its "head" alone."""
    for parameter in network.get_submodule("backbone").parameters():
        parameter.requires_grad_(layers == "all")


def save(network: nn.Module, facts: Facts, folder: Path) -> None:
    """Write `weights.safetensors` and `model.json` into `folder`, which exists."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}
    save_tensors(tensors, folder / "weights.safetensors")
    write_json(folder / "model.json", facts.model_dump())


def save_tensors(tensors: dict[str, Tensor], path: Path, about: dict[str, str] | None = None) -> None:
    """`save_file` of safetensors.

    Raises:
        OSError: the disk is full, for example.
    """
    try:
        save_file(tensors, path, about)
    except SafetensorError as error:  # whose errors are no OSError
        raise OSError(errno.EIO, str(error), str(path)) from error


def load(folder: Path, emotions: Sequence[str], size: int) -> tuple[nn.Module, Facts]:
    """The network in `folder`, on the CPU, in evaluation mode.

    Raises:
        InputError: the files are missing or damaged, or the network was trained for other emotions or another size.
    """
    facts = read_facts(folder)
    if (list(facts.emotions), facts.size) != (list(emotions), size):
        raise InputError(
            f"{folder}: trained for {', '.join(facts.emotions)} at {facts.size} pixels, but asked for "
            f"{', '.join(emotions)} at {size}; train it again with `dvc repro`"
        )
    with torch.device("meta"):  # takes no memory, whatever size the facts tell
        _check(build(facts), folder / "weights.safetensors")
    network = build(facts)
    load_weights(network, folder)
    return network.eval(), facts


def _check(network: nn.Module, path: Path) -> None:
    """Raise an `InputError` unless the file says that it has the weights of such a network."""
    wanted = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    try:
        with safe_open(path, framework="pt") as file:
            found = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, RuntimeError) as error:
        if lacks_memory(error):
            raise MemoryError(f"to map {path}") from error
        raise InputError(f"{path}: damaged ({str(error).splitlines()[0]})") from error
    if wrong := sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)):
        name = wrong[0]
        raise InputError(
            f"{path}: damaged, or not the weights of this network ({name}: {found.get(name)}, not {wanted.get(name)})"
        )


def load_weights(network: nn.Module, folder: Path) -> None:
    """Fill `network` with the weights in `folder`.

    Raises:
        InputError: the file is missing, damaged or of another network.
    """
    path = folder / "weights.safetensors"
    try:
        network.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        if lacks_memory(error):
            raise MemoryError(f"to load {path}") from error
        raise InputError(
            f"{path}: damaged, or not the weights of this network ({str(error).splitlines()[0]})"
        ) from error


def load_teacher(network: nn.Module, name: str, models: Path, pseudo_labels: Path) -> None:
    """Fill `network` with the weights that `name` had in the round that gave the pseudo-labels.

    Raises:
        InputError: those weights are not the ones that voted.
    """
    given = read_json(pseudo_labels / "summary.json")
    folder = models / str(given["teacher"]) / name
    if weights_sha256(folder) != given["weights_sha256"].get(name):
        raise InputError(f"{folder}: not the weights that gave {pseudo_labels}; run `dvc repro`")
    load_weights(network, folder)


def read_facts(folder: Path) -> Facts:
    path = folder / "model.json"
    try:
        content: dict[str, Any] = read_json(path)
        return Facts(**(content | {"emotions": tuple(content["emotions"])}))
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: damaged; train it again with `dvc repro`") from error


def weights_sha256(folder: Path) -> str:
    """The hash that names these weights wherever they were used."""
    with (folder / "weights.safetensors").open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def parameter_counts(network: nn.Module) -> tuple[int, int]:
    """Parameters as PyTorch counts them, and as Keras does, which adds the running mean and variance of batch norm."""
    learned = sum(parameter.numel() for parameter in network.parameters())
    running = sum(
        buffer.numel() for name, buffer in network.named_buffers() if name.endswith(("running_mean", "running_var"))
    )
    return learned, learned + running


@dataclass(frozen=True)
class Voter:
    """The network that is explained, what it is called, and the emotions of its logits."""

    network: nn.Module
    name: str
    emotions: tuple[str, ...]
