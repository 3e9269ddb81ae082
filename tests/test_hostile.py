"""The harnesses of tests/robustness that hand in hostile and random files, in a short form."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fer.training.checkpoint import Checkpoint
from tests.robustness.hostile_files import hostile_checkpoints

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    "command",
    [
        ["hostile", "params", "packages", "checkpoints", "arrays", "--every", "8"],
        ["fuzz", "sheets", "parameters", "--seconds", "2"],
    ],
    ids=lambda command: command[0],
)
@pytest.mark.harden
def test_no_file_does_harm(tmp_path: Path, command: list[str]) -> None:
    name, *arguments = command
    call = [sys.executable, "-m", f"tests.robustness.{name}", *arguments, "--out", str(tmp_path)]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    figures = json.loads((tmp_path / f"{name}.json").read_text())
    assert figures["lost"] == 0
    assert all(figures["tried"].values())


def test_hostile_checkpoints_reach_the_parser_of_the_state(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for content in hostile_checkpoints().values():
        (tmp_path / "checkpoint").write_bytes(content)
        Checkpoint(tmp_path / "checkpoint", "x")
    output = capsys.readouterr().out
    assert "the state is not that of a training" in output
    assert "checksum" not in output
