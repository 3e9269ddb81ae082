"""Compiled prediction has the logits of eager prediction, and falls back to it."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fer.nn import batch_predictor
from fer.nn.batch_predictor import BatchPredictor
from fer.nn.devices import to_device
from fer.nn.inference import CPU_BATCH
from fer.nn.layers import conv_norm_relu
from fer.nn.recording import print_fusion_notice
from fer.nn.weights import build_model

CPU = torch.device("cpu")
FACES = torch.randint(0, 256, (2 * CPU_BATCH + 3, 16, 16), generator=torch.Generator().manual_seed(0)).byte()


@pytest.fixture(autouse=True)
def _forget_compiled_networks() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def make_predictor(batch: int = 2 * CPU_BATCH, precision: str = "fp32") -> BatchPredictor:
    torch.manual_seed(0)
    network = nn.Sequential(*conv_norm_relu(1, 16), nn.Flatten(), nn.Linear(16 * 256, 7)).eval()
    network[1].running_var.uniform_(0.5, 2)
    network[1].running_mean.normal_()
    return BatchPredictor(to_device(network, CPU), ["plain", "flip"], batch, precision)


def predict(predictor: BatchPredictor, faces: torch.Tensor = FACES) -> np.ndarray:
    return torch.cat(list(predictor(faces))).numpy()


@pytest.mark.skipif(not shutil.which(os.environ.get("CXX", "g++")), reason="g++ is not installed (apt-get install g++)")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_compiled_network_has_the_logits_of_the_eager_one(precision: str) -> None:
    eager = make_predictor(precision=precision)
    compiled = eager.compile(FACES[:1])
    assert compiled.is_compiled
    expected, logits = predict(eager), predict(compiled)
    assert logits.shape == expected.shape == (len(FACES), 2, 7)
    tolerance = {"fp32": 1e-5, "bf16": 0.02}[precision] * np.abs(expected).max()
    np.testing.assert_allclose(logits, expected, rtol=0, atol=tolerance)
    top = np.sort(expected, axis=2)
    is_clear = top[:, :, -1] - top[:, :, -2] > 2 * tolerance
    assert is_clear.mean() > 0.5
    np.testing.assert_array_equal(logits.argmax(axis=2)[is_clear], expected.argmax(axis=2)[is_clear])


@pytest.mark.parametrize(("batch", "n_faces"), [(5, 12), (2 * CPU_BATCH, 3), (2 * CPU_BATCH, len(FACES))])
def test_a_compiled_network_gets_one_shape_and_padding_changes_no_logits(
    monkeypatch: pytest.MonkeyPatch, batch: int, n_faces: int
) -> None:
    eager = make_predictor(batch)
    shapes = set()

    def compile_nothing(network: nn.Module, **settings: object) -> object:
        assert settings == {"dynamic": False, "options": {"freezing": True}}
        return lambda faces: shapes.add(faces.shape) or network(faces)

    monkeypatch.setattr(torch, "compile", compile_nothing)
    compiled = eager.compile(FACES[:1])
    np.testing.assert_allclose(predict(compiled, FACES[:n_faces]), predict(eager, FACES[:n_faces]), atol=1e-5)
    assert shapes == {(min(batch, CPU_BATCH), 1, 16, 16)}


def test_without_a_compiler_prediction_is_eager(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", ("no-such-compiler",))
    print_fusion_notice.cache_clear()
    eager = make_predictor()
    assert eager.compile(FACES[:1]) is eager
    output = capfd.readouterr()
    assert output.err.startswith("notice: kernels are not fused, which costs speed (")
    assert output.err.count("\n") == 1


def test_a_batch_that_exceeds_the_memory_of_a_gpu_is_halved(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = predict(make_predictor())
    predict_batch, sizes = batch_predictor.predict_batch, []

    def predict_up_to_20(network: nn.Module, faces: torch.Tensor, *settings: object) -> torch.Tensor:
        if len(faces) > 20:
            raise torch.OutOfMemoryError("CUDA out of memory")
        sizes.append(len(faces))
        return predict_batch(network, faces, *settings)

    monkeypatch.setattr(batch_predictor, "predict_batch", predict_up_to_20)
    np.testing.assert_allclose(predict(make_predictor(batch=64)), expected, atol=1e-5)
    assert sizes == [16, 16, 16, 16, 3]
    assert capsys.readouterr().err == (
        "out of GPU memory: predicting batches of 32 faces from here on\n"
        "out of GPU memory: predicting batches of 16 faces from here on\n"
    )


def test_a_face_that_exceeds_the_memory_of_a_gpu_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(batch_predictor, "predict_batch", fail)
    with pytest.raises(torch.OutOfMemoryError):
        predict(make_predictor(batch=8))


def test_operations_of_convolutions_and_dense_layers_are_counted() -> None:
    network = build_model("improved_se", n_classes=7, size=48)
    for _ in range(2):  # the first count leaves nothing behind
        with batch_predictor.count_operations(network) as operations:
            network.eval()(torch.zeros(1, 1, 48, 48))
        assert sum(operations) == pytest.approx(2 * 111.8e6, rel=1e-3)  # as its docstring says
