"""The exported graph says what the package says, and says of itself what `package.json` does."""

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

EMOTIONS = ("angry", "happy", "sad")
FACES = np.random.default_rng(1).integers(0, 256, (5, 32, 32), dtype=np.uint8)


def package(networks: Mapping[str, nn.Module], views: Sequence[str]) -> bundle.ModelPackage:
    about = bundle.PackageManifest(
        round=3,
        emotions=EMOTIONS,
        size=32,
        align=False,
        views=tuple(views),
        precision="bf16",
        vote={name: 1.0 + number for number, name in enumerate(networks)},
        temperatures={name: 0.5 + number for number, name in enumerate(networks)},
        thresholds=dict.fromkeys(EMOTIONS, 0.75),
        weights_sha256=dict.fromkeys(networks, "0" * 64),
    )
    return bundle.ModelPackage(about, networks)


def linear(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Flatten(), nn.Linear(32 * 32, 3))
    with torch.no_grad():
        network[1].weight.mul_(5)
    return network.eval()


def trained(name: str) -> nn.Module:
    """A network as if trained: logits, and what batch norm remembers, are as large as learnt ones."""
    torch.manual_seed(0)
    input_px = 48 if name == "mobilenet" else None
    network = weights.build_model(name, len(EMOTIONS), size=32, dropout=0.5, input_px=input_px)
    with torch.inference_mode():
        for _ in range(3):
            network.train()(weights.normalize_faces(torch.rand(8, 32, 32)))
        list(network.parameters())[-2].mul_(20)
    return network.eval()


def exported(path: Path, faces: np.ndarray) -> dict[str, Any]:
    names = ("probabilities", "logits")
    return dict(zip(names, onnxruntime.InferenceSession(path).run(names, {"faces": faces}), strict=True))


@pytest.mark.parametrize("name", ["improved_se", "se_resnet9", "mobilenet"])
def test_logits_are_those_of_the_network(name: str, tmp_path: Path) -> None:
    one = package({name: trained(name)}, ["plain"])
    onnx.export_onnx(one, tmp_path / "model.onnx")
    wanted = inference.predict_logits(one.networks[name], FACES, views=["plain"], batch=2, precision="fp32")
    found = exported(tmp_path / "model.onnx", FACES)["logits"]
    assert np.ptp(wanted) > 0.3
    np.testing.assert_allclose(found[:, 0], wanted, atol=1e-4, rtol=0)


@pytest.fixture(scope="module")
def voted(tmp_path_factory: pytest.TempPathFactory) -> tuple[bundle.ModelPackage, Path]:
    both = package({"one": linear(0), "other": linear(1)}, ["plain", "flip", "ten_crop"])
    path = tmp_path_factory.mktemp("exported") / "new" / "model.onnx"
    onnx.export_onnx(both, path)
    return both, path


@pytest.mark.parametrize("count", [1, 5])
def test_probabilities_are_those_of_the_package(voted: tuple[bundle.ModelPackage, Path], count: int) -> None:
    both, path = voted
    fp32 = bundle.ModelPackage(both.manifest.model_copy(update={"precision": "fp32"}), both.networks)
    found = exported(path, FACES[:count])
    assert found["logits"].shape == (count, 2, 12, 3)
    np.testing.assert_allclose(found["probabilities"], fp32(FACES[:count]), atol=1e-5)
    assert not np.allclose(found["probabilities"], found["probabilities"][:, ::-1], atol=0.01)


def test_the_metadata_are_those_of_the_package_and_nothing_of_this_machine(
    voted: tuple[bundle.ModelPackage, Path],
) -> None:
    both, path = voted
    told = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
    assert {key: json.loads(value) for key, value in told.items()} == both.manifest.model_dump(mode="json")
    assert b"exporting.py" not in path.read_bytes()
    assert [file.name for file in path.parent.iterdir()] == ["model.onnx"]


def test_a_graph_that_computes_something_else_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx, "normalize_faces", lambda faces: weights.normalize_faces(faces * 1.01))
    with pytest.raises(InputError, match=r"ONNX Runtime .* nothing was written"):
        onnx.export_onnx(package({"one": linear(0)}, ["plain"]), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_what_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = package({"one": linear(0)}, ["plain"])
    (tmp_path / "kept").touch()
    with pytest.raises(InputError, match="is a folder; give the name of a file"):
        onnx.export_onnx(one, tmp_path)
    assert (tmp_path / "kept").exists()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert onnx.compare_logits(one, tmp_path / "none.onnx") is None
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(InputError, match=r"onnxscript is not installed.*pip install '\.\[export\]'"):
        onnx.export_onnx(one, tmp_path / "model.onnx")
