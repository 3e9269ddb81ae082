"""The findings of `fer doctor`."""

import hashlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from commands import call_fer, write_fer2013_csv

from fer.cli import doctor
from fer.nn import devices


def install(monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    """Pretend that only these packages are installed."""
    from importlib.metadata import PackageNotFoundError

    def version(name: str) -> str:
        if name.replace("-", "_") not in versions:
            raise PackageNotFoundError(name)
        return versions[name.replace("-", "_")]

    monkeypatch.setattr("importlib.metadata.version", version)


@pytest.mark.parametrize(
    ("line", "versions", "severity", "message"),
    [
        ("numpy>=2.0", {"numpy": "2.10.0"}, "ok", "numpy 2.10.0"),
        ("torch>=2.11", {"torch": "2.11.0+cpu"}, "ok", "torch 2.11.0+cpu"),
        ("torch>=2.11", {"torch": "2.9.1"}, "problem", "torch is 2.9.1, but must be >=2.11; fix it"),
        ("scipy>=1.13", {}, "problem", "scipy is not installed; fix it"),
        ("opencv-python-headless<5,>=4.10", {"opencv_python": "4.11"}, "ok", "opencv-python 4.11"),
        ("opencv-python-headless<5,>=4.10", {"opencv_python_headless": "5.0"}, "problem", "must be <5,>=4.10"),
    ],
)
def test_a_package_must_have_a_version_allowed_by_pyproject(
    monkeypatch: pytest.MonkeyPatch, line: str, versions: dict[str, str], severity: str, message: str
) -> None:
    install(monkeypatch, **versions)
    level, text = doctor.check_requirement(line, "problem", "fix it")
    assert level == severity
    assert message in text


def test_every_package_of_pyproject_is_checked_and_only_extras_may_be_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import tomllib

    project = tomllib.loads(doctor.PYPROJECT_FILE.read_text())["project"]
    install(monkeypatch)
    findings = list(doctor.run_check(doctor.check_installation))
    severities = [severity for severity, text in findings if "is not installed" in text]
    assert severities.count("problem") == len(project["dependencies"])
    extras = [line for extra, lines in project["optional-dependencies"].items() if extra != "dev" for line in lines]
    assert severities.count("ok") == len(extras)


def test_the_package_fer_of_pypi_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, fer="22.5.1")
    findings = list(doctor.run_check(doctor.check_installation))
    ((severity, text),) = [(severity, text) for severity, text in findings if "PyPI" in text]
    assert severity == "problem"
    assert "`fer` 22.5.1" in text
    assert "run `pip uninstall fer`" in text
    install(monkeypatch)
    assert not any("PyPI" in text for _, text in doctor.run_check(doctor.check_installation))


def test_another_python_on_the_path_is_a_warning(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(sys.executable).parent
    monkeypatch.setenv("PATH", str(folder))
    assert not [text for _, text in doctor.run_check(doctor.check_project) if "`python`" in text]
    monkeypatch.setenv("PATH", str(project))
    warnings = [text for severity, text in doctor.run_check(doctor.check_project) if severity == "warning"]
    assert warnings == [f'the `python` of DVC\'s stages is not found; export PATH="{folder}:$PATH"']


def test_unversioned_and_missing_sources_are_warnings(project: Path) -> None:
    content = yaml.safe_load(Path("params.yaml").read_text())
    content["sources"] = ["bare", "sample_photos", "pulled", "versioned"]
    Path("params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    for source in ("bare", "versioned"):
        write_fer2013_csv(Path("data/raw", source, "fer2013.csv"))
    for source in ("pulled", "versioned"):
        Path(f"data/raw/{source}.dvc").touch()
    findings = list(doctor.run_check(doctor.check_sources))
    assert [text for severity, text in findings if severity != "ok"] == [
        "bare: its files are not versioned; run `dvc add data/raw/bare`",
        "pulled: not here; run `dvc pull data/raw/pulled.dvc`",
    ]
    assert ("ok", "sample_photos: will be drawn by `dvc repro`") in findings


def test_warnings_of_the_last_run_are_repeated(project: Path) -> None:
    report = '{"similar_twins_as_supplied": {"test_in_train": 7}, "supplied": {"mine": {"notes": ["odd pixels"]}}}'
    Path("data/unified").mkdir(parents=True)
    Path("data/unified/report.json").write_text(report)
    warnings = [text for severity, text in doctor.run_check(doctor.check_sources) if severity == "warning"]
    assert warnings == [
        "7 test faces have a near duplicate in training; training leaves the duplicates out",
        "mine: odd pixels",
    ]


def set_precision(precision: str) -> None:
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("precision: fp32", f"precision: {precision}"))


def use_processor(monkeypatch: pytest.MonkeyPatch, flags: str) -> None:
    """Use the CPU and pretend that it has only these flags."""
    Path("cpuinfo").write_text(f"flags : {flags}\n")
    monkeypatch.setattr(devices, "CPU_INFO", Path("cpuinfo"))
    monkeypatch.setenv("FER_DEVICE", "cpu")


def test_an_unknown_device_is_a_problem(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_DEVICE", "abacus")
    assert [severity for severity, _ in doctor.run_check(doctor.check_device)] == ["problem"]


def test_a_gpu_that_torch_cannot_use_is_a_problem(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FER_DEVICE", raising=False)
    monkeypatch.setattr(devices, "unusable_gpu_warning", lambda: "the driver is too old")
    assert list(doctor.run_check(doctor.check_device)) == [("problem", "the driver is too old")]
    monkeypatch.setenv("FER_DEVICE", "cpu")
    assert "problem" not in [severity for severity, _ in doctor.run_check(doctor.check_device)]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that there is one GPU."""
    monkeypatch.delenv("FER_DEVICE", raising=False)
    monkeypatch.setattr(devices, "unusable_gpu_warning", lambda: None)
    monkeypatch.setattr(devices, "default_device", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    properties = SimpleNamespace(name="NVIDIA H200", total_memory=150e9, major=9, minor=0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (properties.major, properties.minor))


@pytest.mark.usefixtures("project", "gpu")
def test_the_device_the_precision_and_the_batches_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    findings = list(doctor.run_check(doctor.check_device))
    assert ("ok", "GPU: NVIDIA H200, 150 GB, capability 9.0") in findings
    assert ("ok", "precision fp32, train.batch 32, predict.batch 256") in findings
    assert "problem" not in [severity for severity, _ in findings]


@pytest.mark.usefixtures("project", "gpu")
def test_more_processes_than_gpus_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_NPROC", "2")
    (problem,) = [text for severity, text in doctor.run_check(doctor.check_device) if severity == "problem"]
    assert problem.startswith("2 processes cannot share 1 GPU; set FER_NPROC")


@pytest.mark.parametrize(
    ("flags", "warnings"),
    [("fpu avx2", [devices.SLOW_BF16_WARNING]), ("fpu avx512_bf16", []), ("amx_bf16", [])],
)
def test_bf16_on_a_processor_without_it_is_a_warning(
    project: Path, monkeypatch: pytest.MonkeyPatch, flags: str, warnings: list[str]
) -> None:
    set_precision("bf16")
    use_processor(monkeypatch, flags)
    findings = list(doctor.run_check(doctor.check_device))
    assert [text for severity, text in findings if severity == "warning"] == warnings


@pytest.mark.usefixtures("project", "gpu")
def test_a_faster_profile_for_a_gpu_is_a_hint() -> None:
    hints = [text for severity, text in doctor.run_check(doctor.check_device) if severity == "hint"]
    assert hints == ["this GPU would train several times as fast; run `fer profile gpu`"]


@pytest.mark.parametrize(("precision", "flags"), [("fp32", "avx512_bf16"), ("fp32", "avx2"), ("bf16", "amx_bf16")])
def test_a_faster_profile_for_a_processor_is_a_hint(
    project: Path, monkeypatch: pytest.MonkeyPatch, precision: str, flags: str
) -> None:
    set_precision(precision)
    use_processor(monkeypatch, flags)
    hints = [text for severity, text in doctor.run_check(doctor.check_device) if severity == "hint"]
    expected = "this processor has bf16 instructions and would train twice as fast; run `fer profile cpu-bf16`"
    assert hints == ([expected] if (precision, flags) == ("fp32", "avx512_bf16") else [])


def test_a_finding_of_several_checks_is_printed_once(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("params.yaml").write_text("seed: none\n")
    assert call_fer(monkeypatch, "doctor") == 1
    assert capsys.readouterr().out.count("seed is 'none'") == 1


@pytest.fixture
def project_with_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project whose dvc.lock has a file and a folder, both in DVC's cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "run_dvc", lambda *arguments: f"{tmp_path / 'cache'}\n")
    outs = []

    def cache(content: bytes, suffix: str = "") -> str:
        digest = hashlib.md5(content).hexdigest()
        path = tmp_path / "cache/files/md5" / digest[:2] / (digest[2:] + suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return digest + suffix

    for name in ("file", "folder/a", "folder/b"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(name)
    outs.append({"path": "file", "md5": cache(b"file")})
    entries = [{"md5": cache(f"folder/{name}".encode()), "relpath": name} for name in "ab"]
    outs.append({"path": "folder", "md5": cache(json.dumps(entries).encode(), ".dir")})
    Path("dvc.lock").write_text(yaml.safe_dump({"stages": {"one": {"outs": outs}}}))
    return tmp_path


def test_undamaged_files_are_counted(project_with_lock: Path) -> None:
    assert list(doctor.check_files()) == [
        ("ok", "7 files in DVC's cache and among the results are as DVC recorded them")
    ]


def test_every_damaged_file_of_the_cache_and_the_results_is_listed(project_with_lock: Path) -> None:
    objects = [path for path in project_with_lock.glob("cache/**/*") if path.is_file()]
    for path in (*objects, Path("file"), Path("folder/a"), Path("folder/b")):
        content = path.read_bytes()
        path.write_bytes(content + b"x")
        problems = [text for severity, text in doctor.check_files() if severity == "problem"]
        assert problems == [f"{path}: differs from what DVC recorded; delete it, then run `dvc pull` or `dvc repro`"]
        path.write_bytes(content)


def test_missing_files_are_not_reported_as_damaged(project_with_lock: Path) -> None:
    Path("file").unlink()
    assert next(doctor.check_files()) == ("ok", "6 files in DVC's cache and among the results are as DVC recorded them")
