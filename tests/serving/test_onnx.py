"""The exported graph computes the probabilities of the package and holds its manifest as metadata."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from fer.nn import inference, weights
from fer.runtime.errors import InputError
from fer.serving import onnx
from fer.serving.package import bundle
from fer.serving.package.manifest import PackageManifest

EMOTIONS = ("angry", "happy", "sad")
FACES = np.random.default_rng(1).integers(0, 256, (5, 32, 32), dtype=np.uint8)


def make_package(
    networks: Mapping[str, nn.Module], views: Sequence[str], prior_factors: dict[str, float] | None = None
) -> bundle.ModelPackage:
    manifest = PackageManifest(
        round=3,
        emotions=EMOTIONS,
        size=32,
        align=False,
        views=tuple(views),
        precision="bf16",
        vote={name: 1.0 + number for number, name in enumerate(networks)},
        temperatures={name: 0.5 + number for number, name in enumerate(networks)},
        prior_factors=prior_factors,
        thresholds=dict.fromkeys(EMOTIONS, 0.75),
        weights_sha256=dict.fromkeys(networks, "0" * 64),
    )
    return bundle.ModelPackage(manifest, networks)


def make_linear(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Flatten(), nn.Linear(32 * 32, 3))
    with torch.no_grad():
        network[1].weight.mul_(5)
    return network.eval()


def make_trained(name: str) -> nn.Module:
    """Return a network with logits and batch-norm statistics as large as those of a trained one."""
    torch.manual_seed(0)
    input_px = 48 if name == "mobilenet" else None
    config = weights.ModelConfig(network=name, emotions=EMOTIONS, size=32, dropout=0.5, input_px=input_px)
    network = config.build()
    with torch.inference_mode():
        for _ in range(3):
            network.train()(weights.normalize_faces(torch.rand(8, 32, 32)))
        list(network.parameters())[-2].mul_(20)
    return network.eval()


def run_graph(path: Path, faces: np.ndarray) -> dict[str, Any]:
    names = ("probabilities", "logits")
    return dict(zip(names, onnxruntime.InferenceSession(path).run(names, {"faces": faces}), strict=True))


@pytest.mark.parametrize("name", ["improved_se", "se_resnet9", "mobilenet"])
def test_logits_equal_those_of_the_network(name: str, tmp_path: Path) -> None:
    package = make_package({name: make_trained(name)}, ["plain"])
    onnx.export_onnx(package, tmp_path / "model.onnx")
    expected = inference.predict_logits(package.networks[name], FACES, views=["plain"], batch=2, precision="fp32")
    logits = run_graph(tmp_path / "model.onnx", FACES)["logits"]
    assert np.ptp(expected) > 0.3
    np.testing.assert_allclose(logits[:, 0], expected, atol=1e-4, rtol=0)


@pytest.fixture(scope="module", params=[None, {"angry": 0.2, "happy": 1.0, "sad": 5.0}], ids=["plain", "corrected"])
def ensemble(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[bundle.ModelPackage, Path]:
    networks = {"first": make_linear(0), "second": make_linear(1)}
    package = make_package(networks, ["plain", "flip", "ten_crop"], request.param)
    path = tmp_path_factory.mktemp("exported") / "new" / "model.onnx"
    onnx.export_onnx(package, path)
    return package, path


@pytest.mark.parametrize("count", [1, 5])
def test_probabilities_equal_those_of_the_package(ensemble: tuple[bundle.ModelPackage, Path], count: int) -> None:
    package, path = ensemble
    fp32 = bundle.ModelPackage(package.manifest.model_copy(update={"precision": "fp32"}), package.networks)
    outputs = run_graph(path, FACES[:count])
    assert outputs["logits"].shape == (count, 2, 12, 3)
    np.testing.assert_allclose(outputs["probabilities"], fp32(FACES[:count]), atol=1e-5)
    assert not np.allclose(outputs["probabilities"], outputs["probabilities"][:, ::-1], atol=0.01)


def test_metadata_hold_the_manifest_and_no_paths(
    ensemble: tuple[bundle.ModelPackage, Path],
) -> None:
    package, path = ensemble
    metadata = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
    expected = package.manifest.model_dump(mode="json", exclude_none=True)
    assert {key: json.loads(value) for key, value in metadata.items()} == expected
    assert ("prior_factors" in expected) == (package.manifest.prior_factors is not None)
    assert b"onnx.py" not in path.read_bytes()
    assert [file.name for file in path.parent.iterdir()] == ["model.onnx"]


def test_graph_with_different_logits_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx, "normalize_faces", lambda faces: weights.normalize_faces(faces * 1.01))
    with pytest.raises(InputError, match=r"ONNX Runtime .* nothing was written"):
        onnx.export_onnx(make_package({"first": make_linear(0)}, ["plain"]), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_missing_packages_and_folders_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = make_package({"first": make_linear(0)}, ["plain"])
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a folder; name a file"):
        onnx.export_onnx(package, tmp_path)
    assert (tmp_path / "file").exists()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert onnx.compare_logits(package, tmp_path / "none.onnx") is None
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(InputError, match=r"onnxscript is not installed; run pip install '\.\[export\]'"):
        onnx.export_onnx(package, tmp_path / "model.onnx")
