"""The manifest of a package, and the folder that it describes."""

import hashlib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from fer.core.files import write_json
from fer.core.schema import ImageSide, Name, NonNegativeNumber, PositiveNumber, Section


class PackageManifest(Section):
    """The content of `package.json`: how the networks turn faces into calibrated probabilities."""

    round: Annotated[int, Field(ge=0)]
    emotions: tuple[str, ...]
    size: ImageSide
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


def save_package(manifest: PackageManifest, weights_folder: Path, out: Path) -> None:
    """Write the package into the folder `out`, with the weights of `weights_folder` / network."""
    for name in manifest.temperatures:
        (out / name).mkdir()
        for file in ("weights.safetensors", "model.json"):
            (out / name / file).write_bytes((weights_folder / name / file).read_bytes())
    write_json(out / "package.json", manifest.model_dump())
