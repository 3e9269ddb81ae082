"""The project as a git repository of its own, on few drawn faces, with small networks."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FOLDERS = ("fer", "pipeline")
FILES = ("dvc.yaml", ".dvcignore", ".gitignore", "data/reviews.csv", "data/pseudo_labels/.gitkeep")
SMALL = {
    "ensemble": {"simple_cnn": 1},
    "sample": {"labelled": 140, "tests": 70, "photos": 40},
    "ingest": {"max_dropped": 0.3},
    "train": {"epochs": 2},
}
ENVIRONMENT = os.environ | {
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "PYTHONPATH": "",
    **{f"GIT_{who}_{what}": "nobody" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}


def call(folder: Path, *command: str, fails: bool = False) -> str:
    """What a command says, both streams together.

    Raises:
        RuntimeError: it fails, or with `fails` does not.
    """
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    if bool(done.returncode) != fails:
        raise RuntimeError(f"{' '.join(command)} ends with {done.returncode}\n{said[-3000:]}")
    return said


def copied(folder: Path, changes: Mapping[str, Any]) -> None:
    """Code and parameters into `folder`; a section of `changes` is merged into that of params.yaml."""
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    chosen = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for key, value in changes.items():
        chosen[key] = value if key == "ensemble" else chosen[key] | value
    chosen["pseudo_label"]["policies"]["fixed"]["threshold"] = 0.2
    (folder / "params.yaml").write_text(yaml.safe_dump(chosen, sort_keys=False), encoding="utf-8")


def made(folder: Path) -> Path:
    """A repository in `folder`, with everything run and committed."""
    copied(folder, SMALL)
    call(folder, "git", "init", "--quiet")
    call(folder, "dvc", "init", "--quiet")
    shutil.copy(ROOT / ".dvc/config", folder / ".dvc/config")
    call(folder, "dvc", "repro", "--quiet")
    committed(folder)
    return folder


def committed(folder: Path) -> None:
    call(folder, "git", "add", "--all")
    call(folder, "git", "commit", "--quiet", "--message", "Everything")


def ran(said: str) -> list[str]:
    """The stages that `dvc repro` says it ran."""
    return re.findall(r"Running stage '([^']+)'", said)
