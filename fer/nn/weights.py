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
from fer.core.schema import FractionBelowOne, Name, Section
from fer.nn.names import NETWORKS
from fer.runtime.errors import InputError, is_out_of_memory

NETWORK_NAMES = NETWORKS  # found as files, so that adding one does not touch a file that the others depend on

PIXEL_MEAN, PIXEL_STD = 0.5077, 0.2550  # of FER-2013's pixels in 0..1


ImageSide = Annotated[int, Field(ge=8, le=512)]


class ModelConfig(Section):
    """What must be known to use a folder's weights."""

    network: Name
    emotions: Annotated[tuple[str, ...], Field(min_length=2)]
    size: ImageSide  # of a face, in pixels
    dropout: FractionBelowOne
    input_px: ImageSide | None  # side to which a transfer network resizes faces; None: it takes them as they are


def build_model(config: ModelConfig) -> nn.Module:
    """The network of `config`, with fresh weights from torch's global generator.

    Raises:
        InputError: there is no such network.
    """
    if config.network not in NETWORK_NAMES:
        raise InputError(f"network {config.network!r} is unknown; fer/models has {', '.join(NETWORK_NAMES)}")
    module = importlib.import_module(f"fer.models.{config.network}")
    network: nn.Module = module.build(len(config.emotions), config.input_px or config.size, config.dropout)
    if config.input_px and not hasattr(network, "backbone"):
        raise InputError(f"networks.{config.network} has `transfer`, but this network begins without other weights")
    return network


def normalize_faces(faces: Float[Tensor, "n size size"]) -> Float[Tensor, "n 1 size size"]:
    """Faces in 0..1, centred and scaled as every network expects them."""
    return ((faces - PIXEL_MEAN) / PIXEL_STD)[:, None]


def set_trainable_layers(network: nn.Module, layers: str) -> None:
    """Let "all" layers of a transfer network learn, or its "head" alone."""
    for parameter in network.get_submodule("backbone").parameters():
        parameter.requires_grad_(layers == "all")


def save_model(network: nn.Module, config: ModelConfig, folder: Path) -> None:
    """Write `weights.safetensors` and `model.json` into `folder`, which exists."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}
    save_tensors(tensors, folder / "weights.safetensors")
    write_json(folder / "model.json", config.model_dump())


def save_tensors(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """`save_file` of safetensors.

    Raises:
        OSError: the disk is full, for example.
    """
    try:
        save_file(tensors, path, metadata)
    except SafetensorError as error:  # whose errors are no OSError
        raise OSError(errno.EIO, str(error), str(path)) from error


def load_model(folder: Path, emotions: Sequence[str], size: int) -> tuple[nn.Module, ModelConfig]:
    """The network in `folder`, on the CPU, in evaluation mode.

    Raises:
        InputError: the files are missing or damaged, or the network was trained for other emotions or another size.
    """
    facts = read_model_config(folder)
    if (list(facts.emotions), facts.size) != (list(emotions), size):
        raise InputError(
            f"{folder}: trained for {', '.join(facts.emotions)} at {facts.size} pixels, but asked for "
            f"{', '.join(emotions)} at {size}; train it again with `dvc repro`"
        )
    with torch.device("meta"):  # takes no memory, whatever size the facts tell
        _check_weights_file(build_model(facts), folder / "weights.safetensors")
    network = build_model(facts)
    load_weights(network, folder)
    return network.eval(), facts


def _check_weights_file(network: nn.Module, path: Path) -> None:
    """Raise an `InputError` unless the file says that it has the weights of such a network."""
    wanted = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    try:
        with safe_open(path, framework="pt") as file:
            found = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, RuntimeError) as error:
        if is_out_of_memory(error):
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
        if is_out_of_memory(error):
            raise MemoryError(f"to load {path}") from error
        raise InputError(
            f"{path}: damaged, or not the weights of this network ({str(error).splitlines()[0]})"
        ) from error


def load_teacher_weights(network: nn.Module, network_name: str, models: Path, pseudo_labels: Path) -> None:
    """Fill `network` with the weights that `network_name` had in the round that gave the pseudo-labels.

    Raises:
        InputError: those weights are not the ones that voted.
    """
    given = read_json(pseudo_labels / "summary.json")
    folder = models / str(given["teacher"]) / network_name
    if hash_weights(folder) != given["weights_sha256"].get(network_name):
        raise InputError(f"{folder}: not the weights that gave {pseudo_labels}; run `dvc repro`")
    load_weights(network, folder)


def read_model_config(folder: Path) -> ModelConfig:
    path = folder / "model.json"
    try:
        content: dict[str, Any] = read_json(path)
        return ModelConfig(**(content | {"emotions": tuple(content["emotions"])}))
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: damaged; train it again with `dvc repro`") from error


def hash_weights(folder: Path) -> str:
    """The hash that names these weights wherever they were used."""
    with (folder / "weights.safetensors").open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def count_parameters(network: nn.Module) -> tuple[int, int]:
    """Parameters as PyTorch counts them, and as Keras does, which adds the running mean and variance of batch norm."""
    learned = sum(parameter.numel() for parameter in network.parameters())
    running = sum(
        buffer.numel() for name, buffer in network.named_buffers() if name.endswith(("running_mean", "running_var"))
    )
    return learned, learned + running


@dataclass(frozen=True)
class EnsembleMember:
    """The network that is explained, what it is called, and the emotions of its logits."""

    network: nn.Module
    name: str
    emotions: tuple[str, ...]
