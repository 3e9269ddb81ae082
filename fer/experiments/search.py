"""Points of a hyper-parameter search: each maps dotted keys of `params.yaml` to values."""

import copy
import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pydantic import ValidationError

from fer.core.schema import format_errors
from fer.params import Params
from fer.runtime.errors import InputError

SearchPoint = dict[str, Any]
SUPERVISED_ROUNDS: dict[str, Any] = {"predict": [0], "retrain": [], "teacher": {}}  # `rounds` of a single training
_NUMBER = r"[-+]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?"
_FILE = Path("params.yaml")


@dataclass(frozen=True)
class ValueRange:
    """An interval of numbers that includes its bounds."""

    low: int | float
    high: int | float

    def draw(self, rng: np.random.Generator) -> int | float:
        """Draw a number, on a logarithmic scale if `high` is at least ten times `low`.

        It is an integer if both bounds are, otherwise it has three significant digits.
        """
        is_integer = isinstance(self.low, int) and isinstance(self.high, int)
        low, high = (self.low - 0.5, self.high + 0.5) if is_integer else (self.low, self.high)
        if self.low > 0 and self.high >= 10 * self.low:
            number = math.exp(rng.uniform(math.log(low), math.log(high)))
        else:
            number = rng.uniform(low, high)
        return min(max(round(number) if is_integer else float(f"{number:.3g}"), self.low), self.high)


SearchSpace = Mapping[str, ValueRange | list[Any]]


def parse_search_space(arguments: Sequence[str]) -> dict[str, ValueRange | list[Any]]:
    """Return the values or the range of each key, from arguments KEY=a,b,c or KEY=low..high.

    Raises:
        InputError: An argument has another form, or repeats a key.
    """
    space: dict[str, ValueRange | list[Any]] = {}
    for argument in arguments:
        key, _, text = argument.partition("=")
        if not (key and text):
            raise InputError(f"{argument}: must be KEY=VALUES, such as train.batch=16,32 or train.dropout=0.1..0.5")
        if key in space:
            raise InputError(f"{key} is given twice; list all its values once: {key}=a,b,c")
        space[key] = _parse_range(argument, text) or _parse_values(argument, text)
    return space


def _parse_range(argument: str, text: str) -> ValueRange | None:
    if not (bounds := re.fullmatch(rf"({_NUMBER})\.\.({_NUMBER})", text)):
        return None
    low, high = (int(bound) if re.fullmatch(r"[-+]?\d+", bound) else float(bound) for bound in bounds.groups())
    if low >= high:
        raise InputError(f"{argument}: the lower number must come first")
    return ValueRange(low, high)


def _parse_values(argument: str, text: str) -> list[Any]:
    if "{" in text:
        raise InputError(f"{argument}: a mapping is no value; search its keys: train.optimizer.lr=1e-3,1e-2")
    try:
        content = yaml.safe_load(f"[{text}]")
    except yaml.YAMLError as error:
        raise InputError(f"{argument}: not readable as a comma-separated list of values") from error
    # PyYAML reads 1e-3 as a string.
    values = [float(value) if isinstance(value, str) and re.fullmatch(_NUMBER, value) else value for value in content]
    return [value for index, value in enumerate(values) if value not in values[:index]]


def grid_points(space: SearchSpace) -> list[SearchPoint]:
    """Return every combination of the values; the last key changes fastest.

    Raises:
        InputError: A key has a range.
    """
    values = {key: values for key, values in space.items() if not isinstance(values, ValueRange)}
    if ranges := [key for key in space if key not in values]:
        raise InputError(f"{ranges[0]} has a range, but a grid needs single values; list them, or add --random N")
    return [dict(zip(values, combination, strict=True)) for combination in itertools.product(*values.values())]


def draw_points(space: SearchSpace, count: int, seed: int) -> list[SearchPoint]:
    """Draw `count` different points; a larger count begins with the points of a smaller one.

    If few of the keys matter, random points do as well as a grid of many more (Bergstra & Bengio 2012).

    Raises:
        InputError: The space has fewer points.
    """
    rng = np.random.default_rng(seed)
    points: dict[str, SearchPoint] = {}
    for _ in range(100 * count):
        point = {
            key: values.draw(rng) if isinstance(values, ValueRange) else values[rng.integers(len(values))]
            for key, values in space.items()
        }
        points.setdefault(json.dumps(point), point)
        if len(points) == count:
            return list(points.values())
    raise InputError(f"--random {count}: found only {len(points)} different points; use a smaller N or a wider range")


def params_at_points(
    current_params: Mapping[str, Any], points: Sequence[SearchPoint], with_rounds: bool
) -> list[dict[str, Any]]:
    """Return the content of `params.yaml` at each point, with or without the rounds of pseudo-labels.

    Raises:
        InputError: A key is unknown, a value is not allowed, or two points would give the same results.
    """
    contents = [_params_at(current_params, point, with_rounds) for point in points]
    point_by_key: dict[str, SearchPoint] = {}
    for point, content in zip(points, contents, strict=True):
        equivalent = point_by_key.setdefault(_run_key(content), point)
        if equivalent is not point:
            keys = ", ".join(key for key in point if point[key] != equivalent[key])
            raise InputError(
                f"{keys} would make no difference: the networks of `ensemble` override it in `networks`, or no stage "
                "uses it; leave it out" + ("" if with_rounds else ", or add --rounds if it is of pseudo-labels")
            )
    return contents


def dvc_exp_arguments(current_params: Mapping[str, Any], point: SearchPoint, with_rounds: bool) -> list[str]:
    """Return the arguments of `dvc exp run` that set the values of `point`."""
    changes = [f"++{key}={json.dumps(value)}" for key, value in point.items()]
    if not with_rounds:
        changes += [f"~rounds.teacher.{round_}" for round_ in current_params["rounds"]["teacher"]]
        changes += [f"rounds.{key}={SUPERVISED_ROUNDS[key]}" for key in ("predict", "retrain")]
        changes += ["package.round=best"]
    return [part for change in changes for part in ("-S", change)]


def _params_at(current: Mapping[str, Any], point: SearchPoint, rounds: bool) -> dict[str, Any]:
    content = copy.deepcopy(dict(current))
    for key, value in (point if rounds else {**point, "package.round": "best"}).items():
        *sections, name = key.split(".")
        section = content
        for section_name in sections:
            section = section.setdefault(section_name, {})
            if not isinstance(section, dict):
                raise InputError(f"{key} is not a key: {section_name} is not a section; remove what follows it")
        section[name] = value
    return content if rounds else content | {"rounds": SUPERVISED_ROUNDS}


def _run_key(content: dict[str, Any]) -> str:
    """Return a text of all parameters that the stages up to `evaluate` depend on."""
    try:
        params = Params.model_validate(content)
    except ValidationError as error:
        raise InputError(format_errors(error, content, _FILE, Params).replace(f"{_FILE}: ", "")) from error
    unused = {"transform_sets", "train", "networks", "package"} | (
        set() if params.rounds.retrain else {"pseudo_label", "retrain"}
    )
    recipes = {
        name: [phase.model_dump() for phase in params.train.with_overrides(params.networks[name]).phases()]
        for name in params.ensemble
    }
    transforms = params.transform_sets[params.transforms].model_dump()
    return json.dumps([params.model_dump(exclude=unused), transforms, recipes])
