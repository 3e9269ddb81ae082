"""The bundle that is shipped: the networks of one round, and all that is needed to use them on a face."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from pydantic import Field, model_validator
from torch import nn

from fer.core.files import read_json, write_json
from fer.core.schema import Name, NonNegativeNumber, PositiveNumber, Section
from fer.nn import weights
from fer.nn.inference import predict_logits, to_device
from fer.nn.weights import EnsembleMember
from fer.predictions.calibration import compute_probs
from fer.predictions.ensembles import average_probs
from fer.runtime.errors import InputError


class PackageManifest(Section):
    """`package.json`: how the networks, each in a folder of its name, turn faces into calibrated probabilities."""

    round: Annotated[int, Field(ge=0)]
    emotions: tuple[str, ...]
    size: weights.ImageSide
    align: bool  # the faces were turned until their eyes were level
    views: Annotated[tuple[Literal["plain", "flip", "ten_crop"], ...], Field(min_length=1)]
    precision: Literal["fp32", "bf16"]
    vote: Annotated[dict[Name, PositiveNumber], Field(min_length=1)]  # network: weight
    temperatures: dict[Name, PositiveNumber]  # network: temperature
    thresholds: dict[str, NonNegativeNumber]  # emotion: confidence at or above which a prediction is accepted
    weights_sha256: dict[Name, str]

    @model_validator(mode="after")
    def _agree(self) -> "PackageManifest":
        if not self.vote.keys() == self.temperatures.keys() == self.weights_sha256.keys():
            raise ValueError("vote, temperatures and weights_sha256 name different networks")
        if tuple(self.thresholds) != self.emotions:
            raise ValueError("thresholds are not those of the emotions")
        return self

    @property
    def id(self) -> str:
        """Twelve characters that name this bundle: its weights and all that is said of them."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]


class ModelPackage:
    """A bundle, loaded."""

    def __init__(self, manifest: PackageManifest, networks: Mapping[str, nn.Module]) -> None:
        self.manifest = manifest
        self.networks = networks

    def __call__(self, faces: UInt8[np.ndarray, "n size size"], batch: int = 256) -> Float[np.ndarray, "n classes"]:
        """Calibrated probabilities of the bundle's emotions for each face."""
        probs = {
            name: compute_probs(
                predict_logits(
                    network, faces, views=self.manifest.views, batch=batch, precision=self.manifest.precision
                ),
                self.manifest.temperatures[name],
            )
            for name, network in self.networks.items()
        }
        return average_probs(probs, self.manifest.vote)


def save_package(manifest: PackageManifest, weights_folder: Path, out: Path) -> None:
    """Write the bundle into the folder `out`, with the weights that are in `weights_folder` / network."""
    for name in manifest.temperatures:
        (out / name).mkdir()
        for file in ("weights.safetensors", "model.json"):
            (out / name / file).write_bytes((weights_folder / name / file).read_bytes())
    write_json(out / "package.json", manifest.model_dump())


def load_package(folder: Path, device: torch.device) -> ModelPackage:
    """The package in `folder`, on `device`.

    Raises:
        InputError: a file is missing, damaged or not the one that was packaged.
    """
    path = folder / "package.json"
    if not path.is_file():
        raise InputError(f"{folder}: no package there; `dvc repro package` writes one to data/package")
    try:
        content = read_json(path)
        about = PackageManifest(**content | {key: tuple(content[key]) for key in ("emotions", "views")})
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: damaged; write it again with `dvc repro package`") from error
    networks = {}
    try:
        for name in about.temperatures:
            if weights.hash_weights(folder / name) != about.weights_sha256[name]:
                raise InputError(f"{folder / name}: not the weights that were packaged; run `dvc repro package`")
            networks[name] = to_device(weights.load_model(folder / name, about.emotions, about.size)[0], device)
    except OSError as error:
        raise InputError(f"{error.filename}: {error.strerror}; write it again with `dvc repro package`") from error
    return ModelPackage(about, networks)


def strongest_member(package: ModelPackage) -> EnsembleMember:
    """Of the networks that vote the one with most weight, the first of equals."""
    about = package.manifest
    name = max(about.vote, key=lambda network: about.vote[network])
    return EnsembleMember(package.networks[name], f"{name}, round {about.round}", about.emotions)
