import shutil
from pathlib import Path

import pytest

from fer.cli import add, remove

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty project; a stub of DVC writes and removes .dvc files."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    shutil.copy(PROJECT / "params.yaml", "params.yaml")
    monkeypatch.setenv("FER_NPROC", "1")

    def dvc(command: str, *arguments: str) -> None:
        if command == "add":
            Path(f"{arguments[-1]}.dvc").touch()
        else:
            Path(arguments[-1]).unlink()

    monkeypatch.setattr(add, "run_dvc", dvc)
    monkeypatch.setattr(remove, "run_dvc", dvc)
    return tmp_path / "project"
