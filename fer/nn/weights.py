"""Build networks by name, and save and load their weights.

A file `fer/models/<name>.py` has `build(n_classes, size, dropout) -> nn.Module`. The network maps faces (n, 1, size,
size), as `normalize_faces` returns them, to logits (n, n_classes).
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
from fer.core.schema import FractionBelowOne, ImageSide, Name, Section
from fer.nn.names import NETWORKS
from fer.runtime.errors import InputError, is_out_of_memory

PIXEL_MEAN, PIXEL_STD = 0.5077, 0.2550  # of FER-2013's pixels in 0..1


class ModelConfig(Section):
    """The description of a trained network, stored beside its weights."""

    network: Name
    replica: Annotated[int, Field(ge=0)] = 0  # an older package has none
    emotions: Annotated[tuple[str, ...], Field(min_length=2)]
    size: ImageSide  # of a face, in pixels
    dropout: FractionBelowOne
    input_px: ImageSide | None  # side to which a transfer network resizes faces; None: no resizing

    def build(self) -> nn.Module:
        """Return the network with new random weights, see `build_model`."""
        return build_model(self.network, len(self.emotions), self.size, self.dropout, self.input_px)


def list_models() -> list[str]:
    """Return the names that `build_model` knows."""
    return list(NETWORKS)


def build_model(name: str, n_classes: int, size: int, dropout: float = 0.1, input_px: int | None = None) -> nn.Module:
    """Return the network `name` with new random weights from torch's global generator; see `ModelConfig`.

    Raises:
        InputError: The network does not exist, or has `input_px` without being a transfer network.
    """
    if name not in NETWORKS:
        raise InputError(f"unknown network {name!r}; choose one of {', '.join(NETWORKS)}")
    network: nn.Module = importlib.import_module(f"fer.models.{name}").build(n_classes, input_px or size, dropout)
    if input_px and not hasattr(network, "backbone"):
        raise InputError(f"networks.{name}: `transfer` is set, but {name} has no ImageNet weights; remove `transfer`")
    return network


def normalize_faces(faces: Float[Tensor, "n size size"]) -> Float[Tensor, "n 1 size size"]:
    """Return faces in 0..1 as the input of a network: standardised, with a channel axis."""
    return ((faces - PIXEL_MEAN) / PIXEL_STD)[..., None].permute(0, 3, 1, 2)


def set_trainable_layers(network: nn.Module, layers: str) -> None:
    """Make "all" layers of a transfer network trainable, or only its "head"."""
    for parameter in network.get_submodule("backbone").parameters():
        parameter.requires_grad_(layers == "all")


def save_model(network: nn.Module, config: ModelConfig, folder: Path) -> None:
    """Write `weights.safetensors` and `model.json` into an existing folder."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}
    save_tensors(tensors, folder / "weights.safetensors")
    write_json(folder / "model.json", config.model_dump())


def save_tensors(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file.

    Raises:
        OSError: The disk is full, for example.
    """
    try:
        save_file(tensors, path, metadata)
    except SafetensorError as error:  # not an OSError
        raise OSError(errno.EIO, str(error), str(path)) from error


def load_model(folder: Path, emotions: Sequence[str], size: int) -> tuple[nn.Module, ModelConfig]:
    """Return the network in `folder`, on the CPU and in evaluation mode, and its description.

    Raises:
        InputError: A file is missing or damaged, or the network was trained for other emotions or another size.
    """
    config = read_model_config(folder)
    if (list(config.emotions), config.size) != (list(emotions), size):
        raise InputError(
            f"{folder}: trained for {', '.join(config.emotions)} at {config.size} pixels, not for "
            f"{', '.join(emotions)} at {size}; train it again with `dvc repro`"
        )
    with torch.device("meta"):  # allocates nothing, whatever size a damaged description has
        _check_weights_file(config.build(), folder / "weights.safetensors")
    network = config.build()
    load_weights(network, folder)
    return network.eval(), config


def _check_weights_file(network: nn.Module, path: Path) -> None:
    """Raise an `InputError` unless the header of the file lists the tensors of `network`."""
    expected = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    try:
        with safe_open(path, framework="pt") as file:
            actual = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise MemoryError(f"to map {path}") from error
        raise InputError(f"{path}: damaged ({str(error).splitlines()[0]})") from error
    if wrong := sorted(name for name in expected.keys() | actual.keys() if expected.get(name) != actual.get(name)):
        shapes = f"{wrong[0]}: {actual.get(wrong[0])}, not {expected.get(wrong[0])}"
        raise InputError(f"{path}: damaged, or not the weights of this network ({shapes})")


def load_weights(network: nn.Module, folder: Path) -> None:
    """Load the weights in `folder` into `network`.

    Raises:
        InputError: The file is missing, damaged or of another network.
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


def load_teacher_weights(network: nn.Module, member: str, models: Path, pseudo_labels: Path) -> None:
    """Load the weights of `member` in the teacher round of the pseudo-labels into `network`.

    Raises:
        InputError: The pseudo-labels were made with other weights.
    """
    summary = read_json(pseudo_labels / "summary.json")
    folder = models / str(summary["teacher"]) / member
    if hash_weights(folder) != summary["weights_sha256"].get(member):
        raise InputError(f"{folder}: not the weights that made {pseudo_labels}; run `dvc repro`")
    load_weights(network, folder)


def read_model_config(folder: Path) -> ModelConfig:
    """Return the description of the network in `folder`, or raise an `InputError` if it is damaged."""
    path = folder / "model.json"
    try:
        content: dict[str, Any] = read_json(path)
        return ModelConfig(**(content | {"emotions": tuple(content["emotions"])}))
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: damaged; train it again with `dvc repro`") from error


def hash_weights(folder: Path) -> str:
    """Return the SHA-256 of the weights file, which identifies the weights in other files."""
    with (folder / "weights.safetensors").open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def count_parameters(network: nn.Module) -> tuple[int, int]:
    """Return the number of parameters in PyTorch, and in Keras, which adds running mean and variance of batch norm."""
    learnable = sum(parameter.numel() for parameter in network.parameters())
    running = sum(
        buffer.numel() for name, buffer in network.named_buffers() if name.endswith(("running_mean", "running_var"))
    )
    return learnable, learnable + running


@dataclass(frozen=True)
class EnsembleMember:
    """A trained network, its display name, and the emotions of its logits."""

    network: nn.Module
    name: str
    emotions: tuple[str, ...]
