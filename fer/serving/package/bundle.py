"""The package: the networks of one round and the manifest needed to apply them to faces."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
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
from fer.nn.devices import to_device
from fer.nn.inference import predict_logits
from fer.nn.weights import EnsembleMember
from fer.predictions.calibration import compute_probs
from fer.predictions.ensembles import average_probs
from fer.runtime.errors import InputError


class PackageManifest(Section):
    """The content of `package.json`: how the networks turn faces into calibrated probabilities."""

    round: Annotated[int, Field(ge=0)]
    emotions: tuple[str, ...]
    size: weights.ImageSide
    align: bool  # whether faces are rotated until their eyes are level
    views: Annotated[tuple[Literal["plain", "flip", "ten_crop"], ...], Field(min_length=1)]
    precision: Literal["fp32", "bf16"]
    vote: Annotated[dict[Name, PositiveNumber], Field(min_length=1)]  # network: weight
    temperatures: dict[Name, PositiveNumber]  # network: temperature
    thresholds: dict[str, NonNegativeNumber]  # emotion: confidence at or above which a prediction is accepted
    weights_sha256: dict[Name, str]

    @model_validator(mode="after")
    def _check_consistency(self) -> "PackageManifest":
        if not self.vote.keys() == self.temperatures.keys() == self.weights_sha256.keys():
            raise ValueError("vote, temperatures and weights_sha256 name different networks")
        if tuple(self.thresholds) != self.emotions:
            raise ValueError("thresholds and emotions differ")
        return self

    @property
    def id(self) -> str:
        """Twelve characters that identify the manifest and, by their hashes, the weights."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]


@dataclass(frozen=True)
class ModelPackage:
    """A loaded package."""

    manifest: PackageManifest
    networks: Mapping[str, nn.Module]

    def __call__(self, faces: UInt8[np.ndarray, "n size size"], batch: int = 256) -> Float[np.ndarray, "n classes"]:
        """Return the calibrated probabilities of the package's emotions for each face."""
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
    """Write the package into the folder `out`, with the weights of `weights_folder` / network."""
    for name in manifest.temperatures:
        (out / name).mkdir()
        for file in ("weights.safetensors", "model.json"):
            (out / name / file).write_bytes((weights_folder / name / file).read_bytes())
    write_json(out / "package.json", manifest.model_dump())


def load_package(folder: Path, device: torch.device) -> ModelPackage:
    """Return the package in `folder`, on `device`.

    Raises:
        InputError: A file is missing, damaged or not the one that was packaged.
    """
    path = folder / "package.json"
    if not path.is_file():
        raise InputError(f"{folder}: no package there; `dvc repro package` writes one to data/package")
    try:
        content = read_json(path)
        manifest = PackageManifest(**content | {key: tuple(content[key]) for key in ("emotions", "views")})
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: damaged; write it again with `dvc repro package`") from error
    networks = {}
    try:
        for name in manifest.temperatures:
            if weights.hash_weights(folder / name) != manifest.weights_sha256[name]:
                raise InputError(f"{folder / name}: not the weights that were packaged; run `dvc repro package`")
            network, _ = weights.load_model(folder / name, manifest.emotions, manifest.size)
            networks[name] = to_device(network, device)
    except OSError as error:
        raise InputError(f"{error.filename}: {error.strerror}; write it again with `dvc repro package`") from error
    return ModelPackage(manifest, networks)


def strongest_member(package: ModelPackage) -> EnsembleMember:
    """Return the network with the largest weight in the ensemble, the first of equals."""
    manifest = package.manifest
    name = max(manifest.vote, key=manifest.vote.__getitem__)
    return EnsembleMember(package.networks[name], f"{name}, round {manifest.round}", manifest.emotions)
