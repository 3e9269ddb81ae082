"""Points of a search: every combination or random points within the ranges, and only keys that matter."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fer.experiments import search
from fer.experiments.search import ValueRange
from fer.runtime.errors import InputError

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def current() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((PROJECT / "params.yaml").read_text())
    content["train"]["optimizer"]["lr"] = 3e-3
    content["networks"] |= {"improved_se": {}, "shallow": {"batch": 64}}
    return content | {"ensemble": ["improved_se"]}


def test_values_are_parsed_as_in_params_yaml() -> None:
    assert search.parse_search_space(["a=null,5,1e-4,.5,true,adam,[fer2013, rafdb],8"]) == {
        "a": [None, 5, 1e-4, 0.5, True, "adam", ["fer2013", "rafdb"], 8]
    }


def test_a_repeated_value_is_tried_once() -> None:
    assert search.grid_points(search.parse_search_space(["a=1,2,1.0,2"])) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train.batch"], "must be KEY=VALUES"),
        (["=8"], "must be KEY=VALUES"),
        (["train.batch="], "must be KEY=VALUES"),
        (["a=1", "a=2"], "a is given twice"),
        (["a=9..1"], "the lower number must come first"),
        (["a=[8"], "not readable"),
        (["a={b: 1}"], "search its keys"),
    ],
)
def test_arguments_of_another_form_are_reported(arguments: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message.replace("[", "\\[")):
        search.parse_search_space(arguments)


def test_a_grid_has_every_combination_once() -> None:
    keys = ["lr=.1,.01,.001,.0001", "batch=8,16,32,64", "epochs=10,20,30,40", "patience=null,5", "dropout=.5"]
    points = search.grid_points(search.parse_search_space(keys))
    assert len({tuple(point.values()) for point in points}) == len(points) == 128


def test_a_grid_with_a_range_is_rejected() -> None:
    with pytest.raises(InputError, match="lr has a range"):
        search.grid_points(search.parse_search_space(["batch=8,16", "lr=1e-4..1e-1"]))


@given(st.integers(1, 40), st.integers(0, 9))
def test_random_points_are_different_and_within_the_ranges(count: int, seed: int) -> None:
    space = search.parse_search_space(
        ["lr=1e-4..1e-1", "dropout=0..0.5", "batch=8..64", "epochs=1..100", "kind=adam,sgd"]
    )
    points = search.draw_points(space, count, seed)
    assert len({str(point) for point in points}) == len(points) == count
    for point in points:
        assert 1e-4 <= point["lr"] <= 1e-1
        assert 0 <= point["dropout"] <= 0.5
        assert type(point["batch"]) is type(point["epochs"]) is int
        assert 8 <= point["batch"] <= 64
        assert 1 <= point["epochs"] <= 100
        assert point["kind"] in ("adam", "sgd")


def test_a_longer_search_begins_with_the_points_of_a_shorter_one() -> None:
    space = search.parse_search_space(["lr=1e-4..1e-1", "batch=8,16,32"])
    assert search.draw_points(space, 30, seed=1)[:10] == search.draw_points(space, 10, seed=1)
    assert search.draw_points(space, 10, seed=2) != search.draw_points(space, 10, seed=1)


def test_all_points_of_a_small_space_can_be_drawn_and_no_more() -> None:
    space = search.parse_search_space(["a=1,2,3", "b=0..1"])
    assert len(search.draw_points(space, 6, seed=0)) == 6
    with pytest.raises(InputError, match="only 6 different"):
        search.draw_points(space, 7, seed=0)


def test_wide_ranges_are_drawn_on_a_logarithmic_scale_and_narrow_ranges_uniformly() -> None:
    rng = np.random.default_rng(0)
    wide = [ValueRange(1e-4, 1.0).draw(rng) for _ in range(2000)]
    integers = [ValueRange(1, 10_000).draw(rng) for _ in range(2000)]
    narrow = [ValueRange(1.0, 2.0).draw(rng) for _ in range(2000)]
    assert np.mean(np.log10(wide) < -2) == pytest.approx(0.5, abs=0.05)
    assert np.mean(np.array(integers) <= 100) == pytest.approx(0.55, abs=0.05)
    assert np.mean(narrow) == pytest.approx(1.5, abs=0.03)


def test_the_bounds_of_an_integer_range_are_as_likely_as_other_numbers() -> None:
    rng = np.random.default_rng(0)
    counts = np.bincount([int(ValueRange(2, 5).draw(rng)) for _ in range(4000)])[2:]
    assert counts == pytest.approx(1000, rel=0.15)


def test_a_point_changes_its_keys_and_removes_the_rounds(current: dict[str, Any]) -> None:
    (content,) = search.params_at_points(
        current, [{"train.optimizer.lr": 0.1, "networks.improved_se.dropout": 0.5}], False
    )
    assert content["train"] == current["train"] | {"optimizer": current["train"]["optimizer"] | {"lr": 0.1}}
    assert content["networks"]["improved_se"] == {"dropout": 0.5}
    assert content["rounds"] == {"predict": [0], "retrain": [], "teacher": {}}
    assert current["networks"]["improved_se"] == {}


def test_a_point_without_rounds_packages_the_best_round_and_keeps_the_other_keys(current: dict[str, Any]) -> None:
    current["package"] = {"round": 1, "prior": "valid"}
    (content,) = search.params_at_points(current, [{"train.epochs": 9}], with_rounds=False)
    assert content["package"] == {"round": "best", "prior": "valid"}


def test_rounds_are_kept_on_request(current: dict[str, Any]) -> None:
    points: list[search.SearchPoint] = [
        {"pseudo_label.policies.fixed.threshold": threshold} for threshold in (0.7, 0.9)
    ]
    contents = search.params_at_points(current, points, with_rounds=True)
    assert [content["rounds"] for content in contents] == [current["rounds"]] * 2
    with pytest.raises(InputError, match="--rounds"):
        search.params_at_points(current, points, with_rounds=False)


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ({"train.bach": 8}, "train.bach is not a key; did you mean batch?"),
        ({"nothing.at.all": 8}, "nothing is not a key"),
        ({"train.batch.size": 8}, "train.batch.size is not a key"),
        ({"train.batch": 1}, "train.batch is 1; it should be greater than or equal to 2"),
        ({"train.batch": "many"}, "train.batch is 'many'"),
        ({"ensemble": ["nobody"]}, "ensemble names nobody"),
        ({"package": 3}, "package.round is not a key: package is not a section"),
    ],
)
def test_an_invalid_point_is_reported(current: dict[str, Any], point: search.SearchPoint, message: str) -> None:
    with pytest.raises(InputError) as error:
        search.params_at_points(current, [{"train.epochs": 9}, point], with_rounds=False)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("ensemble", "key"),
    [
        (["improved_se"], "networks.shallow.dropout"),  # not in the ensemble
        (["shallow"], "train.batch"),  # overridden by the network
        (["improved_se"], "package.round"),  # used only after `evaluate`
        (["improved_se"], "transform_sets.strong.shift"),  # not the set that `transforms` names
    ],
)
def test_a_key_that_makes_no_difference_is_reported(current: dict[str, Any], ensemble: list[str], key: str) -> None:
    values = ["best", 0] if key == "package.round" else [0.5, 0.1] if key.endswith(("dropout", "shift")) else [8, 16]
    with pytest.raises(InputError, match=f"{key} would make no difference"):
        search.params_at_points(current | {"ensemble": ensemble}, [{key: value} for value in values], with_rounds=False)


def test_a_key_used_by_one_of_two_networks_can_be_searched(current: dict[str, Any]) -> None:
    params = current | {"ensemble": ["improved_se", "shallow"]}
    assert len(search.params_at_points(params, [{"train.batch": 8}, {"train.batch": 16}], with_rounds=False)) == 2


def test_overrides_have_the_syntax_of_dvc(current: dict[str, Any]) -> None:
    point = {"train.patience": None, "train.optimizer.lr": 1e-5, "train.class_weights": "balanced", "sources": ["a"]}
    arguments = search.dvc_exp_arguments(current | {"rounds": {"teacher": {"1": 0, "2": 1}}}, point, with_rounds=False)
    assert arguments[::2] == ["-S"] * 9
    assert arguments[1::2] == [
        "++train.patience=null",
        "++train.optimizer.lr=1e-05",
        '++train.class_weights="balanced"',
        '++sources=["a"]',
        "~rounds.teacher.1",
        "~rounds.teacher.2",
        "rounds.predict=[0]",
        "rounds.retrain=[]",
        "package.round=best",
    ]
    assert search.dvc_exp_arguments(current, {"seed": 1}, with_rounds=True) == ["-S", "++seed=1"]


def test_rounding_stays_within_the_bounds() -> None:
    rng = np.random.default_rng(0)
    numbers = [ValueRange(0.12345, 0.12349).draw(rng) for _ in range(50)]
    assert min(numbers) >= 0.12345
    assert max(numbers) <= 0.12349
