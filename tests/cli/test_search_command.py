"""`fer search` queues experiments in DVC and compares the finished ones; an error queues nothing."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from commands import call_fer

from fer.cli import search

PROJECT = Path(__file__).parents[2]
STAGE = """
import json, pathlib, yaml
params = yaml.safe_load(open("params.yaml"))
accuracy = params["train"]["batch"] / 100
rounds = {round: {"valid_accuracy": accuracy, "test_accuracy": 0.123} for round in params["rounds"]["predict"]}
pathlib.Path("metrics/summary.json").write_text(json.dumps(rounds))
"""


class Queue:
    """A stub of DVC that records queued experiments and shows them as waiting."""

    def __init__(self) -> None:
        self.queued: list[list[str]] = []
        self.contents: list[Any] = []
        self.ignored = ""
        self.current = yaml.safe_load(Path("params.yaml").read_text())

    def __call__(self, *arguments: str) -> str:
        if arguments[:2] == ("exp", "show"):
            rows = [
                {
                    "name": str(n),
                    "executor": {"state": "queued"},
                    "revs": [{"rev": str(n), "data": self._data(content)}],
                }
                for n, content in enumerate(self.contents)
            ]
            return json.dumps([{"data": self._data(self.current)}, {"experiments": rows}])
        assert arguments[:3] == ("exp", "run", "--queue")
        assert arguments[-1] == "evaluate"
        self.queued.append(list(arguments[4:-1:2]))
        content = json.loads(json.dumps(self.current))
        for change in self.queued[-1]:
            key, _, value = change.removeprefix("++").partition("=")
            section, _, last = key.rpartition(".")
            if section == "train" and last != self.ignored:
                content["train"][last] = json.loads(value)
        if "rounds.retrain=[]" in self.queued[-1]:
            content |= {"rounds": {"predict": [0], "retrain": [], "teacher": {}}}
            content["package"]["round"] = "best"
        self.contents.append(content)
        return ""

    def _data(self, content: Any) -> Any:
        return {"params": {"params.yaml": {"data": content}}}


@pytest.fixture
def queue(project: Path, monkeypatch: pytest.MonkeyPatch) -> Queue:
    queue = Queue()
    monkeypatch.setattr(search, "run_dvc", queue)
    return queue


def test_a_queued_experiment_is_not_queued_again(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call_fer(monkeypatch, "search", "train.batch=8,16") is None
    assert call_fer(monkeypatch, "search", "train.batch=16,8,64", "train.patience=null") is None
    assert [changes[0] for changes in queue.queued] == ["++train.batch=8", "++train.batch=16", "++train.batch=64"]
    assert "queued 1; 2 were queued or finished before" in capsys.readouterr().out


def test_an_experiment_with_rounds_is_another_experiment(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call_fer(monkeypatch, "search", "train.batch=8,16") is None
    assert call_fer(monkeypatch, "search", "train.batch=8,16", "--rounds") is None
    assert queue.queued[2:] == [["++train.batch=8"], ["++train.batch=16"]]


def test_a_longer_random_search_extends_the_shorter_one(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    for count in ("2", "3"):
        assert (
            call_fer(monkeypatch, "search", "train.dropout=0.1..0.5", "train.batch=8..256", "--random", count) is None
        )
    assert len(queue.queued) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train.batch=8,16,1"], "train.batch is 1; it should be greater than or equal to 2"),
        (["train.batch=8,16", "networks.shallow.batch=1,2"], "networks.shallow.batch is 1"),
        (
            ["pseudo_label.policies.fixed.threshold=0.7,0.8"],
            "pseudo_label.policies.fixed.threshold would make no difference",
        ),
        (["train.batch=8..16"], "train.batch has a range"),
        (["train.batch=8,16", "--random", "0"], "--random 0: must be at least 1"),
        (["--random", "3"], "--random: needs KEY=VALUES"),
    ],
)
def test_an_error_queues_nothing(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    assert str(call_fer(monkeypatch, "search", *arguments)).startswith(f"error: {message}")
    assert queue.queued == []


def test_a_value_that_dvc_ignores_is_reported(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    queue.ignored = "batch"
    queue.current["train"]["batch"] = 8
    message = str(call_fer(monkeypatch, "search", "train.batch=8,16"))
    assert message.startswith("error: DVC queued other values than train.batch=16")


def test_nothing_is_written_before_an_experiment_has_finished(
    queue: Queue, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call_fer(monkeypatch, "search", "train.batch=8,16") is None
    assert call_fer(monkeypatch, "search") is None
    assert "2 waiting; nothing to compare yet" in capsys.readouterr().out
    assert not Path("data/search").exists()


def test_the_error_of_dvc_is_quoted_outside_of_a_repository(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert str(call_fer(monkeypatch, "search")).startswith("error: `dvc exp show --json` failed: ")


def test_the_real_dvc_queues_and_shows_the_experiments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "somebody")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "somebody@example.org")
    shutil.copy(PROJECT / "params.yaml", "params.yaml")
    Path("stage.py").write_text(STAGE)
    stage = {
        "cmd": f"{sys.executable} stage.py",
        "params": ["seed", "train", "rounds"],
        "metrics": [{"metrics/summary.json": {"cache": False}}],
    }
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": {"evaluate": stage}}))
    Path("metrics").mkdir()
    Path("metrics/summary.json").write_text('{"0": {"valid_accuracy": 0.99}}')  # the metrics of the commit
    dvc = (sys.executable, "-m", "dvc")
    steps = (
        ("git", "init", "-q"),
        (*dvc, "init", "-q"),
        (*dvc, "config", "core.analytics", "false"),
        ("git", "add", "-A"),
        ("git", "commit", "-q", "-m", "begin"),
    )
    for step in steps:
        subprocess.run(step, check=True, capture_output=True)

    arguments = ("search", "train.batch=8,16", "train.patience=null", "train.optimizer.lr=1e-5")
    assert call_fer(monkeypatch, *arguments) is None
    at_16 = (
        "train.batch=16",
        "train.optimizer.lr=1e-5",
        "rounds.predict=[0]",
        "rounds.retrain=[]",
        "~rounds.teacher.1",
    )
    changes = [part for change in at_16 for part in ("-S", change)]
    subprocess.run([*dvc, "exp", "run", *changes], check=True, capture_output=True)
    subprocess.run(["git", "checkout", "-q", "--", "."], check=True)
    assert call_fer(monkeypatch, *arguments) is None
    assert "queued 0; 2 were queued or finished before" in capsys.readouterr().out

    assert call_fer(monkeypatch, "search") is None
    table = pd.read_csv("data/search/search.csv")
    assert list(table["valid_accuracy"]) == [0.16]
    assert list(table["train.batch"]) == [16]
    assert Path("data/search/search.png").stat().st_size > 5000
    report = Path("data/search/search.md").read_text()
    assert report.startswith("1 finished, 2 waiting.")
    assert "dvc exp run -S train.batch=16 -S train.optimizer.lr=1e-05\n" in report
    assert "0.123" not in report
