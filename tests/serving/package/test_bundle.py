"""A package averages its calibrated networks, and damaged packages are not loaded."""

import hashlib
import json
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fer.nn import weights as nn_weights
from fer.nn.inference import predict_logits
from fer.predictions.calibration import compute_probs
from fer.predictions.ensembles import average_probs
from fer.predictions.prior import apply_prior_factors
from fer.runtime.errors import InputError
from fer.serving.package import bundle
from fer.serving.package.manifest import PackageManifest, save_package

EMOTIONS = ("angry", "happy")
NETWORKS = ("simple_cnn", "mini_vgg_no_fc")
CPU = torch.device("cpu")
FACES = np.random.default_rng(0).integers(0, 256, (5, 16, 16), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write a package of two networks, of which the second has three times the weight, and return its folder."""
    for seed, name in enumerate(NETWORKS):
        torch.manual_seed(seed)
        config = nn_weights.ModelConfig(network=name, emotions=EMOTIONS, size=16, dropout=0.1, input_px=None)
        (tmp_path / "trained" / name).mkdir(parents=True)
        nn_weights.save_model(config.build(), config, tmp_path / "trained" / name)
    manifest = PackageManifest(
        round=1,
        emotions=EMOTIONS,
        size=16,
        align=False,
        views=("plain", "flip"),
        precision="fp32",
        vote=dict(zip(NETWORKS, (1.0, 3.0), strict=True)),
        temperatures=dict(zip(NETWORKS, (0.5, 2.0), strict=True)),
        thresholds={"angry": 0.5, "happy": 0.9},
        weights_sha256={name: nn_weights.hash_weights(tmp_path / "trained" / name) for name in NETWORKS},
    )
    (tmp_path / "package").mkdir()
    save_package(manifest, tmp_path / "trained", tmp_path / "package")
    return tmp_path / "package"


def test_package_returns_the_weighted_mean_of_calibrated_probabilities(folder: Path) -> None:
    package = bundle.load_package(folder, CPU)
    probs = {
        name: compute_probs(
            predict_logits(network, FACES, views=("plain", "flip"), batch=2, precision="fp32"),
            {"simple_cnn": 0.5, "mini_vgg_no_fc": 2.0}[name],
        )
        for name, network in package.networks.items()
    }
    np.testing.assert_allclose(
        package(FACES), average_probs(probs, {"simple_cnn": 1.0, "mini_vgg_no_fc": 3.0}), atol=1e-6
    )
    assert package(FACES[:0]).shape == (0, 2)


def test_a_package_with_factors_corrects_its_probabilities(folder: Path) -> None:
    path = folder / "package.json"
    content = json.loads(path.read_text())
    assert "prior_factors" not in content, "a package as it was before there were factors"
    before = bundle.load_package(folder, CPU)
    path.write_text(json.dumps(content | {"prior_factors": {"angry": 0.25, "happy": 4}}))
    package = bundle.load_package(folder, CPU)
    np.testing.assert_allclose(package(FACES), apply_prior_factors(before(FACES), np.array([0.25, 4.0])), atol=1e-6)
    assert package.manifest.id != before.manifest.id
    folder.with_name("copy").mkdir()
    save_package(package.manifest, folder, folder.with_name("copy"))
    assert bundle.load_package(folder.with_name("copy"), CPU).manifest == package.manifest


def test_packages_without_factors_keep_the_id_that_they_had(folder: Path) -> None:
    manifest = bundle.load_package(folder, CPU).manifest
    content = manifest.model_dump_json(exclude={"prior_factors"})
    assert manifest.id == hashlib.sha256(content.encode()).hexdigest()[:12]


@pytest.mark.parametrize(
    "changes",
    [
        {"prior_factors": {"angry": 0.5}},
        {"prior_factors": {"angry": 0.0, "happy": 1.0}},
        {"prior_factors": {"happy": 0.5, "angry": 1.0}},
        {"views": []},
        {"views": ["sideways"]},
        {"vote": {}},
        {"vote": ["simple_cnn"]},
        {"vote": {"simple_cnn": 0.0, "mini_vgg_no_fc": 1.0}},
        {"vote": {"simple_cnn": 1.0}},
        {"temperatures": {"simple_cnn": 0.0, "mini_vgg_no_fc": 1.0}},
        {"temperatures": {"simple_cnn": "x", "mini_vgg_no_fc": 1.0}},
        {"weights_sha256": {}},
        {"thresholds": {"angry": 0.5}},
        {"size": -16},
        {"size": 10**6},
        {"precision": "fp8"},
        {"vote": {"../simple_cnn": 1.0, "mini_vgg_no_fc": 1.0}},
        {"emotions": 3},
    ],
)
def test_invalid_manifest_is_reported(folder: Path, changes: dict[str, Any]) -> None:
    path = folder / "package.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(InputError, match=r"package\.json: damaged; write it again with `dvc repro package`"):
        bundle.load_package(folder, CPU)


def test_changed_weights_are_refused(folder: Path) -> None:
    weights = folder / "simple_cnn" / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(InputError, match="simple_cnn: not the weights that were packaged"):
        bundle.load_package(folder, CPU)


def test_folder_without_a_package_is_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no package there; `dvc repro package` writes one"):
        bundle.load_package(tmp_path, CPU)


@pytest.mark.parametrize("file", ["weights.safetensors", "model.json"])
def test_incomplete_package_is_reported(folder: Path, file: str) -> None:
    (folder / "mini_vgg_no_fc" / file).unlink()
    with pytest.raises(InputError, match=rf"{file}: No such file or directory; write it again with"):
        bundle.load_package(folder, CPU)


def test_id_depends_on_the_manifest(folder: Path) -> None:
    manifest = bundle.load_package(folder, CPU).manifest
    assert manifest.id == bundle.load_package(folder, CPU).manifest.id
    assert manifest.id != manifest.model_copy(update={"thresholds": {"angry": 0.5, "happy": 0.8}}).id


def test_network_larger_than_its_weights_is_refused_before_allocation(tmp_path: Path) -> None:
    config = nn_weights.ModelConfig(
        network="shallow", emotions=("angry", "happy"), size=512, dropout=0.1, input_px=None
    )  # 8 GB
    nn_weights.save_model(torch.nn.Linear(2, 2), config, tmp_path)
    peak_before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match="not the weights of this network"):
        nn_weights.load_model(tmp_path, config.emotions, config.size)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak_before < 500_000  # kilobytes
