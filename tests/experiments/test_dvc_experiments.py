"""The report of a search: finished experiments only, ranked by validation metrics."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fer.experiments import search_plot
from fer.experiments.dvc_experiments import (
    Experiment,
    best_run_command,
    format_search_report,
    parse_experiments,
    rank_experiments,
    varied_keys,
)


def make_params(lr: float, batch: int, **extra: Any) -> dict[str, Any]:
    return {"train": {"optimizer": {"lr": lr}, "batch": batch} | extra, "rounds": {"predict": [0]}}


def make_row(name: str | None, state: str | None, params: dict[str, Any], accuracy: float | None) -> dict[str, Any]:
    """Return an experiment as in `dvc exp show --json`; without an accuracy it has no metrics."""
    rounds = {"0": {"valid_accuracy": 0.01, "test_accuracy": 0.99}, "10": {"test_accuracy": 0.99}}
    rounds["9"] = {"valid_accuracy": 0.02}
    rounds["10"]["valid_accuracy"] = accuracy or 0.0
    data = {
        "params": {"params.yaml": {"data": params}},
        "metrics": {"metrics/summary.json": {"data": rounds}} if accuracy else {},
    }
    executor = {"state": state} if state else None
    return {"name": name, "executor": executor, "revs": [{"rev": "0123456789", "data": data, "error": None}]}


def make_exp_show(*rows: dict[str, Any]) -> list[Any]:
    workspace = {"data": make_row(None, None, make_params(0.003, 32), 0.7)["revs"][0]["data"]}
    return json.loads(json.dumps([workspace, {"experiments": list(rows)}, {"experiments": None}]))


def finished(name: str, accuracy: float, lr: Any, batch: Any, **extra: Any) -> Experiment:
    return Experiment(name, "finished", make_params(lr, batch, **extra), {"valid_accuracy": accuracy})


def test_an_experiment_has_the_metrics_of_its_last_round() -> None:
    current, (experiment,) = parse_experiments(make_exp_show(make_row("a", "success", make_params(0.1, 8), 0.8)))
    assert current == make_params(0.003, 32)
    assert experiment == Experiment("a", "finished", make_params(0.1, 8), {"valid_accuracy": 0.8})


@pytest.mark.parametrize(("state", "expected"), [("queued", "waiting"), ("running", "running"), ("failed", "failed")])
def test_an_unfinished_experiment_has_no_metrics(state: str, expected: str) -> None:
    _, (experiment,) = parse_experiments(make_exp_show(make_row("a", state, make_params(0.1, 8), 0.9)))
    assert (experiment.state, experiment.metrics) == (expected, {})
    assert rank_experiments([experiment]).empty


def test_an_experiment_that_left_the_queue_is_finished() -> None:
    _, (experiment,) = parse_experiments(make_exp_show(make_row(None, None, make_params(0.1, 8), 0.8)))
    assert (experiment.name, experiment.state) == ("0123456", "finished")


def test_an_experiment_without_metrics_has_failed() -> None:
    _, (experiment,) = parse_experiments(make_exp_show(make_row("a", "success", make_params(0.1, 8), None)))
    assert experiment.state == "failed"


def test_an_experiment_that_dvc_cant_read_has_failed() -> None:
    row = make_row("a", None, {}, None)
    row["revs"][0] |= {"data": None, "error": {"msg": "Experiment run failed"}}
    _, (experiment,) = parse_experiments(make_exp_show(row))
    assert experiment == Experiment("a", "failed", {}, {})


def test_the_table_has_the_best_first_and_only_varied_keys() -> None:
    table = rank_experiments([finished("a", 0.7, 0.1, 8), finished("b", 0.9, 0.01, 8), finished("c", 0.8, 0.001, 8)])
    assert list(table["experiment"]) == ["b", "c", "a"]
    assert list(table.columns) == ["experiment", "valid_accuracy", "train.optimizer.lr"]
    assert varied_keys(table) == ["train.optimizer.lr"]


def test_a_waiting_experiment_can_vary_a_key() -> None:
    waiting = Experiment("b", "waiting", make_params(0.1, 16), {})
    assert varied_keys(rank_experiments([finished("a", 0.7, 0.1, 8), waiting])) == ["train.batch"]


def test_the_order_of_the_experiments_does_not_matter() -> None:
    runs = [finished(name, 0.5, 0.1, batch) for name, batch in zip("abc", (8, 16, 32), strict=True)]
    assert rank_experiments(runs).equals(rank_experiments(runs[::-1]))


def test_null_and_a_missing_key_differ() -> None:
    table = rank_experiments(
        [finished("a", 0.9, 0.1, 8, patience=None), finished("b", 0.8, 0.1, 8), finished("c", 0.7, 0.1, 8, patience=5)]
    )
    assert list(table["train.patience"]) == ["null", "", "5"]


def test_small_numbers_are_not_rounded() -> None:
    table = rank_experiments([finished("a", 0.9, 1e-8, 8), finished("b", 0.8, 2e-8, 8)])
    assert list(table["train.optimizer.lr"]) == ["1e-08", "2e-08"]


def test_test_metrics_are_not_reported() -> None:
    current, experiments = parse_experiments(
        make_exp_show(*(make_row(str(lr), "success", make_params(lr, 8), 0.8) for lr in (0.1, 0.2)))
    )
    table = rank_experiments(experiments)
    assert "test" not in table.to_csv() + format_search_report(experiments, table, current)


def test_every_experiment_is_counted() -> None:
    states = ("finished", "finished", "running", "waiting", "failed")
    experiments = [
        Experiment(str(n), state, make_params(0.1, n), {"valid_accuracy": n / 10} if state == "finished" else {})
        for n, state in enumerate(states)
    ]
    report = format_search_report(experiments, rank_experiments(experiments), make_params(0.1, 8))
    assert report.startswith("2 finished, 1 running, 1 waiting, 1 failed.")
    assert "| 1 | 10.00% | 1 |\n| 0 | 0.00% | 0 |" in re.sub(" +", " ", report)
    assert format_search_report([], rank_experiments([]), {}) == "no experiments; nothing to compare yet\n"
    assert format_search_report(experiments[2:], rank_experiments(experiments[2:]), {}).startswith(
        "1 running, 1 waiting, 1 failed; nothing"
    )


def test_the_command_of_the_best_has_all_its_changes_except_the_rounds() -> None:
    current = make_params(0.003, 32) | {"rounds": {"predict": [0, 1]}, "package": {"round": 1}, "ensemble": ["a"]}
    best = finished("a", 0.9, 0.1, 32, patience=None, kind="sgd").params | {
        "package": {"round": "best"},
        "ensemble": ["b"],
    }
    command = best_run_command(Experiment("a", "finished", best, {}), current)
    assert shlex.split(command)[3::2] == ["-S"] * 4
    assert shlex.split(command)[4::2] == [
        "train.optimizer.lr=0.1",
        "+train.patience=null",
        "+train.kind=sgd",
        'ensemble=["b"]',
    ]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "runs",
    [
        [finished("a", 0.8, 0.1, 8)],
        [finished(f"{lr} {batch}", lr * batch / 8, lr, batch) for lr in (0.1, 0.01) for batch in (8, 16, 32)],
        [
            finished(f"{n}", 0.5 + n / 100, 10.0**-n, 2**n, kind="ab"[n % 2], patience=(None, 5)[n % 2])
            for n in range(12)
        ],
        [finished(f"{n}", 0.5, n / 20, 8) for n in range(12)],
        [finished("a", 0.8, 0.1, 8), finished("b", 0.1, 0.1, 8, patience=None)],
        [finished(f"{n}", 0.8 if n else 0.1, 0.1, [n]) for n in range(9)],
    ],
    ids=["one", "heat map", "many keys", "equal", "missing key", "failure to learn"],
)
def test_every_table_has_a_reproducible_plot(tmp_path: Path, runs: list[Experiment]) -> None:
    for name in ("a.png", "b.png"):
        search_plot.plot_search(tmp_path / name, rank_experiments(runs))
    with Image.open(tmp_path / "a.png") as image:
        assert min(image.size) > 50
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
