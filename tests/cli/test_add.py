"""What `fer add` must never do: lose a file, leave half of its work behind, or take a name for something else."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from commands import call_fer, write_fer2013_csv, write_images

from fer.cli import add
from fer.experiments.dvc_experiments import run_dvc
from fer.params import load_params
from fer.runtime.errors import InputError


@pytest.mark.parametrize("name", ["2013", "null", "yes", "1e3"])
def test_a_name_that_yaml_takes_for_something_else_is_still_a_name(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    write_fer2013_csv(project / name / "fer2013.csv")
    assert call_fer(monkeypatch, "add", name, "--reader", "fer2013_csv") is None
    assert load_params().sources[-1] == name
    assert load_params().ingest.readers == {name: "fer2013_csv"}


@pytest.mark.parametrize("move", [False, True])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), InputError("`dvc add` failed: no space")])
def test_whatever_stops_dvc_the_files_are_where_they_were(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, move: bool
) -> None:
    def stop(_: str, home: str) -> None:
        Path(f"{home}.dvc").touch()
        raise error

    monkeypatch.setattr(add, "run_dvc", stop)
    path = write_fer2013_csv(tmp_path / "mine/deep/fer2013.csv")
    before, text = path.read_bytes(), Path("params.yaml").read_bytes()
    assert isinstance(call_fer(monkeypatch, "add", str(tmp_path / "mine"), *(["--move"] if move else [])), str)
    assert path.read_bytes() == before
    assert Path("params.yaml").read_bytes() == text
    assert list(Path("data/raw").iterdir()) == []


@pytest.mark.parametrize("can_link", [True, False])
@pytest.mark.parametrize("is_file", [True, False])
def test_what_is_moved_arrives_whole_on_any_disk(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_link: bool, is_file: bool
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    if not can_link:
        monkeypatch.setattr("os.link", refuse)
    path = write_fer2013_csv(tmp_path / "mine/fer2013.csv")
    content, moved = path.read_bytes(), path if is_file else path.parent
    assert call_fer(monkeypatch, "add", str(moved), "--move", "--name", "there") is None
    assert Path("data/raw/there/fer2013.csv").read_bytes() == content
    assert not moved.exists()


def test_a_copy_that_breaks_off_is_cleared_away(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(_: Path, home: Path, **__: object) -> None:
        home.mkdir()
        raise OSError(28, "No space left on device", str(home))

    write_fer2013_csv(tmp_path / "mine/fer2013.csv")
    monkeypatch.setattr(shutil, "copytree", half)
    assert call_fer(monkeypatch, "add", str(tmp_path / "mine")) == "error: data/raw/mine: No space left on device"
    assert list(Path("data/raw").iterdir()) == []


@pytest.mark.parametrize("path", [".", "..", "data", "data/raw"])
def test_the_project_is_not_copied_into_itself(project: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    write_images(project / "data/raw/one")
    ended = call_fer(monkeypatch, "add", path, "--name", "mine", "--reader", "tree")
    assert ended == f"error: {path}: holds the project itself; name a folder inside it, or one elsewhere"


def test_a_source_that_is_versioned_but_not_here_keeps_its_name(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_fer2013_csv(project / "x/fer2013.csv")
    Path("data/raw").mkdir(parents=True)
    Path("data/raw/x.dvc").write_text("other files")
    ended = call_fer(monkeypatch, "add", "x")
    assert isinstance(ended, str)
    assert "data/raw/x.dvc is there already" in ended
    assert Path("data/raw/x.dvc").read_text() == "other files"


def test_a_source_keeps_its_reader_and_can_be_put_first_later(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_images(project / "data/raw/own/a")  # `photos` would read it, too
    assert call_fer(monkeypatch, "add", "data/raw/own", "--reader", "tree") is None
    capsys.readouterr()
    before = Path("params.yaml").read_bytes()
    assert call_fer(monkeypatch, "add", "data/raw/own") is None
    said = capsys.readouterr().out
    assert "own: 3 faces, read as tree" in said
    assert "own was a source already" in said
    assert Path("params.yaml").read_bytes() == before
    assert call_fer(monkeypatch, "add", "data/raw/own", "--first") is None
    assert load_params().sources[0] == "own"
    assert call_fer(monkeypatch, "add", "data/raw/own", "--replace") is None
    assert load_params().sources == ["own"]
    assert load_params().ingest.readers == {"own": "tree"}


def test_drawn_faces_are_left_to_the_stage_that_draws_them(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_fer2013_csv(project / "data/raw/sample_fer2013/fer2013.csv")
    assert call_fer(monkeypatch, "add", "data/raw/sample_fer2013") is None
    assert not Path("data/raw/sample_fer2013.dvc").exists()


def test_a_file_may_lie_in_data_raw_itself(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_fer2013_csv(project / "data/raw/fer2013.csv")
    assert call_fer(monkeypatch, "add", "data/raw/fer2013.csv") is None
    assert Path("data/raw/fer2013/fer2013.csv").is_file()


def test_a_message_names_the_path_that_the_user_gave(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "words.txt").touch()
    ended = call_fer(monkeypatch, "add", "words.txt")
    assert isinstance(ended, str)
    assert ended.startswith("error: words.txt: holds words.txt, but no faces in a known layout")


def test_it_says_what_will_be_excluded_what_stops_the_run_and_what_disk_it_takes(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = yaml.safe_load(Path("params.yaml").read_text())
    content["emotions"].remove("neutral")
    content["ingest"]["max_dropped"] = 0.1
    Path("params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    path = write_fer2013_csv(project / "x/fer2013.csv")
    path.write_text(path.read_text() + "0,1 2 3,Training\n" * 3)
    assert call_fer(monkeypatch, "add", "x") is None
    said = capsys.readouterr().out
    assert "warning: 20.0% can't be used" in said  # 3 of 12 + 3
    assert "note: neutral is not in `emotions`" in said
    assert "0.1 MB in data/raw/x, as much in DVC's cache, 0.0 MB in data/sources" in said


def test_what_dvc_says_went_wrong_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"^`dvc add x` failed: you are not inside of a DVC repository"):
        run_dvc("add", "x")


def test_what_is_added_outlives_the_deletion_of_older_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # DVC does not look into a folder of which git ignores "*", and takes what is versioned there for rubbish
    # (github.com/treeverse/dvc/issues/10987)
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
