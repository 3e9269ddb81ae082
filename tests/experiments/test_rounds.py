"""Rounds in params.yaml, whatever its style, and when it is time to stop."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fer.experiments.rounds import best_round, format_rounds, replace_rounds, sequential_rounds, should_stop
from fer.params.sections import Rounds

PROJECT = Path(__file__).parents[2]
STYLES = {
    "in one line": 'rounds: {predict: [0, 1], retrain: [1], teacher: {"1": 0}}   # so\n',
    "of none": "rounds:\n  predict: [0]   # so\n  retrain: []\n  teacher: {}\n",
    "in blocks": 'rounds:   # so\n  predict:   # zero\n  - 0\n  - 1\n  retrain:\n    - 1\n  teacher:\n    "1": 0\n',
    "in lines of a flow": "rounds: {predict: [0,\n    1],\n  retrain: [1], teacher: {'1': 0}}   # so\n",
    "last, without a line end": 'rounds:   # so\n  predict: [0, 1]\n  retrain: [1]\n  teacher:\n    "1": 0',
}
accuracies = st.lists(st.sampled_from([0.2, 0.4, 0.6, 0.8]), min_size=1, max_size=8)


@pytest.mark.parametrize("count", [0, 1, 2, 12])
def test_rounds_in_a_row_are_allowed_in_params(count: int) -> None:
    assert len(Rounds(**sequential_rounds(count)).retrain) == count


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("style", STYLES)
def test_only_rounds_change_whatever_the_style(style: str, end: str, count: int) -> None:
    tail = "" if style.startswith("last") else "# tail\nlast: [0, 1]\n"
    text = f"# head\nseed: 0   # zero\n{STYLES[style]}{tail}".replace("\n", end)
    edited = replace_rounds(text, count)
    assert yaml.safe_load(edited) == yaml.safe_load(text) | {"rounds": sequential_rounds(count)}
    assert edited.startswith(f"# head{end}seed: 0   # zero{end}rounds:")
    assert edited.endswith(tail.replace("\n", end))
    assert "# so" in edited
    assert edited.count("\n") == edited.count(end)
    assert replace_rounds(edited, count) == edited


def test_in_the_projects_own_file_nothing_else_changes_and_it_comes_back() -> None:
    text = (PROJECT / "params.yaml").read_text()
    now = len(yaml.safe_load(text)["rounds"]["retrain"])
    edited = replace_rounds(text, now + 2)
    assert edited.partition("rounds:")[0] == text.partition("rounds:")[0]
    assert edited.partition("teacher:")[2].partition("#")[2] == text.partition("teacher:")[2].partition("#")[2]
    assert replace_rounds(edited, now).split() == text.split()  # ruamel.yaml leaves the comment where it was pushed


@given(accuracies)
def test_the_best_is_the_first_of_the_highest(told: list[float]) -> None:
    kept = best_round(told)
    assert all(accuracy < told[kept] for accuracy in told[:kept])
    assert all(accuracy <= told[kept] for accuracy in told[kept:])


@given(accuracies, st.integers(1, 3))
def test_it_is_enough_after_as_many_rounds_without_a_better_one_as_one_has_patience_for(
    told: list[float], patience: int
) -> None:
    lately = told[-patience:]
    no_better = len(told) > patience and max(lately) <= max(told[:-patience])
    assert should_stop(told, patience) == no_better
    assert not (should_stop(told, patience + 1) and not should_stop(told, patience)), (
        "more patience never stops earlier"
    )


@pytest.mark.parametrize(
    ("told", "patience", "stops"),
    [
        ([0.5], 1, False),
        ([0.5, 0.6], 1, False),
        ([0.5, 0.5], 1, True),
        ([0.5, 0.4], 2, False),
        ([0.6, 0.5, 0.5], 2, True),
    ],
)
def test_stopping(told: list[float], patience: int, stops: bool) -> None:
    assert should_stop(told, patience) == stops


def test_the_table_tells_nothing_of_the_test_fold() -> None:
    summary = {
        "0": {"test_accuracy": 0.987, "valid_accuracy": 0.7657, "valid_macro_f1": 0.7},
        "1": {"test_accuracy": 0.987, "valid_accuracy": 0.8, "valid_macro_f1": 0.71, "pseudo_labels": 1429},
    }
    lines = format_rounds(summary, kept_round=1)
    assert lines[1].split() == ["0", "–", "76.6", "%", "70.0", "%"]
    assert lines[2].split() == ["1", "1,429", "80.0", "%", "71.0", "%", "kept"]
    assert len({len(line.removesuffix("  kept")) for line in lines}) == 1
    assert "98.7" not in "".join(lines)
