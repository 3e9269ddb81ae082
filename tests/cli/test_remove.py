"""What `fer remove` may delete, and that it is gone when it says so."""

import os
from pathlib import Path

import pytest
from commands import call_fer, write_fer2013_csv, write_images


@pytest.mark.parametrize("name", ["", ".", "..", "../raw", ".gitignore", "a/b", "a\\b"])
def test_only_names_are_taken(project: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    write_fer2013_csv(project / "data/raw/a/b/fer2013.csv")
    (project / "data/raw/.gitignore").touch()
    (project / "data/sources/a").mkdir(parents=True)
    before = sorted(project.rglob("*"))
    assert "must be the name of a source" in str(call_fer(monkeypatch, "remove", name, "--yes"))
    assert sorted(project.rglob("*")) == before


def test_of_a_linked_folder_the_link_alone_is_removed(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(tmp_path / "elsewhere")
    Path("data/raw").mkdir(parents=True)
    Path("data/raw/linked").symlink_to(tmp_path / "elsewhere")
    assert call_fer(monkeypatch, "remove", "linked", "--yes") is None
    assert not os.path.lexists("data/raw/linked")
    assert len(list((tmp_path / "elsewhere").iterdir())) == 3


def test_what_can_t_be_deleted_is_told(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_images(project / "data/raw/mine")

    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr("shutil.rmtree", refuse)
    assert call_fer(monkeypatch, "remove", "mine", "--yes") == "error: data/raw/mine: Permission denied"


def test_faces_left_of_a_source_long_gone_can_be_removed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_images(project / "data/sources/old")
    before = Path("params.yaml").read_bytes()
    assert call_fer(monkeypatch, "remove", "old", "--yes") is None
    assert not Path("data/sources/old").exists()
    assert Path("params.yaml").read_bytes() == before
