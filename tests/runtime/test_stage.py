"""A stage fails if its inputs change while it runs."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fer.runtime import stage as runtime_stage
from fer.runtime.errors import InputError

STAGES = """
stages:
  train:
    matrix: {network: [a]}
    params: [seed, "networks.${item.network}"]
  ingest:
    foreach: [a]
    do: {params: [ingest]}
"""
PARAMS = "seed: 0\nnetworks: {a: 1}\ningest: {size: 48}\nother: 1\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("dvc.yaml").write_text(STAGES)
    Path("params.yaml").write_text(PARAMS)
    Path("input").mkdir()
    Path("input/one").write_text("1")
    monkeypatch.setenv("DVC_STAGE", "train@a")
    monkeypatch.setattr(sys, "argv", ["train.py", "a", "--faces", "input", "--models", "models", "--out", "models/a"])
    return tmp_path


def replace_param(old: str, new: str) -> None:
    Path("params.yaml").write_text(PARAMS.replace(old, new))


@pytest.mark.parametrize(
    ("stage", "edit", "name"),
    [
        ("train@a", lambda: replace_param("seed: 0", "seed: 1"), "seed in params.yaml"),
        ("train@a", lambda: replace_param("a: 1", "a: 2"), "networks in params.yaml"),
        ("ingest@a", lambda: replace_param("48", "64"), "ingest in params.yaml"),
        ("train@a", lambda: Path("input/one").write_text("22"), "input"),
        ("train@a", lambda: Path("input/two").write_text("1"), "input"),
        ("train@a", lambda: Path("input/one").unlink(), "input"),
    ],
)
def test_a_changed_input_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch, stage: str, edit: Callable[[], object], name: str
) -> None:
    monkeypatch.setenv("DVC_STAGE", stage)
    with pytest.raises(InputError, match=f"^{name}: changed while this stage ran; run `dvc repro` again"):
        runtime_stage.fail_if_inputs_changed(edit)


def test_files_that_the_stage_does_not_read_may_change(project: Path) -> None:
    def edit() -> None:
        Path("params.yaml").write_text(PARAMS.replace("other: 1", "other: 2").replace("48", "64"))
        for name in ("a", "b"):
            Path("models", name).mkdir(parents=True)
            Path("models", name, "weights").write_text("1")

    runtime_stage.fail_if_inputs_changed(edit)


def test_without_dvc_parameters_may_change(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DVC_STAGE")
    runtime_stage.fail_if_inputs_changed(lambda: Path("params.yaml").write_text("seed: 1\n"))


def test_only_loaded_code_is_compared(tmp_path: Path) -> None:
    shutil.copytree(runtime_stage.PROJECT_ROOT / "fer", tmp_path / "fer", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "pipeline").mkdir()
    for name in ("fer/used.py", "fer/unused.py", "pipeline/__init__.py"):
        (tmp_path / name).touch()
    (tmp_path / "pipeline" / "stage.py").write_text(
        "import os\nfrom pathlib import Path\nimport fer.used\nfrom fer.runtime.stage import run_stage\n"
        "run_stage(lambda: Path(os.environ['EDITED']).write_text('x = 1'))\n"
    )

    def run(edited_file: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pipeline.stage"]
        environment = os.environ | {"PYTHONPATH": str(tmp_path), "EDITED": edited_file}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert run("fer/unused.py").stderr == ""
    completed = run("fer/used.py")
    assert completed.returncode == 1
    assert completed.stderr == "error: fer/used.py: changed while this stage ran; run `dvc repro` again\n"


def test_an_output_that_already_exists_may_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = tmp_path / "history.csv"
    history.write_text("old")
    monkeypatch.setattr(sys, "argv", ["evaluate.py", "--history", str(history), "--out", str(tmp_path / "metrics")])
    runtime_stage.fail_if_inputs_changed(lambda: history.write_text("new"))
