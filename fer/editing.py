"""`params.yaml` edited without touching what stands around: entries of lists and mappings are put in, or taken out."""

from collections.abc import Sequence
from typing import Any

import yaml

from fer.errors import InputError


def with_entry(text: str, key: str, name: str, value: str | None = None, first: bool = False) -> str:
    """`text` with `name` (of a mapping: `name: value`) as the last, or the first, below the dotted `key`.

    Comments, order and line ends elsewhere stay as they are. A name that YAML would take for a number is quoted.
    """
    node, entries = _entries(text, key)
    entry = _quoted(name) + ("" if value is None else f": {_quoted(value)}")
    if not entries:
        at = node.start_mark.index + 1
        return f"{text[:at]}{entry}{text[at:]}"
    start, end = entries[0] if first else entries[-1]
    if node.flow_style:
        return f"{text[:start]}{entry}, {text[start:]}" if first else f"{text[:end]}, {entry}{text[end:]}"
    line = text.rfind("\n", 0, start) + 1
    lead = text[line:start]
    if first:
        return f"{text[:line]}{lead}{entry}{_line_end(text)}{text[line:]}"
    stop = text.find(_line_end(text), end)
    stop = len(text) if stop < 0 else stop
    return f"{text[:stop]}{_line_end(text)}{lead}{entry}{text[stop:]}"


def without_entry(text: str, key: str, name: str) -> str:
    """`text` without the entry `name` below the dotted `key`; as it is where there is none."""
    node, entries = _entries(text, key)
    names = _names(node)
    if name not in names:
        return text
    at = names.index(name)
    start, end = entries[at]
    if len(entries) == 1:
        empty = "{}" if isinstance(node, yaml.MappingNode) else "[]"
        if node.flow_style:
            return f"{text[: node.start_mark.index]}{empty}{text[node.end_mark.index :]}"
        line = text.rfind("\n", 0, start) + 1
        return f"{text[:line]}{' ' * max(1, start - line)}{empty}{text[end:]}"
    if not node.flow_style:
        stop = text.find("\n", end)
        return text[: text.rfind("\n", 0, start) + 1] + (text[stop + 1 :] if stop >= 0 else "")
    if at + 1 < len(entries):
        return text[:start] + text[entries[at + 1][0] :]
    before = entries[at - 1][1]
    gap = text[before:start]
    return text[:before] + (gap.replace(",", "", 1) if "#" in gap else "") + text[end:]


def with_only(text: str, key: str, entries: Sequence[str]) -> str:
    """`text` with these entries alone below the dotted `key`."""
    for name in _names(_entries(text, key)[0]):
        text = without_entry(text, key, name)
    for entry in entries:
        text = with_entry(text, key, entry)
    return text


def with_value(text: str, key: str, value: str) -> str:
    """`text` with `value`, written in one line, instead of the list or mapping at the dotted `key`.

    Comments between the old entries go with them.
    """
    node, entries = _entries(text, key)
    if node.flow_style or not entries:
        return f"{text[: node.start_mark.index]}{value}{text[node.end_mark.index :]}"
    first = text.rfind("\n", 0, entries[0][0]) + 1
    after = text.find("\n", entries[-1][1]) + 1 or len(text)
    colon = text.index(":", _found(text, key)[0].end_mark.index) + 1
    return f"{text[:colon]} {value}{text[colon:first]}{text[after:]}"


def _entries(text: str, key: str) -> tuple[yaml.CollectionNode, list[tuple[int, int]]]:
    """The node at `key`, and where in `text` each of its entries begins and ends."""
    node = _found(text, key)[1]
    if isinstance(node, yaml.MappingNode):
        return node, [(name.start_mark.index, value.end_mark.index) for name, value in node.value]
    if isinstance(node, yaml.SequenceNode):
        return node, [(item.start_mark.index, item.end_mark.index) for item in node.value]
    raise InputError(f"params.yaml: {key} is no list; restore it with `git checkout params.yaml`")


def _found(text: str, key: str) -> Any:
    """The nodes of the dotted `key`'s last part and of its value; None and None where there is no such key."""
    name, node = None, yaml.compose(text)
    for part in key.split("."):
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        name, node = next((pair for pair in pairs if pair[0].value == part), (None, None))
    return name, node


def _names(node: yaml.CollectionNode) -> list[str]:
    children = [pair[0] for pair in node.value] if isinstance(node, yaml.MappingNode) else node.value
    return [str(child.value) for child in children]


def _line_end(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _quoted(text: str) -> str:
    return text if text[0].isalpha() and isinstance(yaml.safe_load(text), str) else f'"{text}"'
