"""Results of a search: the DVC experiments of the current commit, ranked by their validation metrics.

The test metrics are left out: a choice made by them would make them optimistic.
"""

import itertools
import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from fer.core.formatting import markdown_table
from fer.experiments.rounds import VALID_METRICS

STATES = ("finished", "running", "waiting", "failed")
_STATE_BY_DVC_STATE = {"queued": "waiting", "running": "running", "failed": "failed"}
_MAX_ROWS = 20  # of the report


@dataclass(frozen=True)
class Experiment:
    """An experiment of DVC."""

    name: str
    state: str  # one of `STATES`
    params: dict[str, Any]  # content of its params.yaml
    metrics: dict[str, float]  # `VALID_METRICS` of its last round; empty unless it is finished


def parse_experiments(exp_show: Sequence[Any]) -> tuple[dict[str, Any], list[Experiment]]:
    """Return the current content of `params.yaml` and the experiments, from the output of `dvc exp show --json`."""
    workspace, *commits = exp_show
    experiments = [_parse_experiment(row) for commit in commits for row in commit["experiments"] or ()]
    return _get_content(workspace, "params", "params.yaml"), experiments


def _parse_experiment(row: Mapping[str, Any]) -> Experiment:
    revision = row["revs"][0]
    name, params = row["name"] or revision["rev"][:7], _get_content(revision, "params", "params.yaml")
    rounds = _get_content(revision, "metrics", "metrics/summary.json")
    last_round = rounds[max(rounds, key=int)] if rounds else {}
    metrics = {metric: last_round[metric] for metric in VALID_METRICS if metric in last_round}
    state = _STATE_BY_DVC_STATE.get(str((row["executor"] or {}).get("state")), "finished")
    if revision.get("error") or (state == "finished" and not metrics):
        state = "failed"
    # DVC shows the metrics of the commit that an unfinished experiment started from.
    return Experiment(name, state, params, metrics if state == "finished" else {})


def _get_content(revision: Mapping[str, Any], kind: str, file: str) -> dict[str, Any]:
    return ((revision["data"] or {}).get(kind) or {}).get(file, {}).get("data", {})


def rank_experiments(experiments: Sequence[Experiment]) -> pd.DataFrame:
    """Return a row for each finished experiment, the best first: its name, its metrics, and the keys that vary.

    A key varies if its value differs between two experiments, finished or not. Values are text, as in `params.yaml`,
    and empty if the experiment has no such key.
    """
    texts = [{key: format_value(value) for key, value in _flatten(run.params).items()} for run in experiments]
    keys = [key for key in dict.fromkeys(itertools.chain(*texts)) if len({values.get(key) for values in texts}) > 1]
    rows = [
        {"experiment": run.name} | run.metrics | {key: values.get(key, "") for key in keys}
        for run, values in zip(experiments, texts, strict=True)
        if run.state == "finished"
    ]
    metrics = [name for name in VALID_METRICS if any(name in row for row in rows)]
    table = pd.DataFrame(rows, columns=["experiment", *metrics, *keys])
    ascending = [False] * len(metrics) + [True]
    return table.sort_values([*metrics, "experiment"], ascending=ascending, ignore_index=True)


def varied_keys(table: pd.DataFrame) -> list[str]:
    """Return the columns of a table of `rank_experiments` that are keys of `params.yaml`."""
    return [column for column in table.columns if column not in ("experiment", *VALID_METRICS)]


def format_value(value: Any) -> str:
    """Return a value as text, as in `params.yaml`."""
    return value if isinstance(value, str) else json.dumps(value)


def format_search_report(
    experiments: Sequence[Experiment], table: pd.DataFrame, current_params: Mapping[str, Any]
) -> str:
    """Return the counts of experiments by state, a table of the best, and the command that runs the best."""
    counts = Counter(experiment.state for experiment in experiments)
    counts_text = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    if table.empty:
        return f"{counts_text or 'no experiments'}; nothing to compare yet\n"
    best = next(experiment for experiment in experiments if experiment.name == table["experiment"].iloc[0])
    top = table.head(_MAX_ROWS)
    top = top.assign(**{name: top[name].map("{:.2%}".format) for name in VALID_METRICS if name in top})
    return (
        f"{counts_text}. The best {len(top)} on the validation fold:\n\n"
        f"{markdown_table(list(top.columns), top.to_numpy().tolist(), left_columns=range(top.shape[1]))}\n\n"
        f"To run the whole pipeline with the best:\n\n    {best_run_command(best, current_params)}\n"
    )


def best_run_command(best: Experiment, current_params: Mapping[str, Any]) -> str:
    """Return the command that runs the whole pipeline with the params of `best`, but the rounds of `current_params`."""
    current = _flatten(current_params)
    changes = [
        f"{'' if key in current else '+'}{key}={format_value(value)}"
        for key, value in _flatten(best.params).items()
        if key.split(".")[0] not in ("rounds", "package") and (key not in current or current[key] != value)
    ]
    return shlex.join(["dvc", "exp", "run", *(part for change in changes for part in ("-S", change))])


def _flatten(section: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values by their dotted keys; lists stay whole."""
    flat: dict[str, Any] = {}
    for key, value in section.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
