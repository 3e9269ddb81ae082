"""What `fer doctor` notices."""

import hashlib
import json
import sys
from pathlib import Path

import pytest
import yaml
from commands import call_fer, write_fer2013_csv

from fer.cli import doctor


def of(monkeypatch: pytest.MonkeyPatch, **installed: str) -> None:
    """Let these packages alone be installed."""
    from importlib.metadata import PackageNotFoundError

    def version(name: str) -> str:
        if name.replace("-", "_") not in installed:
            raise PackageNotFoundError(name)
        return installed[name.replace("-", "_")]

    monkeypatch.setattr("importlib.metadata.version", version)


@pytest.mark.parametrize(
    ("line", "installed", "state", "said"),
    [
        ("numpy>=2.0", {"numpy": "2.10.0"}, "ok", "numpy 2.10.0"),
        ("torch>=2.11", {"torch": "2.11.0+cpu"}, "ok", "torch 2.11.0+cpu"),
        ("torch>=2.11", {"torch": "2.9.1"}, "problem", "torch is 2.9.1, but must be >=2.11; mend it"),
        ("scipy>=1.13", {}, "problem", "scipy is not installed; mend it"),
        ("opencv-python-headless<5,>=4.10", {"opencv_python": "4.11"}, "ok", "opencv-python 4.11"),
        ("opencv-python-headless<5,>=4.10", {"opencv_python_headless": "5.0"}, "problem", "must be <5,>=4.10"),
    ],
)
def test_a_package_must_be_there_in_the_range_of_pyproject(
    monkeypatch: pytest.MonkeyPatch, line: str, installed: dict[str, str], state: str, said: str
) -> None:
    of(monkeypatch, **installed)
    found, text = doctor.check_requirement(line, "problem", "mend it")
    assert found == state
    assert said in text


def test_every_package_of_pyproject_is_looked_at_and_only_extras_may_be_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import tomllib

    about = tomllib.loads(doctor.PYPROJECT_FILE.read_text())["project"]
    of(monkeypatch)
    told = [(state, text) for state, text in doctor.run_check(doctor.check_installation) if "is not installed" in text]
    assert len([state for state, _ in told if state == "problem"]) == len(about["dependencies"])
    extras = [line for extra, lines in about["optional-dependencies"].items() if extra != "dev" for line in lines]
    assert len([state for state, _ in told if state == "ok"]) == len(extras)


def test_another_python_on_the_path_is_a_warning(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = Path(sys.executable).parent
    monkeypatch.setenv("PATH", str(here))
    assert not [text for _, text in doctor.run_check(doctor.check_project) if "`python`" in text]
    monkeypatch.setenv("PATH", str(project))
    warned = [text for state, text in doctor.run_check(doctor.check_project) if state == "warning"]
    assert warned == [f'the `python` of DVC\'s stages is not found; export PATH="{here}:$PATH"']


def test_sources_are_told_apart_by_what_is_missing_of_them(project: Path) -> None:
    content = yaml.safe_load(Path("params.yaml").read_text())
    content["sources"] = ["bare", "sample_photos", "pulled", "versioned"]
    Path("params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    for source in ("bare", "versioned"):
        write_fer2013_csv(Path("data/raw", source, "fer2013.csv"))
    for source in ("pulled", "versioned"):
        Path(f"data/raw/{source}.dvc").touch()
    told = list(doctor.run_check(doctor.check_sources))
    assert [text for state, text in told if state != "ok"] == [
        "bare: its files are not versioned; `dvc add data/raw/bare`",
        "pulled: not here; `dvc pull data/raw/pulled.dvc` gets it",
    ]
    assert ("ok", "sample_photos: will be drawn by `dvc repro`") in told


def test_what_the_last_run_found_wrong_with_the_data_is_told_again(project: Path) -> None:
    report = '{"similar_twins_as_supplied": {"test_in_train": 7}, "supplied": {"mine": {"notes": ["odd pixels"]}}}'
    Path("data/unified").mkdir(parents=True)
    Path("data/unified/report.json").write_text(report)
    warned = [text for state, text in doctor.run_check(doctor.check_sources) if state == "warning"]
    assert warned == [
        "7 test faces have a twin in training; the twins are excluded from training",
        "mine: odd pixels",
    ]


def test_a_device_that_is_not_there_is_a_problem(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_DEVICE", "abacus")
    assert [state for state, _ in doctor.run_check(doctor.check_device)] == ["problem"]


@pytest.mark.parametrize(("flags", "state"), [("fpu avx2", "warning"), ("fpu avx512_bf16", "ok"), ("amx_bf16", "ok")])
def test_bf16_needs_a_processor_that_has_it(
    project: Path, monkeypatch: pytest.MonkeyPatch, flags: str, state: str
) -> None:
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace("precision: fp32", "precision: bf16"))
    monkeypatch.setenv("FER_DEVICE", "cpu")
    monkeypatch.setattr(Path, "is_file", lambda _: True)
    read_text = Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda path, **how: flags if "cpuinfo" in str(path) else read_text(path, **how)
    )
    assert [found for found, text in doctor.run_check(doctor.check_device) if "bf16" in text] == [state]


def test_what_several_checks_find_is_told_once(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("params.yaml").write_text("seed: none\n")
    assert call_fer(monkeypatch, "doctor") == 1
    assert capsys.readouterr().out.count("seed is 'none'") == 1


@pytest.fixture
def noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose lock notes a file and a folder, both in DVC's cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "run_dvc", lambda *arguments: f"{tmp_path / 'cache'}\n")
    outs = []

    def keep(content: bytes, suffix: str = "") -> str:
        digest = hashlib.md5(content).hexdigest()
        path = tmp_path / "cache/files/md5" / digest[:2] / (digest[2:] + suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return digest + suffix

    for name in ("file", "folder/a", "folder/b"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(name)
    outs.append({"path": "file", "md5": keep(b"file")})
    listed = [{"md5": keep(f"folder/{name}".encode()), "relpath": name} for name in "ab"]
    outs.append({"path": "folder", "md5": keep(json.dumps(listed).encode(), ".dir")})
    Path("dvc.lock").write_text(yaml.safe_dump({"stages": {"one": {"outs": outs}}}))
    return tmp_path


def test_sound_files_are_counted(noted: Path) -> None:
    assert list(doctor.check_files()) == [("ok", "7 files in DVC's cache and among the results are as DVC noted them")]


def test_each_damaged_file_of_the_cache_and_the_results_is_named(noted: Path) -> None:
    objects = [path for path in noted.glob("cache/**/*") if path.is_file()]
    for path in (*objects, Path("file"), Path("folder/a"), Path("folder/b")):
        content = path.read_bytes()
        path.write_bytes(content + b"x")
        named = [text for state, text in doctor.check_files() if state == "problem"]
        assert named == [f"{path}: not the content that DVC noted; delete it, then `dvc pull` or `dvc repro`"]
        path.write_bytes(content)


def test_files_that_are_not_here_are_no_damage(noted: Path) -> None:
    Path("file").unlink()
    assert next(doctor.check_files()) == ("ok", "6 files in DVC's cache and among the results are as DVC noted them")
