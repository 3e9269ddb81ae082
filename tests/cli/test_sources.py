"""`fer add`, `fer remove` and `fer doctor` in a new project; all tests but one use a stub of DVC."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from commands import call_fer, write_fer2013_csv
from PIL import Image

from fer import __version__
from fer.cli import add, doctor
from fer.params import load_params

PROJECT = Path(__file__).parents[2]


def test_a_csv_file_is_reported_copied_versioned_and_listed(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    params = Path("params.yaml").read_text()
    path = write_fer2013_csv(tmp_path / "download/fer2013.csv", 30)
    assert call_fer(monkeypatch, "add", str(path)) is None
    output = capsys.readouterr().out
    assert "fer2013: 30 faces, read as fer2013_csv" in output
    assert "for research" in output
    assert "48 x 48 pixels" in output
    assert "published: 129.4 and 65.0" in output
    assert output.split("happy")[1].split()[:3] == ["2", "1", "1"]
    assert path.exists()
    assert Path("data/raw/fer2013/fer2013.csv").read_bytes() == path.read_bytes()
    assert sorted(entry.name for entry in Path("data/raw").iterdir()) == ["fer2013", "fer2013.dvc"]
    assert load_params().sources[-1] == "fer2013"
    assert "drawn faces (sample_" in output
    assert Path("params.yaml").read_text().replace("- fer2013\n", "") == params


def test_an_archive_is_not_extracted_and_can_replace_all_sources(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "fer 2013.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(write_fer2013_csv(tmp_path / "fer2013.csv"), "fer2013/fer2013.csv")
    assert call_fer(monkeypatch, "add", str(path), "--replace", "--move") is None
    assert load_params().sources == ["fer_2013"]
    assert Path("data/raw/fer_2013/fer 2013.tar.gz").is_file()
    assert not path.exists()


def test_a_folder_is_added_first_with_the_given_reader(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (500, 300), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"mine/{number}.png")
    assert call_fer(monkeypatch, "add", str(tmp_path / "mine"), "--reader", "tree", "--first", "--name", "own") is None
    params = load_params()
    assert params.sources[0] == "own"
    assert params.ingest.readers == {"own": "tree"}
    assert len(list(Path("data/raw/own").iterdir())) == len(list((tmp_path / "mine").iterdir())) == 3


def test_files_in_data_raw_stay_in_place(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_fer2013_csv(project / "data/raw/here/fer2013.csv")
    for _ in range(2):  # a second time changes nothing
        assert call_fer(monkeypatch, "add", "data/raw/here") is None
        assert load_params().sources.count("here") == 1
    assert [entry.name for entry in Path("data/raw/here").iterdir()] == ["fer2013.csv"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("nothing",), "nothing: no such file or folder"),
        (("words",), "words: holds a.txt, but no faces in a known layout"),
        (("fer2013.csv", "--name", "../x"), r"--name ../x: use letters"),
        (("fer2013.csv", "--name", "taken"), "data/raw/taken exists already"),
        (("fer2013.csv", "--reader", "affectnet"), "names the reader 'affectnet', but the readers are"),
    ],
)
def test_an_impossible_source_is_reported_and_nothing_is_changed(
    project: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], problem: str
) -> None:
    write_fer2013_csv(project / "fer2013.csv")
    (project / "words").mkdir()
    (project / "words/a.txt").touch()
    (project / "data/raw/taken").mkdir(parents=True)
    params = Path("params.yaml").read_bytes()
    message = call_fer(monkeypatch, "add", *arguments)
    assert isinstance(message, str)
    assert problem in message
    assert "\n" not in message
    assert Path("params.yaml").read_bytes() == params
    assert [entry.name for entry in Path("data/raw").iterdir()] == ["taken"]


@pytest.mark.parametrize("move", [False, True])
def test_nothing_is_changed_if_dvc_fails(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, move: bool
) -> None:
    from fer.runtime.errors import InputError

    def fail(*_: str) -> None:
        raise InputError("`dvc add` failed: no space")

    monkeypatch.setattr(add, "run_dvc", fail)
    write_fer2013_csv(tmp_path / "mine/fer2013.csv")
    params = Path("params.yaml").read_bytes()
    message = call_fer(monkeypatch, "add", str(tmp_path / "mine"), *(["--move"] if move else []))
    assert message == "error: `dvc add` failed: no space"
    assert Path("params.yaml").read_bytes() == params
    assert list(Path("data/raw").iterdir()) == []
    assert (tmp_path / "mine/fer2013.csv").is_file()


def test_a_source_is_removed_only_with_yes(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_fer2013_csv(project / "fer2013.csv")
    params = Path("params.yaml").read_text()
    call_fer(monkeypatch, "add", "fer2013.csv", "--reader", "fer2013_csv")
    Path("data/sources/fer2013").mkdir(parents=True)
    message = call_fer(monkeypatch, "remove", "fer2013")
    assert isinstance(message, str)
    assert "would delete data/raw/fer2013, data/raw/fer2013.dvc, data/sources/fer2013" in message
    assert Path("data/raw/fer2013").exists()
    assert call_fer(monkeypatch, "remove", "fer2013", "--yes") is None
    assert Path("params.yaml").read_text().split() == params.split()  # a comment may move to the right
    assert list(Path("data/raw").iterdir()) == list(Path("data/sources").iterdir()) == []


def test_only_a_source_can_be_removed_and_not_the_only_one(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "data/precious").mkdir(parents=True)
    for name in ("../precious", "..", "nobody"):
        assert isinstance(call_fer(monkeypatch, "remove", name, "--yes"), str)
    assert (project / "data/precious").exists()
    content = yaml.safe_load(Path("params.yaml").read_text()) | {"sources": ["only"]}
    Path("params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    message = call_fer(monkeypatch, "remove", "only", "--yes")
    assert isinstance(message, str)
    assert "only source" in message


def test_the_doctor_reports_problems_and_exits_with_1(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = yaml.safe_load(Path("params.yaml").read_text()) | {"sources": ["lost", "here"]}
    Path("params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    write_fer2013_csv(project / "data/raw/here/fer2013.csv")
    assert call_fer(monkeypatch, "doctor") == 1
    output = capsys.readouterr().out
    assert "problem  data/raw/lost: no such folder" in output
    assert "ok       here: read as fer2013_csv" in output
    assert "ok       torch " in output
    Path("params.yaml").write_text("seed: none\n")
    assert call_fer(monkeypatch, "doctor") == 1
    assert "problem  params.yaml: " in capsys.readouterr().out


def test_an_exception_in_a_check_is_a_problem() -> None:
    def broken():
        yield "ok", "before"
        raise ZeroDivisionError("reason")

    assert list(doctor.run_check(broken)) == [
        ("ok", "before"),
        ("problem", "broken failed: ZeroDivisionError: reason"),
    ]


def test_the_doctor_finds_no_problem_in_this_project() -> None:
    for check in (
        doctor.check_installation,
        doctor.check_project,
        doctor.check_params,
        doctor.check_device,
        doctor.check_disk,
    ):
        assert [text for severity, text in doctor.run_check(check) if severity == "problem"] == []


def test_the_real_dvc_versions_the_files_and_git_ignores_them(project: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(PROJECT), "GIT_CONFIG_GLOBAL": os.devnull}

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def run_fer(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run(sys.executable, "-c", "from fer.cli import main; main()", *arguments)

    run("git", "init", "-q")
    run(sys.executable, "-m", "dvc", "init", "-q")
    write_fer2013_csv(project / "fer2013.csv")
    done = run_fer("add", "fer2013.csv", "--name", "mine")
    assert (done.returncode, done.stderr) == (0, "")
    assert Path("data/raw/mine.dvc").is_file()
    assert run("git", "check-ignore", "data/raw/mine").returncode == 0
    assert run_fer("remove", "mine", "--yes").returncode == 0
    assert not Path("data/raw/mine.dvc").exists()
    assert not Path("data/raw/mine").exists()


def test_the_help_of_add_lists_the_layouts(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    assert call_fer(monkeypatch, "add", "--help") == 0
    output = capsys.readouterr().out
    assert "ferplus_csv" in output
    assert "fer2013new.csv beside" in output


@pytest.mark.parametrize("command", [[], ["--help"], ["predict", "--help"]], ids=" ".join)
def test_help_imports_no_heavy_package(command: list[str]) -> None:
    code = f"import sys, fer.cli; sys.argv = {['fer', *command]}\ntry: fer.cli.main()\nexcept SystemExit: pass\n"
    code += "sys.exit(bool({'numpy', 'pandas', 'torch', 'cv2', 'pydantic', 'dvc'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("usage: fer")
    assert done.returncode == 0


def test_the_version_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call_fer(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"fer {__version__}\n"
