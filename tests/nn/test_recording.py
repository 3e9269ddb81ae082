"""Steps are recorded on a GPU alone, and what cannot be compiled runs eagerly."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from fer.nn import recording
from fer.nn.recording import RecordedStep, find_triton_obstacle, fuse, try_to_compile

GPU = torch.device("cuda")


class FakeGPU:
    """Streams and graphs of a GPU that count what is recorded and replayed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_recording, self.n_replays, self.generators = False, 0, []
        for name in ("Stream", "current_stream"):
            monkeypatch.setattr(torch.cuda, name, lambda *_: self)
        monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: self)
        monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
        monkeypatch.setattr(torch.cuda, "graph", self.record)

    def wait_stream(self, stream: Any) -> None: ...

    def register_generator_state(self, generator: torch.Generator) -> None:
        self.generators.append(generator)

    @contextlib.contextmanager
    def record(self, graph: Any, **options: Any) -> Iterator[None]:
        self.is_recording = True
        yield
        self.is_recording = False

    def replay(self) -> None:
        self.n_replays += 1


def test_a_gpu_records_the_fourth_call_and_replays_it(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu, generator, calls = FakeGPU(monkeypatch), torch.Generator(), []
    step = RecordedStep(lambda: calls.append(gpu.is_recording), GPU, generator)
    for _ in range(10):
        step()
    assert calls == [False, False, False, True]
    assert gpu.n_replays == 7
    assert gpu.generators == [generator]


def test_a_cpu_runs_every_call() -> None:
    calls: list[int] = []
    step = RecordedStep(lambda: calls.append(1), torch.device("cpu"))
    for _ in range(10):
        step()
    assert len(calls) == 10


def make_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))


def test_the_trial_of_a_compiled_network_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    network, expected = make_network(), make_network()
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    assert try_to_compile(network, torch.rand(8, 4)) is network
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, expected.state_dict()[name]), name
    assert all(weight.grad is None for weight in network.parameters())


@pytest.mark.parametrize("failing_pass", ["forward", "backward"])
def test_a_network_that_cannot_be_compiled_runs_eagerly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], failing_pass: str
) -> None:
    class Failing(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, faces: torch.Tensor) -> torch.Tensor:
            if failing_pass == "forward":
                raise RuntimeError("no C compiler\nand a long story")
            return faces.clone()

        @staticmethod
        def backward(context: Any, gradient: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("no C compiler\nand a long story")

    network = make_network()
    monkeypatch.setattr(torch, "compile", lambda function, **_: lambda faces: Failing.apply(function(faces)))
    recording.print_fusion_notice.cache_clear()
    for _ in range(2):
        assert try_to_compile(network, torch.rand(8, 4)) is network
    expected = "notice: kernels are not fused, which costs speed (RuntimeError: no C compiler)\n"
    assert capsys.readouterr().err == expected


def test_lack_of_memory_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def run_out(*_: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: run_out)
    with pytest.raises(torch.OutOfMemoryError):
        try_to_compile(make_network(), torch.rand(8, 4))


def test_only_gpus_that_triton_supports_get_compiled_networks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    network, compiled = make_network(), make_network()
    monkeypatch.setattr(recording, "try_to_compile", lambda *_: compiled)
    monkeypatch.setattr("torch.utils._triton.has_triton_package", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setenv("CC", "cc")
    recording.print_fusion_notice.cache_clear()
    assert fuse(network, torch.device("cpu"), torch.rand(8, 4)) is network
    assert fuse(network, GPU, torch.rand(8, 4)) is compiled
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (6, 1))
    assert fuse(network, GPU, torch.rand(8, 4)) is network
    assert "compute capability 6.1, and Triton needs 7.0" in capsys.readouterr().err
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.delenv("CC")
    monkeypatch.setenv("PATH", "")
    assert find_triton_obstacle(GPU) == "Triton needs a C compiler; install gcc"
