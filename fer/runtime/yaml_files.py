"""YAML files, read as DVC reads them and with a limit on their size."""

import re
from pathlib import Path
from typing import Any

import yaml

from fer.runtime.errors import InputError

_MAX_BYTES, _MAX_VALUES = 1_000_000, 100_000


class StrictYamlLoader(yaml.SafeLoader):
    """Loader with the floats of YAML 1.2, in which 1e-3 is a number, and without duplicate keys.

    It counts a value as often as aliases repeat it, because a few lines of aliases can expand to gigabytes.
    """

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._n_values, self._n_inside = 0, dict[yaml.Node | None, int]()

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        n_before = self._n_values
        node = super().compose_node(parent, index)
        self._n_values += self._n_inside.get(node, 1)
        self._n_inside[node] = self._n_values - n_before
        if self._n_values > _MAX_VALUES:
            raise yaml.YAMLError(f"more than {_MAX_VALUES:,} values, with aliases expanded")
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in keys:
                mark = key.start_mark
                raise InputError(f"{mark.name}: line {mark.line + 1}: {key.value} occurs twice; keep one")
            keys.add(key.value)
        return super().construct_mapping(node, deep=deep)


StrictYamlLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"), list("-+.0123456789")
)


def read_yaml(path: Path) -> dict[Any, Any]:
    """Return the mapping in a YAML file, without checking its keys and values.

    Raises:
        InputError: The file is missing, too large, not YAML or not a mapping.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; run this in the project folder")
    if (size := path.stat().st_size) > _MAX_BYTES:
        raise InputError(f"{path}: has {size:,} bytes, more than {_MAX_BYTES:,}; remove what is not a parameter")
    try:
        with path.open(encoding="utf-8") as file:
            content = yaml.load(file, StrictYamlLoader)
    # PyYAML raises ValueError for a bad number or date, AttributeError for a bad timestamp.
    except (yaml.YAMLError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds no parameters; restore it with `git checkout {path}`")
    return content


def read_shipped_params() -> dict[Any, Any]:
    """Return the content of the project's params.yaml, of which an installed package has a copy."""
    package = Path(__file__).parents[1]
    copy = package / "params" / "params.yaml"
    return read_yaml(copy if copy.is_file() else package.parent / "params.yaml")
