"""`fer remove` deletes the files of a source and no others."""

import os
from pathlib import Path

import pytest
from commands import call_fer, write_fer2013_csv, write_images


@pytest.mark.parametrize("name", ["", ".", "..", "../raw", ".gitignore", "a/b", "a\\b"])
def test_only_names_of_sources_are_accepted(project: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    write_fer2013_csv(project / "data/raw/a/b/fer2013.csv")
    (project / "data/raw/.gitignore").touch()
    (project / "data/sources/a").mkdir(parents=True)
    paths = sorted(project.rglob("*"))
    assert "must be the name of a source" in str(call_fer(monkeypatch, "remove", name, "--yes"))
    assert sorted(project.rglob("*")) == paths


def test_only_the_link_to_a_folder_is_removed(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_images(tmp_path / "elsewhere")
    Path("data/raw").mkdir(parents=True)
    Path("data/raw/linked").symlink_to(tmp_path / "elsewhere")
    assert call_fer(monkeypatch, "remove", "linked", "--yes") is None
    assert not os.path.lexists("data/raw/linked")
    assert len(list((tmp_path / "elsewhere").iterdir())) == 3


def test_files_that_cant_be_deleted_are_reported(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_images(project / "data/raw/mine")

    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr("shutil.rmtree", refuse)
    assert call_fer(monkeypatch, "remove", "mine", "--yes") == "error: data/raw/mine: Permission denied"


def test_faces_of_an_unlisted_source_can_be_removed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_images(project / "data/sources/old")
    params = Path("params.yaml").read_bytes()
    assert call_fer(monkeypatch, "remove", "old", "--yes") is None
    assert not Path("data/sources/old").exists()
    assert Path("params.yaml").read_bytes() == params
