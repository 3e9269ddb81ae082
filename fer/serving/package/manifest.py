"""The manifest of a package, and the folder that it describes."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float
from pydantic import Field, model_validator

from fer.core.files import write_json
from fer.core.schema import ImageSide, Name, NonNegativeNumber, PositiveNumber, Section
from fer.predictions.calibration import compute_probs
from fer.predictions.ensembles import average_probs
from fer.predictions.prior import apply_prior_factors


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
    # emotion: factor that corrects predictions to the class frequencies of the validation fold; None: not corrected
    prior_factors: dict[str, PositiveNumber] | None = None
    thresholds: dict[str, NonNegativeNumber]  # emotion: confidence at or above which a prediction is accepted
    weights_sha256: dict[Name, str]

    @model_validator(mode="after")
    def _check_consistency(self) -> "PackageManifest":
        if not self.vote.keys() == self.temperatures.keys() == self.weights_sha256.keys():
            raise ValueError("vote, temperatures and weights_sha256 name different networks")
        if tuple(self.thresholds) != self.emotions:
            raise ValueError("thresholds and emotions differ")
        if self.prior_factors is not None and tuple(self.prior_factors) != self.emotions:
            raise ValueError("prior_factors and emotions differ")
        return self

    @property
    def id(self) -> str:
        """Twelve characters that identify the manifest and, by their hashes, the weights."""
        return hashlib.sha256(self.model_dump_json(exclude_none=True).encode()).hexdigest()[:12]

    def combine_logits(
        self, logits: Mapping[str, Float[np.ndarray, "n views classes"]]
    ) -> Float[np.ndarray, "n classes"]:
        """Return the probabilities of the package: calibrated, averaged over the networks, corrected to the prior."""
        probs = {name: compute_probs(logits[name], temperature) for name, temperature in self.temperatures.items()}
        ensemble_probs = average_probs(probs, self.vote)
        if self.prior_factors is None:
            return ensemble_probs
        return apply_prior_factors(ensemble_probs, np.array(list(self.prior_factors.values())))


def save_package(manifest: PackageManifest, weights_folder: Path, out: Path) -> None:
    """Write the package into the folder `out`, with the weights of `weights_folder` / network."""
    for name in manifest.temperatures:
        (out / name).mkdir()
        for file in ("weights.safetensors", "model.json"):
            (out / name / file).write_bytes((weights_folder / name / file).read_bytes())
    write_json(out / "package.json", manifest.model_dump(exclude_none=True))
