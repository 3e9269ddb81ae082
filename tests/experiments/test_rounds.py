"""Rounds in params.yaml of any style, and when a search for the best number stops."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fer.experiments.rounds import best_round, format_rounds, replace_rounds, sequential_rounds, should_stop
from fer.params.sections import Rounds

PROJECT = Path(__file__).parents[2]
STYLES = {
    "one line": 'rounds: {predict: [0, 1], retrain: [1], teacher: {"1": 0}}   # so\n',
    "no rounds": "rounds:\n  predict: [0]   # so\n  retrain: []\n  teacher: {}\n",
    "blocks": 'rounds:   # so\n  predict:   # zero\n  - 0\n  - 1\n  retrain:\n    - 1\n  teacher:\n    "1": 0\n',
    "flow on several lines": "rounds: {predict: [0,\n    1],\n  retrain: [1], teacher: {'1': 0}}   # so\n",
    "last, without a newline": 'rounds:   # so\n  predict: [0, 1]\n  retrain: [1]\n  teacher:\n    "1": 0',
}
accuracies = st.lists(st.sampled_from([0.2, 0.4, 0.6, 0.8]), min_size=1, max_size=8)


@pytest.mark.parametrize("count", [0, 1, 2, 12])
def test_sequential_rounds_are_valid(count: int) -> None:
    assert len(Rounds(**sequential_rounds(count)).retrain) == count


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("style", STYLES)
def test_only_rounds_change_in_any_style(style: str, end: str, count: int) -> None:
    tail = "" if style.startswith("last,") else "# tail\nlast: [0, 1]\n"
    text = f"# head\nseed: 0   # zero\n{STYLES[style]}{tail}".replace("\n", end)
    edited = replace_rounds(text, count)
    assert yaml.safe_load(edited) == yaml.safe_load(text) | {"rounds": sequential_rounds(count)}
    assert edited.startswith(f"# head{end}seed: 0   # zero{end}rounds:")
    assert edited.endswith(tail.replace("\n", end))
    assert "# so" in edited
    assert edited.count("\n") == edited.count(end)
    assert replace_rounds(edited, count) == edited


def test_only_rounds_change_in_the_shipped_file_and_the_change_is_reversible() -> None:
    text = (PROJECT / "params.yaml").read_text()
    count = len(yaml.safe_load(text)["rounds"]["retrain"])
    edited = replace_rounds(text, count + 2)
    assert edited.partition("rounds:")[0] == text.partition("rounds:")[0]
    assert edited.partition("teacher:")[2].partition("#")[2] == text.partition("teacher:")[2].partition("#")[2]
    assert replace_rounds(edited, count).split() == text.split()  # ruamel.yaml does not move the comment back


@given(accuracies)
def test_the_best_round_is_the_first_of_the_highest(history: list[float]) -> None:
    best = best_round(history)
    assert all(accuracy < history[best] for accuracy in history[:best])
    assert all(accuracy <= history[best] for accuracy in history[best:])


@given(accuracies, st.integers(1, 3))
def test_the_search_stops_after_patience_rounds_without_improvement(history: list[float], patience: int) -> None:
    last = history[-patience:]
    no_better = len(history) > patience and max(last) <= max(history[:-patience])
    assert should_stop(history, patience) == no_better
    assert not (should_stop(history, patience + 1) and not should_stop(history, patience)), (
        "more patience never stops earlier"
    )


@pytest.mark.parametrize(
    ("history", "patience", "stops"),
    [
        ([0.5], 1, False),
        ([0.5, 0.6], 1, False),
        ([0.5, 0.5], 1, True),
        ([0.5, 0.4], 2, False),
        ([0.6, 0.5, 0.5], 2, True),
    ],
)
def test_stopping_of_examples(history: list[float], patience: int, stops: bool) -> None:
    assert should_stop(history, patience) == stops


def test_the_table_has_no_test_metrics() -> None:
    summary = {
        "0": {"test_accuracy": 0.987, "valid_accuracy": 0.7657, "valid_macro_f1": 0.7},
        "1": {"test_accuracy": 0.987, "valid_accuracy": 0.8, "valid_macro_f1": 0.71, "pseudo_labels": 1429},
    }
    lines = format_rounds(summary, kept_round=1)
    assert lines[1].split() == ["0", "–", "76.6", "%", "70.0", "%"]
    assert lines[2].split() == ["1", "1,429", "80.0", "%", "71.0", "%", "kept"]
    assert len({len(line.removesuffix("  kept")) for line in lines}) == 1
    assert "98.7" not in "".join(lines)
