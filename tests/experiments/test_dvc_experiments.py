"""What is told of a search: finished runs only, by the validation fold only, the best first."""

import json
import math
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
    format_values,
    parse_experiments,
    rank_experiments,
    varied_keys,
)


def content(lr: float, batch: int, **others: Any) -> dict[str, Any]:
    return {"train": {"optimizer": {"lr": lr}, "batch": batch} | others, "rounds": {"predict": [0]}}


def shown(name: str | None, state: str | None, params: dict[str, Any], accuracy: float | None) -> dict[str, Any]:
    """An experiment as `dvc exp show --json` has it; without an accuracy it has no metrics."""
    rounds = {"0": {"valid_accuracy": 0.01, "test_accuracy": 0.99}, "10": {"test_accuracy": 0.99}}
    rounds["9"] = {"valid_accuracy": 0.02}
    rounds["10"]["valid_accuracy"] = accuracy or 0.0
    data = {
        "params": {"params.yaml": {"data": params}},
        "metrics": {"metrics/summary.json": {"data": rounds}} if accuracy else {},
    }
    executor = {"state": state} if state else None
    return {"name": name, "executor": executor, "revs": [{"rev": "0123456789", "data": data, "error": None}]}


def show(*rows: dict[str, Any]) -> list[Any]:
    workspace = {"data": shown(None, None, content(0.003, 32), 0.7)["revs"][0]["data"]}
    return json.loads(json.dumps([workspace, {"experiments": list(rows)}, {"experiments": None}]))


def run(name: str, accuracy: float, lr: Any, batch: Any, **others: Any) -> Experiment:
    return Experiment(name, "finished", content(lr, batch, **others), {"valid_accuracy": accuracy})


def test_an_experiment_has_the_figures_of_its_last_round() -> None:
    current, (experiment,) = parse_experiments(show(shown("a", "success", content(0.1, 8), 0.8)))
    assert current == content(0.003, 32)
    assert experiment == Experiment("a", "finished", content(0.1, 8), {"valid_accuracy": 0.8})


@pytest.mark.parametrize(("state", "told"), [("queued", "waiting"), ("running", "running"), ("failed", "failed")])
def test_figures_that_dvc_shows_of_an_unfinished_run_are_of_its_commit_and_not_told(state: str, told: str) -> None:
    _, (experiment,) = parse_experiments(show(shown("a", state, content(0.1, 8), 0.9)))
    assert (experiment.state, experiment.metrics) == (told, {})
    assert rank_experiments([experiment]).empty


def test_an_experiment_whose_task_was_removed_from_the_queue_is_finished() -> None:
    _, (experiment,) = parse_experiments(show(shown(None, None, content(0.1, 8), 0.8)))
    assert (experiment.name, experiment.state) == ("0123456", "finished")


def test_an_experiment_without_figures_has_failed() -> None:
    _, (experiment,) = parse_experiments(show(shown("a", "success", content(0.1, 8), None)))
    assert experiment.state == "failed"


def test_an_experiment_that_dvc_can_t_read_has_failed() -> None:
    row = shown("a", None, {}, None)
    row["revs"][0] |= {"data": None, "error": {"msg": "Experiment run failed"}}
    _, (experiment,) = parse_experiments(show(row))
    assert experiment == Experiment("a", "failed", {}, {})


def test_the_table_has_the_best_first_and_only_the_keys_that_differ() -> None:
    table = rank_experiments([run("a", 0.7, 0.1, 8), run("b", 0.9, 0.01, 8), run("c", 0.8, 0.001, 8)])
    assert list(table["experiment"]) == ["b", "c", "a"]
    assert list(table.columns) == ["experiment", "valid_accuracy", "train.optimizer.lr"]
    assert varied_keys(table) == ["train.optimizer.lr"]


def test_a_key_differs_too_where_the_other_run_is_still_waiting() -> None:
    waiting = Experiment("b", "waiting", content(0.1, 16), {})
    assert varied_keys(rank_experiments([run("a", 0.7, 0.1, 8), waiting])) == ["train.batch"]


def test_the_order_of_the_table_is_not_that_of_the_runs() -> None:
    runs = [run(name, 0.5, 0.1, batch) for name, batch in zip("abc", (8, 16, 32), strict=True)]
    assert rank_experiments(runs).equals(rank_experiments(runs[::-1]))


def test_null_and_a_key_that_is_not_there_are_told_apart() -> None:
    table = rank_experiments(
        [run("a", 0.9, 0.1, 8, patience=None), run("b", 0.8, 0.1, 8), run("c", 0.7, 0.1, 8, patience=5)]
    )
    assert table["train.patience"].iloc[0] is None
    assert math.isnan(table["train.patience"].iloc[1])
    assert list(format_values(table)["train.patience"]) == ["null", "", "5"]


def test_small_numbers_are_not_rounded_away() -> None:
    table = rank_experiments([run("a", 0.9, 1e-8, 8), run("b", 0.8, 2e-8, 8)])
    assert list(format_values(table)["train.optimizer.lr"]) == ["1e-08", "2e-08"]


def test_no_figure_of_the_test_fold_is_told() -> None:
    current, ran = parse_experiments(show(*(shown(str(lr), "success", content(lr, 8), 0.8) for lr in (0.1, 0.2))))
    table = rank_experiments(ran)
    assert "test" not in table.to_csv() + format_search_report(ran, table, current)


def test_every_run_is_counted() -> None:
    states = ("finished", "finished", "running", "waiting", "failed")
    ran = [
        Experiment(str(n), state, content(0.1, n), {"valid_accuracy": n / 10} if state == "finished" else {})
        for n, state in enumerate(states)
    ]
    told = format_search_report(ran, rank_experiments(ran), content(0.1, 8))
    assert told.startswith("2 finished, 1 running, 1 waiting, 1 failed.")
    assert "| 1 | 10.00% | 1 |\n| 0 | 0.00% | 0 |" in re.sub(" +", " ", told)
    assert format_search_report([], rank_experiments([]), {}) == "no experiments; nothing to compare yet\n"
    assert format_search_report(ran[2:], rank_experiments(ran[2:]), {}).startswith(
        "1 running, 1 waiting, 1 failed; nothing"
    )


def test_the_best_is_kept_with_all_that_it_changes_but_the_rounds() -> None:
    now = content(0.003, 32) | {"rounds": {"predict": [0, 1]}, "package": {"round": 1}, "ensemble": ["a"]}
    best = run("a", 0.9, 0.1, 32, patience=None, kind="sgd").params | {"package": {"round": "best"}, "ensemble": ["b"]}
    command = best_run_command(Experiment("a", "finished", best, {}), now)
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
        [],
        [run("a", 0.8, 0.1, 8)],
        [run(f"{lr} {batch}", lr * batch / 8, lr, batch) for lr in (0.1, 0.01) for batch in (8, 16, 32)],
        [run(f"{n}", 0.5 + n / 100, 10.0**-n, 2**n, kind="ab"[n % 2], patience=(None, 5)[n % 2]) for n in range(12)],
        [run(f"{n}", 0.5, n / 20, 8) for n in range(12)],
        [run("a", 0.8, 0.1, 8), run("b", 0.1, 0.1, 8, patience=None)],
        [run(f"{n}", 0.8 if n else 0.1, 0.1, [n]) for n in range(9)],
    ],
    ids=["none", "one", "a map", "many keys", "alike", "a missing key", "one that failed to learn"],
)
def test_every_outcome_has_a_picture_and_always_the_same(tmp_path: Path, runs: list[Experiment]) -> None:
    for name in ("a.png", "b.png"):
        search_plot.plot_search(tmp_path / name, rank_experiments(runs))
    with Image.open(tmp_path / "a.png") as picture:
        assert min(picture.size) > 50
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
