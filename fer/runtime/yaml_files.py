"""Read YAML as DVC does, within limits of size."""

import re
from pathlib import Path
from typing import Any

import yaml

from fer.runtime.errors import InputError

_MAX_BYTES, _MAX_VALUES = 1_000_000, 100_000  # of params.yaml


class StrictYamlLoader(yaml.SafeLoader):
    """YAML as DVC reads it: floats by the rule of YAML 1.2, so that 1e-3 is a number, and no key twice.

    Values are counted as often as aliases repeat them: a few lines can stand for gigabytes.
    """

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._values, self._within = 0, dict[yaml.Node | None, int]()

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        before = self._values
        node = super().compose_node(parent, index)
        self._values += self._within.get(node, 1)
        self._within[node] = self._values - before
        if self._values > _MAX_VALUES:
            raise yaml.YAMLError(f"more than {_MAX_VALUES:,} values, aliases written out")
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise InputError(
                    f"{key.start_mark.name}: line {key.start_mark.line + 1}: {key.value} is there twice; keep one"
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


StrictYamlLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"), list("-+.0123456789")
)


def read_yaml(path: Path) -> dict[Any, Any]:
    """What stands in `path`, whether or not it is allowed there.

    Raises:
        InputError: it is too large, or no YAML of a mapping.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; run this in the project's folder")
    if (size := path.stat().st_size) > _MAX_BYTES:
        raise InputError(f"{path}: has {size:,} bytes, at most {_MAX_BYTES:,} are read; take out what is no parameter")
    try:
        with path.open(encoding="utf-8") as file:
            content = yaml.load(file, StrictYamlLoader)
    # The last three: no number or date, a moment that is none, nested too deeply.
    except (yaml.YAMLError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds no parameters; restore it with `git checkout {path}`")
    return content


def read_shipped_params() -> dict[Any, Any]:
    """Return the content of the project's params.yaml, of which an installed package has a copy."""
    package = Path(__file__).parents[1]
    copy = package / "params" / "params.yaml"
    return read_yaml(copy if copy.is_file() else package.parent / "params.yaml")
