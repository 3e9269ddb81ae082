"""`fer add` loses no file, leaves no half-done work behind, and reads every name as a string."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from commands import call_fer, write_fer2013_csv, write_images

from fer.cli import add
from fer.experiments.dvc import run_dvc
from fer.params import load_params
from fer.runtime.errors import InputError


@pytest.mark.parametrize("name", ["2013", "null", "yes", "1e3"])
def test_a_name_that_yaml_would_read_as_another_type_stays_a_string(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    write_fer2013_csv(project / name / "fer2013.csv")
    assert call_fer(monkeypatch, "add", name, "--reader", "fer2013_csv") is None
    assert load_params().sources[-1] == name
    assert load_params().ingest.readers == {name: "fer2013_csv"}


@pytest.mark.parametrize("move", [False, True])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), InputError("`dvc add` failed: no space")])
def test_files_stay_in_place_if_dvc_is_stopped(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, move: bool
) -> None:
    def stop(_: str, home: str) -> None:
        Path(f"{home}.dvc").touch()
        raise error

    monkeypatch.setattr(add, "run_dvc", stop)
    path = write_fer2013_csv(tmp_path / "mine/deep/fer2013.csv")
    content, params = path.read_bytes(), Path("params.yaml").read_bytes()
    assert isinstance(call_fer(monkeypatch, "add", str(tmp_path / "mine"), *(["--move"] if move else [])), str)
    assert path.read_bytes() == content
    assert Path("params.yaml").read_bytes() == params
    assert list(Path("data/raw").iterdir()) == []


@pytest.mark.parametrize("can_link", [True, False])
@pytest.mark.parametrize("is_file", [True, False])
def test_moved_files_arrive_complete_on_any_disk(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_link: bool, is_file: bool
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    if not can_link:
        monkeypatch.setattr("os.link", refuse)
    path = write_fer2013_csv(tmp_path / "mine/fer2013.csv")
    content, src = path.read_bytes(), path if is_file else path.parent
    assert call_fer(monkeypatch, "add", str(src), "--move", "--name", "there") is None
    assert Path("data/raw/there/fer2013.csv").read_bytes() == content
    assert not src.exists()


def test_an_interrupted_copy_is_removed(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_halfway(_: Path, dst: Path, **__: object) -> None:
        dst.mkdir()
        raise OSError(28, "No space left on device", str(dst))

    write_fer2013_csv(tmp_path / "mine/fer2013.csv")
    monkeypatch.setattr(shutil, "copytree", fail_halfway)
    assert call_fer(monkeypatch, "add", str(tmp_path / "mine")) == "error: data/raw/mine: No space left on device"
    assert list(Path("data/raw").iterdir()) == []


@pytest.mark.parametrize("path", [".", "..", "data", "data/raw"])
def test_the_project_is_not_copied_into_itself(project: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    write_images(project / "data/raw/one")
    message = call_fer(monkeypatch, "add", path, "--name", "mine", "--reader", "tree")
    assert message == f"error: {path}: contains the project itself; name a folder inside the project, or elsewhere"


def test_the_name_of_a_source_that_dvc_has_not_pulled_is_taken(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_fer2013_csv(project / "x/fer2013.csv")
    Path("data/raw").mkdir(parents=True)
    Path("data/raw/x.dvc").write_text("other files")
    message = call_fer(monkeypatch, "add", "x")
    assert isinstance(message, str)
    assert "data/raw/x.dvc exists already" in message
    assert Path("data/raw/x.dvc").read_text() == "other files"


def test_a_source_keeps_its_reader_and_can_become_the_first_later(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_images(project / "data/raw/own/a")  # the reader `photos` would match too
    assert call_fer(monkeypatch, "add", "data/raw/own", "--reader", "tree") is None
    capsys.readouterr()
    params = Path("params.yaml").read_bytes()
    assert call_fer(monkeypatch, "add", "data/raw/own") is None
    output = capsys.readouterr().out
    assert "own: 3 faces, read as tree" in output
    assert "own was a source already" in output
    assert Path("params.yaml").read_bytes() == params
    assert call_fer(monkeypatch, "add", "data/raw/own", "--first") is None
    assert load_params().sources[0] == "own"
    assert call_fer(monkeypatch, "add", "data/raw/own", "--replace") is None
    assert load_params().sources == ["own"]
    assert load_params().ingest.readers == {"own": "tree"}


def test_drawn_faces_are_versioned_by_their_stage_only(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_fer2013_csv(project / "data/raw/sample_fer2013/fer2013.csv")
    assert call_fer(monkeypatch, "add", "data/raw/sample_fer2013") is None
    assert not Path("data/raw/sample_fer2013.dvc").exists()


def test_a_file_directly_in_data_raw_is_moved_into_a_folder(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_fer2013_csv(project / "data/raw/fer2013.csv")
    assert call_fer(monkeypatch, "add", "data/raw/fer2013.csv") is None
    assert Path("data/raw/fer2013/fer2013.csv").is_file()


def test_a_message_names_the_path_of_the_command_line(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "words.txt").touch()
    message = call_fer(monkeypatch, "add", "words.txt")
    assert isinstance(message, str)
    assert message.startswith("error: words.txt: holds words.txt, but no faces in a known layout")


def test_excluded_emotions_unusable_rows_and_disk_use_are_reported(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = yaml.safe_load(Path("params.yaml").read_text())
    content["emotions"].remove("neutral")
    content["ingest"]["max_dropped"] = 0.1
    Path("params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    path = write_fer2013_csv(project / "x/fer2013.csv")
    path.write_text(path.read_text() + "0,1 2 3,Training\n" * 3)
    assert call_fer(monkeypatch, "add", "x") is None
    output = capsys.readouterr().out
    assert "warning: 20.0% can't be used" in output  # 3 of 12 + 3
    assert "note: neutral is not in `emotions`" in output
    assert "0.1 MB in data/raw/x and in DVC's cache, 0.0 MB in data/sources" in output


def test_the_error_of_dvc_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"^`dvc add x` failed: you are not inside of a DVC repository"):
        run_dvc("add", "x")


def test_an_added_source_survives_dvc_gc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # `dvc gc` deletes the cache of files in a folder of which git ignores "*": DVC does not look into such folders
    # (github.com/treeverse/dvc/issues/10987).
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    shutil.copy(Path(__file__).parents[2] / ".gitignore", ".gitignore")
    write_fer2013_csv(Path("data/raw/mine/fer2013.csv"))
    dvc = [sys.executable, "-m", "dvc"]
    for command in (
        ["git", "init", "-q"],
        [*dvc, "init", "-q"],
        [*dvc, "add", "-q", "data/raw/mine"],
        [*dvc, "gc", "-q", "-f", "--workspace"],
    ):
        subprocess.run(command, check=True, capture_output=True)
    assert len([path for path in Path(".dvc/cache/files").rglob("*") if path.is_file()]) == 2
    ignored = subprocess.run(["git", "check-ignore", "data/raw/mine"], check=False, capture_output=True)
    assert ignored.returncode == 0
