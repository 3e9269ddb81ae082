"""The device of a process: which one, what it can do, and one line when it cannot be used."""

import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from fer.nn import devices
from fer.runtime.errors import InputError

CPU = torch.device("cpu")
NO_KERNEL = "CUDA error: no kernel image is available for execution on the device\nCUDA kernel errors might be …"
OLD_DRIVER = "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver."
NO_CUDA = "Torch not compiled with CUDA enabled"


@pytest.fixture(autouse=True)
def _one_process_without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FER_DEVICE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    devices._print_warning.cache_clear()
    devices._warn_if_bf16_is_slow.cache_clear()


@pytest.fixture
def no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "NVIDIA_DRIVER", Path("missing"))
    monkeypatch.setattr("shutil.which", lambda name: None)


UseGPUs = Callable[..., None]


@pytest.fixture
def use_gpus(monkeypatch: pytest.MonkeyPatch) -> UseGPUs:
    """Return a function that pretends that torch finds GPUs and that their kernels, or one, run or fail."""

    def use(
        count: int, capability: tuple[int, int] = (9, 0), error: str | None = None, error_in: str | None = None
    ) -> None:
        major, minor = capability
        gpu = SimpleNamespace(name="A100", total_memory=80e9, major=major, minor=minor)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "init", lambda: None)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: gpu)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_80", "sm_90"])
        zeros = torch.zeros

        def run_kernel(*arguments: object, **options: object) -> torch.Tensor:
            if error and error_in in (None, options.get("padding_mode")):
                raise RuntimeError(error)
            return zeros(1)

        monkeypatch.setattr(torch, "zeros", run_kernel)
        monkeypatch.setattr(devices, "grid_sample", run_kernel)

    return use


def fail(error: Exception) -> Callable[[], None]:
    def init() -> None:
        raise error

    return init


def read_error(monkeypatch: pytest.MonkeyPatch, **environment: str) -> str:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError) as caught:
        devices.default_device()
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith("FER_DEVICE=cpu") or "choose one up to it" in message
    return message


def test_a_gpu_is_used_if_there_is_one(use_gpus: UseGPUs, monkeypatch: pytest.MonkeyPatch) -> None:
    use_gpus(2)
    assert devices.default_device() == torch.device("cuda")
    monkeypatch.setenv("FER_DEVICE", "cuda:1")
    assert devices.default_device() == torch.device("cuda:1")
    monkeypatch.setenv("FER_DEVICE", "cpu")
    assert devices.default_device() == CPU


@pytest.mark.usefixtures("no_driver")
def test_without_a_gpu_the_cpu_is_used_silently(capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert devices.default_device() == CPU
    assert capfd.readouterr() == ("", "")


def test_each_process_has_a_gpu_of_its_own(use_gpus: UseGPUs, monkeypatch: pytest.MonkeyPatch) -> None:
    use_gpus(2)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    for rank in "01":
        monkeypatch.setenv("LOCAL_RANK", rank)
        assert devices.default_device() == torch.device(f"cuda:{rank}")


@pytest.mark.parametrize(
    ("environment", "processes", "gpus"),
    [
        ({"LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "3"}, 3, "2 GPUs"),
        ({"LOCAL_RANK": "2"}, 3, "2 GPUs"),
        ({"LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2", "FER_DEVICE": "cuda:1"}, 2, "1 GPU"),
    ],
)
def test_two_processes_do_not_share_a_gpu(
    use_gpus: UseGPUs, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], processes: int, gpus: str
) -> None:
    use_gpus(2)
    assert read_error(monkeypatch, **environment) == (
        f"{processes} processes cannot share {gpus}; set FER_NPROC (for torchrun: --nproc-per-node) to {gpus[0]}, "
        "or FER_DEVICE=cpu"
    )


def test_a_gpu_without_kernels_in_this_torch_is_reported(use_gpus: UseGPUs, monkeypatch: pytest.MonkeyPatch) -> None:
    use_gpus(1, capability=(3, 7), error=NO_KERNEL)
    assert read_error(monkeypatch) == (
        f"A100, 80 GB, capability 3.7: torch {torch.__version__} has no kernels for it, only for sm_80, sm_90; install "
        "a build that has (https://pytorch.org), or try FER_DEVICE=cpu"
    )


def test_another_failure_of_a_gpu_is_reported(use_gpus: UseGPUs, monkeypatch: pytest.MonkeyPatch) -> None:
    use_gpus(1, error="CUDA error: all CUDA-capable devices are busy or unavailable\nand more")
    expected = "not usable on this machine (CUDA error: all CUDA-capable devices are busy or unavailable); try "
    assert read_error(monkeypatch) == f"the GPU: {expected}FER_DEVICE=cpu"
    assert read_error(monkeypatch, FER_DEVICE="cuda") == f"FER_DEVICE='cuda': {expected}FER_DEVICE=cpu"


@pytest.mark.usefixtures("no_driver")
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("No CUDA GPUs are available"), "No CUDA GPUs are available"),
        (RuntimeError(OLD_DRIVER), OLD_DRIVER),
        (AssertionError(NO_CUDA), f"torch {torch.__version__} is built without CUDA; install a build with it from "),
    ],
)
def test_a_gpu_that_is_asked_for_must_be_usable(monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str) -> None:
    monkeypatch.setattr(torch.cuda, "init", fail(error))
    message = read_error(monkeypatch, FER_DEVICE="cuda")
    assert message.startswith(f"FER_DEVICE='cuda': not usable on this machine ({reason}")


def test_a_gpu_beyond_the_last_is_reported(use_gpus: UseGPUs, monkeypatch: pytest.MonkeyPatch) -> None:
    use_gpus(2)
    assert read_error(monkeypatch, FER_DEVICE="cuda:7") == (
        "FER_DEVICE='cuda:7': the last GPU of this machine is cuda:1; choose one up to it"
    )


@pytest.mark.parametrize("name", ["gpu", "mps", "meta"])
def test_a_device_that_does_not_compute_is_reported(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    message = read_error(monkeypatch, FER_DEVICE=name)
    assert message.startswith(f"FER_DEVICE='{name}': not usable on this machine (")


def test_mps_without_border_padding_is_refused(use_gpus: UseGPUs, monkeypatch: pytest.MonkeyPatch) -> None:
    use_gpus(0, error="MPS: Unsupported Border padding mode", error_in="border")
    assert "(MPS: Unsupported Border padding mode)" in read_error(monkeypatch, FER_DEVICE="mps")


def test_the_first_process_warns_once_of_a_driver_that_torch_cannot_use(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def is_available() -> bool:
        warnings.warn(f"CUDA initialization: {OLD_DRIVER}", stacklevel=1)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", is_available)
    monkeypatch.setattr(torch.cuda, "init", fail(RuntimeError(OLD_DRIVER)))
    monkeypatch.setattr(devices, "NVIDIA_DRIVER", tmp_path)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert devices.default_device() == CPU
    assert capsys.readouterr().err == ""

    devices._print_warning.cache_clear()
    monkeypatch.setenv("LOCAL_RANK", "0")
    for _ in range(2):
        assert devices.default_device() == CPU
    assert capsys.readouterr().err == (
        f"warning: there is an NVIDIA driver, but the CPU is used ({OLD_DRIVER}); FER_DEVICE=cpu hides this warning\n"
    )


@pytest.mark.parametrize("name", ["FER_DEVICE", "CUDA_VISIBLE_DEVICES"])
def test_a_driver_that_is_not_wanted_is_no_reason_to_warn(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(devices, "NVIDIA_DRIVER", tmp_path)
    monkeypatch.setenv(name, {"FER_DEVICE": "cpu", "CUDA_VISIBLE_DEVICES": ""}[name])
    assert devices.default_device() == CPU
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("flags", "supported"), [("fpu avx2", False), ("fpu avx512_bf16", True), ("amx_bf16", True), (None, None)]
)
def test_bf16_support_of_a_processor_is_read_from_cpuinfo(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flags: str | None, supported: bool | None
) -> None:
    monkeypatch.setattr(devices, "CPU_INFO", tmp_path / "cpuinfo")
    if flags is not None:
        (tmp_path / "cpuinfo").write_text(f"flags : {flags} x\n")
    assert devices.supports_bf16(CPU) is supported


def test_bf16_support_of_a_gpu_follows_from_its_capability(use_gpus: UseGPUs) -> None:
    use_gpus(1, capability=(7, 5))
    assert devices.supports_bf16(torch.device("cuda")) is False
    use_gpus(1, capability=(8, 0))
    assert devices.supports_bf16(torch.device("cuda")) is True
    assert devices.supports_bf16(torch.device("mps")) is None


def test_slow_bf16_is_warned_about_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(devices, "supports_bf16", lambda device: False)
    for precision in ("fp32", "bf16", "bf16"):
        with devices.autocast(CPU, precision):
            pass
    devices._warn_if_bf16_is_slow.cache_clear()
    assert capsys.readouterr().err == f"warning: {devices.SLOW_BF16_WARNING}\n"


def test_the_precision_is_used() -> None:
    with devices.autocast(CPU, "bf16"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
    with devices.autocast(CPU, "fp32"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


@pytest.mark.parametrize("deterministic", [False, True])
def test_convolutions_are_tuned_unless_torch_is_deterministic(
    monkeypatch: pytest.MonkeyPatch, deterministic: bool
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", deterministic)
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: deterministic)
    devices.tune_convolutions()
    assert torch.backends.cudnn.benchmark is not deterministic
