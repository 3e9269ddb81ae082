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
from fer.core.schema import Name, NotNegative, Positive, Section
from fer.nn import weights
from fer.nn.inference import logits, placed
from fer.nn.weights import Voter
from fer.predictions.calibration import probabilities
from fer.predictions.ensembles import vote
from fer.runtime.errors import InputError


class Bundle(Section):
    """`package.json`: how the networks, each in a folder of its name, turn faces into calibrated probabilities."""

    round: Annotated[int, Field(ge=0)]
    emotions: tuple[str, ...]
    size: weights.Side
    align: bool  # the faces were turned until their eyes were level
    views: Annotated[tuple[Literal["plain", "flip", "ten_crop"], ...], Field(min_length=1)]
    precision: Literal["fp32", "bf16"]
    vote: Annotated[dict[Name, Positive], Field(min_length=1)]  # network: weight
    temperatures: dict[Name, Positive]  # network: temperature
    thresholds: dict[str, NotNegative]  # emotion: confidence at or above which a prediction is accepted
    weights_sha256: dict[Name, str]

    @model_validator(mode="after")
    def _agree(self) -> "Bundle":
        if not self.vote.keys() == self.temperatures.keys() == self.weights_sha256.keys():
            raise ValueError("vote, temperatures and weights_sha256 name different networks")
        if tuple(self.thresholds) != self.emotions:
            raise ValueError("thresholds are not those of the emotions")
        return self

    @property
    def id(self) -> str:
        """Twelve characters that name this bundle: its weights and all that is said of them."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]


class Package:
    """A bundle, loaded."""

    def __init__(self, about: Bundle, networks: Mapping[str, nn.Module]) -> None:
        self.about = about
        self.networks = networks

    def __call__(self, faces: UInt8[np.ndarray, "n size size"], batch: int = 256) -> Float[np.ndarray, "n classes"]:
        """Calibrated probabilities of the bundle's emotions for each face."""
        probs = {
            name: probabilities(
                logits(network, faces, views=self.about.views, batch=batch, precision=self.about.precision),
                self.about.temperatures[name],
            )
            for name, network in self.networks.items()
        }
        return vote(probs, self.about.vote)


def write(about: Bundle, trained: Path, out: Path) -> None:
    """Write the bundle into the folder `out`, with the weights that are in `trained` / network."""
    for name in about.temperatures:
        (out / name).mkdir()
        for file in ("weights.safetensors", "model.json"):
            (out / name / file).write_bytes((trained / name / file).read_bytes())
    write_json(out / "package.json", about.model_dump())


def load(folder: Path, device: torch.device) -> Package:
    """The package in `folder`, on `device`.

    Raises:
        InputError: a file is missing, damaged or not the one that was packaged.
    """
    path = folder / "package.json"
    if not path.is_file():
        raise InputError(f"{folder}: no package there; `dvc repro package` writes one to data/package")
    try:
        content = read_json(path)
        about = Bundle(**content | {key: tuple(content[key]) for key in ("emotions", "views")})
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: damaged; write it again with `dvc repro package`") from error
    networks = {}
    try:
        for name in about.temperatures:
            if weights.weights_sha256(folder / name) != about.weights_sha256[name]:
                raise InputError(f"{folder / name}: not the weights that were packaged; run `dvc repro package`")
            networks[name] = placed(weights.load(folder / name, about.emotions, about.size)[0], device)
    except OSError as error:
        raise InputError(f"{error.filename}: {error.strerror}; write it again with `dvc repro package`") from error
    return Package(about, networks)


def strongest(package: Package) -> Voter:
    """Of the networks that vote the one with most weight, the first of equals."""
    about = package.about
    name = max(about.vote, key=lambda network: about.vote[network])
    return Voter(package.networks[name], f"{name}, round {about.round}", about.emotions)
