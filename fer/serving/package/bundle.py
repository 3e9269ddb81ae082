"""The loaded package: the networks of one round, applied to faces as its manifest says."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import nn

from fer.core.files import read_json
from fer.nn import weights
from fer.nn.devices import to_device
from fer.nn.inference import predict_logits
from fer.nn.weights import EnsembleMember
from fer.runtime.errors import InputError
from fer.serving.package.manifest import PackageManifest


@dataclass(frozen=True)
class ModelPackage:
    """A loaded package."""

    manifest: PackageManifest
    networks: Mapping[str, nn.Module]

    def __call__(self, faces: UInt8[np.ndarray, "n size size"], batch: int = 256) -> Float[np.ndarray, "n classes"]:
        """Return the probabilities of the package's emotions for each face, as its manifest combines them."""
        views, precision = self.manifest.views, self.manifest.precision
        return self.manifest.combine_logits({
            name: predict_logits(network, faces, views=views, batch=batch, precision=precision)
            for name, network in self.networks.items()
        })  # fmt: skip


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
