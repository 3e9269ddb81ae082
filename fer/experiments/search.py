"""The points of a search over hyper-parameters: each maps dotted keys of `params.yaml` to values."""

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
SUPERVISED_ROUNDS: dict[str, Any] = {"predict": [0], "retrain": [], "teacher": {}}  # of `rounds`: a run is one training
_NUMBER = r"[-+]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?"
_FILE = Path("params.yaml")


@dataclass(frozen=True)
class ValueRange:
    """From `low` to `high`, both included."""

    low: int | float
    high: int | float

    def draw(self, rng: np.random.Generator) -> int | float:
        """A number between, on a logarithmic scale where `high` is ten times `low` or more.

        Of whole numbers a whole one, else one of three digits.
        """
        whole = isinstance(self.low, int) and isinstance(self.high, int)
        low, high = (self.low - 0.5, self.high + 0.5) if whole else (self.low, self.high)
        if self.low > 0 and self.high >= 10 * self.low:
            number = math.exp(rng.uniform(math.log(low), math.log(high)))
        else:
            number = rng.uniform(low, high)
        return min(max(round(number) if whole else float(f"{number:.3g}"), self.low), self.high)


SearchSpace = Mapping[str, ValueRange | list[Any]]


def parse_search_space(arguments: Sequence[str]) -> dict[str, ValueRange | list[Any]]:
    """What to try of each key, from KEY=a,b,c or KEY=low..high.

    Raises:
        InputError: an argument is neither, or has a key again.
    """
    found: dict[str, ValueRange | list[Any]] = {}
    for argument in arguments:
        key, _, text = argument.partition("=")
        if not (key and text):
            raise InputError(f"{argument}: must be KEY=VALUES, such as train.batch=16,32 or train.dropout=0.1..0.5")
        if key in found:
            raise InputError(f"{key} is there twice; name all of its values at once: {key}=a,b,c")
        found[key] = _parse_range(argument, text) or _parse_values(argument, text)
    return found


def _parse_range(argument: str, text: str) -> ValueRange | None:
    if not (bounds := re.fullmatch(rf"({_NUMBER})\.\.({_NUMBER})", text)):
        return None
    low, high = (int(bound) if re.fullmatch(r"[-+]?\d+", bound) else float(bound) for bound in bounds.groups())
    if low >= high:
        raise InputError(f"{argument}: must begin with the lower number")
    return ValueRange(low, high)


def _parse_values(argument: str, text: str) -> list[Any]:
    if "{" in text:
        raise InputError(f"{argument}: must be values; instead of a mapping, search its keys, each with its dot")
    try:
        read = yaml.safe_load(f"[{text}]")
    except yaml.YAMLError as error:
        raise InputError(f"{argument}: not readable as values with commas between them") from error
    # YAML 1.1 takes 1e-3 for a text
    values = [float(value) if isinstance(value, str) and re.fullmatch(_NUMBER, value) else value for value in read]
    return [value for row, value in enumerate(values) if value not in values[:row]]


def grid_points(space: SearchSpace) -> list[SearchPoint]:
    """Every combination of the values, the last key changing fastest.

    Raises:
        InputError: a key has a range.
    """
    values = {key: values for key, values in space.items() if not isinstance(values, ValueRange)}
    if ranges := [key for key in space if key not in values]:
        raise InputError(f"{ranges[0]} has a range, too many values for a grid; list values, or add --random N")
    return [dict(zip(values, combination, strict=True)) for combination in itertools.product(*values.values())]


def draw_points(space: SearchSpace, count: int, seed: int) -> list[SearchPoint]:
    """`count` different points at random. A larger count begins with the points of a smaller one.

    Bergstra & Bengio 2012: where few of the keys matter, this finds as good a point as a grid of many more.

    Raises:
        InputError: there are not that many.
    """
    rng = np.random.default_rng(seed)
    found: dict[str, SearchPoint] = {}
    for _ in range(100 * count):
        point = {
            key: values.draw(rng) if isinstance(values, ValueRange) else values[rng.integers(len(values))]
            for key, values in space.items()
        }
        found.setdefault(json.dumps(point), point)
        if len(found) == count:
            return list(found.values())
    raise InputError(f"--random {count}: found only {len(found)} different points; ask for fewer, or widen a range")


def params_at_points(
    current_params: Mapping[str, Any], points: Sequence[SearchPoint], with_rounds: bool
) -> list[dict[str, Any]]:
    """What `params.yaml`, which now holds `current_params`, would hold at each point, with the pseudo-label rounds or without.

    Raises:
        InputError: a key is unknown, a value is not allowed, or a key makes no difference to any run.
    """
    found = [_params_at(current_params, point, with_rounds) for point in points]
    seen: dict[str, SearchPoint] = {}
    for point, content in zip(points, found, strict=True):
        same = seen.setdefault(_run_key(content), point)
        if same is not point:
            keys = ", ".join(key for key in point if point[key] != same[key])
            raise InputError(
                f"{keys} would make no difference: the networks of `ensemble` have their own values in `networks`, or "
                "no stage uses it" + ("" if with_rounds else "; pseudo-labels come only with --rounds")
            )
    return found


def dvc_exp_arguments(current_params: Mapping[str, Any], point: SearchPoint, with_rounds: bool) -> list[str]:
    """The point as arguments of `dvc exp run`."""
    changes = [f"++{key}={json.dumps(value)}" for key, value in point.items()]
    if not with_rounds:
        changes += [f"~rounds.teacher.{round_}" for round_ in current_params["rounds"]["teacher"]]
        changes += [f"rounds.{key}={SUPERVISED_ROUNDS[key]}" for key in ("predict", "retrain")]
        changes += ["package.round=best"]
    return [part for change in changes for part in ("-S", change)]


def _params_at(current: Mapping[str, Any], point: SearchPoint, rounds: bool) -> dict[str, Any]:
    content = copy.deepcopy(dict(current))
    for key, value in point.items():
        *above, last = key.split(".")
        section = content
        for part in above:
            section = section.setdefault(part, {})
            if not isinstance(section, dict):
                raise InputError(f"{key} is not a key: {part} has no keys below it")
        section[last] = value
    return content if rounds else content | {"rounds": SUPERVISED_ROUNDS, "package": {"round": "best"}}


def _run_key(content: dict[str, Any]) -> str:
    """All of the parameters that the stages as far as `evaluate` depend on."""
    try:
        chosen = Params.model_validate(content)
    except ValidationError as error:
        raise InputError(format_errors(error, content, _FILE, Params).replace(f"{_FILE}: ", "")) from error
    unused = {"train", "networks", "package"} | (set() if chosen.rounds.retrain else {"pseudo_label", "retrain"})
    recipes = {
        name: [phase.model_dump() for phase in chosen.train.with_overrides(chosen.networks[name]).phases()]
        for name in chosen.ensemble
    }
    return json.dumps([chosen.model_dump(exclude=unused), recipes])
