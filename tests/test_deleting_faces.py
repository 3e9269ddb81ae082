"""The commands of docs/deleting_faces.md remove an image from data, cache and remote."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "deleting_faces.md").read_text(encoding="utf-8")
IMAGE = b"the pixels of one person"
PROGRAMS = f"""
set -e
fer() {{ {sys.executable} -c 'from fer.cli import main; main()' "$@"; }}
dvc() {{ {sys.executable} -m dvc "$@"; }}
"""
SETUP = """
git init -q && dvc init -q && dvc config core.analytics false
dvc remote add -q --default store ../remote
dvc add -q data/raw/NAME data/raw/OLD && dvc repro -q && git add . && git commit -qm "Begin" && dvc push -q
"""


def bash(commands: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "GIT_CONFIG_GLOBAL": os.devnull}
    for role in ("AUTHOR", "COMMITTER"):
        environment |= {f"GIT_{role}_NAME": "somebody", f"GIT_{role}_EMAIL": "somebody@example.org"}
    completed = subprocess.run(
        ["bash", "-c", PROGRAMS + commands],
        input="y\n" * 9,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not completed.returncode, completed.stdout + completed.stderr


def find_image(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and IMAGE in path.read_bytes()]


@pytest.mark.harden
def test_the_commands_remove_all_traces_of_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    shutil.copy(ROOT / ".gitignore", ".gitignore")
    content = yaml.safe_load((ROOT / "params.yaml").read_text()) | {"sources": ["NAME"]}
    Path("params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    for source in ("NAME", "OLD"):
        Path("data/raw", source).mkdir(parents=True)
        Path("data/raw", source, "PATTERN").write_bytes(IMAGE)  # the file name in the commands of the page
        Path("data/raw", source, "other.jpg").write_bytes(b"another person")
    unify = {"cmd": "cp -r data/raw/NAME data/unified", "deps": ["data/raw/NAME"], "outs": ["data/unified"]}
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": {"unify": unify}}))
    bash(SETUP)
    folders = (Path("data"), Path(".dvc/cache"), tmp_path / "remote")
    assert all(map(find_image, folders))
    bash("".join(re.findall(r"(?:^ {4}.*\n)+", PAGE, re.MULTILINE)))
    assert not any(map(find_image, (*folders, tmp_path)))
    assert Path("data/unified/other.jpg").is_file()
