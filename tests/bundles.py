"""A package with a small untrained network, for tests that load a package."""

from pathlib import Path

import torch

from fer.nn import weights
from fer.serving.package.manifest import PackageManifest, save_package

EMOTIONS = ("angry", "happy")


def write_package(
    folder: Path,
    *,
    align: bool = False,
    thresholds: tuple[float, float] = (0.0, 2.0),
    prior_factors: dict[str, float] | None = None,
) -> Path:
    """Write a package with two emotions and faces of 16 pixels; by default only the first emotion is accepted."""
    config = weights.ModelConfig(network="simple_cnn", emotions=EMOTIONS, size=16, dropout=0.1, input_px=None)
    weights_folder = folder.with_name(f"{folder.name}-trained")
    (weights_folder / "simple_cnn").mkdir(parents=True)
    torch.manual_seed(0)
    weights.save_model(config.build(), config, weights_folder / "simple_cnn")
    manifest = PackageManifest(
        round=1,
        emotions=EMOTIONS,
        size=16,
        align=align,
        views=("plain",),
        precision="fp32",
        vote={"simple_cnn": 1.0},
        temperatures={"simple_cnn": 1.0},
        prior_factors=prior_factors,
        thresholds=dict(zip(EMOTIONS, thresholds, strict=True)),
        weights_sha256={"simple_cnn": weights.hash_weights(weights_folder / "simple_cnn")},
    )
    folder.mkdir()
    save_package(manifest, weights_folder, folder)
    return folder
