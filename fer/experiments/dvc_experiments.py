"""What became of a search: the experiments of the current commit, as DVC shows them, told by the validation fold alone.

A choice that was made by the test fold would flatter the figures of the test fold.
"""

import json
import math
import os
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from fer.core.formatting import markdown_table
from fer.experiments.rounds import VALID_METRICS

STATES = ("finished", "running", "waiting", "failed")
_SUMMARY = "metrics/summary.json"
_STATE = {"queued": "waiting", "running": "running", "failed": "failed"}  # in DVC's words
_TOLD = 20  # rows of the report


@dataclass(frozen=True)
class Experiment:
    name: str
    state: str  # of `STATES`
    params: dict[str, Any]  # of its params.yaml
    metrics: dict[str, float]  # of its last round; none where it is not finished


def parse_experiments(exp_show: Sequence[Any]) -> tuple[dict[str, Any], list[Experiment]]:
    """What `params.yaml` holds now and the experiments, from `dvc exp show --json`."""
    workspace, *commits = exp_show
    return _get_params(workspace), [_parse_experiment(row) for commit in commits for row in commit["experiments"] or ()]


def _parse_experiment(row: Mapping[str, Any]) -> Experiment:
    last = row["revs"][0]
    executor, figures = row["executor"] or {}, _get_metrics(last)
    state = _STATE.get(str(executor.get("state")), "finished")
    if last.get("error") or (state == "finished" and not figures):
        state = "failed"
    # of one that is not finished, DVC shows the figures of the commit that it began at
    return Experiment(row["name"] or last["rev"][:7], state, _get_params(last), figures if state == "finished" else {})


def _get_params(shown: Mapping[str, Any]) -> dict[str, Any]:
    return ((shown["data"] or {}).get("params") or {}).get("params.yaml", {}).get("data", {})


def _get_metrics(shown: Mapping[str, Any]) -> dict[str, float]:
    rounds = ((shown["data"] or {}).get("metrics") or {}).get(_SUMMARY, {}).get("data", {})
    last = rounds[max(rounds, key=int)] if rounds else {}
    return {figure: last[figure] for figure in VALID_METRICS if figure in last}


def rank_experiments(experiments: Sequence[Experiment]) -> pd.DataFrame:
    """A row for each finished experiment, the best first: its name, its figures, the keys that differ between any two.

    The column of a key holds values as they are, and NaN where the experiment has no such key.
    """
    flat = [_flatten(experiment.params) for experiment in experiments]
    keys = [
        key
        for key in dict.fromkeys(key for content in flat for key in content)
        if len({json.dumps(content.get(key, math.nan)) for content in flat}) > 1
    ]
    rows = [
        {"experiment": experiment.name} | experiment.metrics | {key: content.get(key, math.nan) for key in keys}
        for experiment, content in zip(experiments, flat, strict=True)
        if experiment.state == "finished"
    ]
    figures = [figure for figure in VALID_METRICS if any(figure in row for row in rows)]
    table = pd.DataFrame(rows, columns=["experiment", *figures, *keys], dtype=object).astype(
        dict.fromkeys(figures, float)
    )
    ascending = [False] * len(figures) + [True]
    return table.sort_values([*figures, "experiment"], ascending=ascending, ignore_index=True)


def varied_keys(table: pd.DataFrame) -> list[str]:
    """The keys among the columns of `outcome`."""
    return [column for column in table.columns if column not in ("experiment", *VALID_METRICS)]


def format_values(table: pd.DataFrame) -> pd.DataFrame:
    """The outcome with values as `params.yaml` writes them."""
    return table.assign(**{key: table[key].map(format_value) for key in varied_keys(table)})


def format_value(value: Any) -> str:
    """A value as `params.yaml` writes it; nothing for a key that is not there."""
    if isinstance(value, float) and math.isnan(value):
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def format_search_report(
    experiments: Sequence[Experiment], table: pd.DataFrame, current_params: Mapping[str, Any]
) -> str:
    """How many ran, the best of them, and how to keep the best."""
    counts = Counter(experiment.state for experiment in experiments)
    counted = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    if table.empty:
        return f"{counted or 'no experiments'}; nothing to compare yet\n"
    best = next(experiment for experiment in experiments if experiment.name == table["experiment"].iloc[0])
    shown = format_values(table.head(_TOLD))
    shown = shown.assign(**{figure: shown[figure].map("{:.2%}".format) for figure in VALID_METRICS if figure in shown})
    rows = markdown_table(list(shown.columns), shown.to_numpy().tolist(), left_columns=range(shown.shape[1]))
    told = f"{counted}. The best {len(shown)} on the validation fold:"
    return f"{told}\n\n{rows}\n\nThe whole pipeline with the best:\n\n    {best_run_command(best, current_params)}\n"


def best_run_command(best: Experiment, current_params: Mapping[str, Any]) -> str:
    """The command that runs the whole pipeline with what `best` changes in `current_params`, and with its rounds."""
    now = _flatten(current_params)
    changes = [
        f"{'' if key in now else '+'}{key}={format_value(value)}"
        for key, value in _flatten(best.params).items()
        if key.split(".")[0] not in ("rounds", "package") and (key not in now or now[key] != value)
    ]
    return shlex.join(["dvc", "exp", "run", *(part for change in changes for part in ("-S", change))])


def _flatten(content: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """The values by their dotted keys; lists stay whole."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        found |= _flatten(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
    return found


def run_dvc(*arguments: str) -> str:
    """What DVC prints.

    Raises:
        InputError: it fails; its first line about an error is told, or its last.
    """
    from fer.runtime.errors import InputError

    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        why = next((line for line in said if line.startswith("ERROR")), (said or ["it says nothing"])[-1])
        raise InputError(f"`dvc {' '.join(arguments)}` failed: {why.removeprefix('ERROR: ')}")
    return done.stdout


def run_dvc_repro(*stages: str) -> None:
    """Run `dvc repro` in sight of the user, with the `python` that runs this.

    Raises:
        CalledProcessError: it fails.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    command = [sys.executable, "-m", "dvc", "repro", *stages]
    process = subprocess.Popen(command, env=os.environ | {"PATH": path})
    try:
        code = process.wait()
    except KeyboardInterrupt:  # it reached DVC too; killed before its end DVC would leave a training running
        process.wait()
        raise
    if code:
        raise subprocess.CalledProcessError(code, command)
