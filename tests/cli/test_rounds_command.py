"""`fer rounds` writes the number of rounds, or searches the best one and leaves the project in its state."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import call_fer

from fer.cli import rounds
from fer.cli.paths import ROUND_FOLDERS
from fer.experiments.rounds import sequential_rounds
from fer.params import load_params

PROJECT = Path(__file__).parents[2]
STAGE = """
import json, pathlib, time, yaml
retrain = yaml.safe_load(open("params.yaml"))["rounds"]["retrain"]
if pathlib.Path("wait").exists():
    pathlib.Path("wait").unlink()
    try:
        time.sleep(1000)
    finally:
        time.sleep(1)  # a training does not stop at once
summary = {n: {"valid_accuracy": 0.5, "valid_macro_f1": 0.3} for n in [0, *retrain]}
pathlib.Path("metrics").mkdir(exist_ok=True)
pathlib.Path("metrics/summary.json").write_text(json.dumps(summary))
"""


def read_rounds() -> Any:
    return yaml.safe_load(Path("params.yaml").read_text())["rounds"]


class Repro:
    """A stub of `dvc repro` that writes the given validation accuracies into the summary, by round."""

    def __init__(self, *accuracies: float) -> None:
        self.accuracies = accuracies
        self.ran: list[tuple[int, tuple[str, ...]]] = []
        self.fails_at: dict[int, BaseException] = {}

    def __call__(self, *stages: str) -> None:
        count = len(read_rounds()["retrain"])
        self.ran.append((count, stages))
        if count in self.fails_at:
            raise self.fails_at[count]
        summary = {
            round_: {"test_accuracy": 1 - accuracy, "valid_accuracy": accuracy, "valid_macro_f1": 0.1}
            for round_, accuracy in enumerate(self.accuracies[: count + 1])
        }
        Path("metrics").mkdir(exist_ok=True)
        Path("metrics/summary.json").write_text(json.dumps(summary))


@pytest.fixture
def repro(project: Path, monkeypatch: pytest.MonkeyPatch) -> Repro:
    stub = Repro(0.5, 0.6, 0.7, 0.65, 0.8)
    monkeypatch.setattr(rounds, "run_dvc_repro", stub)
    monkeypatch.setattr(rounds, "run_dvc", lambda *arguments: "")
    return stub


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_number_of_rounds_is_written_and_nothing_runs(
    repro: Repro, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], count: int
) -> None:
    assert call_fer(monkeypatch, "rounds", str(count)) is None
    assert read_rounds() == sequential_rounds(count)
    assert len(load_params().rounds.retrain) == count
    assert repro.ran == []
    assert "now run `dvc repro`" in capsys.readouterr().out


def test_only_outputs_of_later_rounds_are_removed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ROUND_FOLDERS:
        for name in ("0", "1", "2", "10", "mine"):
            (folder / name / "improved_se").mkdir(parents=True)
    assert call_fer(monkeypatch, "rounds", "1") is None
    for folder in ROUND_FOLDERS:
        assert {path.name for path in folder.iterdir()} == {"0", "1", "mine"}


def test_the_search_stops_when_validation_no_longer_improves_and_keeps_the_best(
    repro: Repro, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call_fer(monkeypatch, "rounds", "5", "--until-best") is None
    assert repro.ran == [(1, ("evaluate",)), (2, ("evaluate",)), (3, ("evaluate",)), (2, ())]
    assert read_rounds() == sequential_rounds(2)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.endswith("kept")] == ["2"]
    assert sum("%" in line for line in lines) == 4, "the round without improvement is in the table too"


@pytest.mark.parametrize(
    ("arguments", "best", "tried"),
    [
        (["1", "--until-best"], 1, 1),
        (["2", "--until-best"], 2, 2),
        (["4", "--until-best", "--patience", "2"], 4, 4),
        (["3", "--until-best", "--patience", "2"], 2, 3),
    ],
)
def test_the_search_stops_at_the_limit_or_after_the_patience(
    repro: Repro, monkeypatch: pytest.MonkeyPatch, arguments: list[str], best: int, tried: int
) -> None:
    assert call_fer(monkeypatch, "rounds", *arguments) is None
    assert read_rounds() == sequential_rounds(best)
    assert max(count for count, _ in repro.ran) == tried
    assert repro.ran[-1] == (best, ())


def test_no_round_is_kept_if_pseudo_labels_do_not_help(repro: Repro, monkeypatch: pytest.MonkeyPatch) -> None:
    repro.accuracies = (0.5, 0.5)
    assert call_fer(monkeypatch, "rounds", "5", "--until-best") is None
    assert repro.ran == [(1, ("evaluate",)), (0, ())]
    assert read_rounds() == sequential_rounds(0)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (KeyboardInterrupt(), "interrupted"),
        (subprocess.CalledProcessError(1, ["python", "-m", "dvc", "repro"]), "`dvc repro` failed, see above"),
    ],
)
def test_an_interrupted_search_reports_the_state_of_params_and_goes_on_later(
    repro: Repro, monkeypatch: pytest.MonkeyPatch, error: BaseException, message: str
) -> None:
    repro.fails_at = {2: error}
    assert call_fer(monkeypatch, "rounds", "5", "--until-best") == (
        f"error: {message}; params.yaml now has 2 rounds after round 0 (it had 1); "
        "run the same command again to go on from DVC's cache"
    )
    assert read_rounds() == sequential_rounds(2)
    repro.fails_at = {}
    assert call_fer(monkeypatch, "rounds", "5", "--until-best") is None
    assert read_rounds() == sequential_rounds(2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-1"], "N is -1; must be at least 0"),
        (["0", "--until-best"], "N is 0; must be at least 1"),
        (["2", "--patience", "2"], "--patience: needs --until-best"),
        (["2", "--until-best", "--patience", "0"], "--patience 0: must be at least 1"),
    ],
)
def test_impossible_arguments_change_nothing(
    repro: Repro, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    params = Path("params.yaml").read_bytes()
    assert str(call_fer(monkeypatch, "rounds", *arguments)).startswith(f"error: {message}")
    assert Path("params.yaml").read_bytes() == params


@pytest.mark.parametrize("arguments", [["1"], ["5", "--until-best"]])
def test_the_packaged_round_is_not_removed(repro: Repro, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    assert call_fer(monkeypatch, "rounds", "2") is None
    text = Path("params.yaml").read_text().replace("round: best ", "round: 2 ")
    Path("params.yaml").write_text(text)
    message = str(call_fer(monkeypatch, "rounds", *arguments))
    assert re.match(r"error: params\.yaml: .*package\.round.* is 2\b", message)
    assert Path("params.yaml").read_text() == text
    assert repro.ran == []


def test_a_summary_of_another_run_is_rejected(repro: Repro, monkeypatch: pytest.MonkeyPatch) -> None:
    repro.accuracies = (0.5,)
    message = str(call_fer(monkeypatch, "rounds", "5", "--until-best"))
    assert message.startswith("error: metrics/summary.json: round 1 has no valid_accuracy")


def test_nothing_is_changed_outside_of_a_dvc_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = Path("params.yaml").read_bytes()
    message = str(call_fer(monkeypatch, "rounds", "5", "--until-best"))
    assert message.startswith("error: `dvc root` failed: you are not inside of a DVC repository")
    assert Path("params.yaml").read_bytes() == params


def test_ctrl_c_leaves_no_stage_running_and_the_next_search_finishes(project: Path) -> None:
    Path("stage.py").write_text(STAGE)
    stage = {
        "cmd": "python stage.py",
        "params": ["rounds"],
        "metrics": [{"metrics/summary.json": {"cache": False}}],
    }
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": {"evaluate": stage}}))
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "init", "-q", "--no-scm"], check=True, capture_output=True)
    command = [sys.executable, "-c", "from fer.cli import main; main()", "rounds", "5", "--until-best"]
    environment = os.environ | {"PYTHONPATH": str(PROJECT), "PATH": os.defpath}  # without the `python` of this test

    Path("wait").touch()
    with open("stderr", "w") as stderr:
        process = subprocess.Popen(command, env=environment, stderr=stderr, start_new_session=True)
    while Path("wait").exists():
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does for Ctrl-C
    assert process.wait(timeout=300) == 1
    message = Path("stderr").read_text().splitlines()[-1]
    assert message.startswith("error: interrupted; params.yaml now has 1 round after round 0 (it had 1); ")
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)

    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert read_rounds() == sequential_rounds(0)
    assert list(json.loads(Path("metrics/summary.json").read_text())) == ["0"]
    assert "up to date" in subprocess.run([*dvc, "status"], capture_output=True, text=True, check=True).stdout
