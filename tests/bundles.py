"""A package of a small network that was never trained, for tests that use one."""

from pathlib import Path

import torch

from fer.nn import weights
from fer.serving.package import bundle

EMOTIONS = ("angry", "happy")


def write_package(folder: Path, *, align: bool = False, thresholds: tuple[float, float] = (0.0, 2.0)) -> Path:
    """Write a package of two emotions at 16 pixels, of which by default only the first is ever accepted."""
    facts = weights.ModelConfig(network="simple_cnn", emotions=EMOTIONS, size=16, dropout=0.1, input_px=None)
    trained = folder.with_name(f"{folder.name}-trained")
    (trained / "simple_cnn").mkdir(parents=True)
    torch.manual_seed(0)
    weights.save_model(facts.build(), facts, trained / "simple_cnn")
    about = bundle.PackageManifest(
        round=1,
        emotions=EMOTIONS,
        size=16,
        align=align,
        views=("plain",),
        precision="fp32",
        vote={"simple_cnn": 1.0},
        temperatures={"simple_cnn": 1.0},
        thresholds=dict(zip(EMOTIONS, thresholds, strict=True)),
        weights_sha256={"simple_cnn": weights.hash_weights(trained / "simple_cnn")},
    )
    folder.mkdir()
    bundle.save_package(about, trained, folder)
    return folder
