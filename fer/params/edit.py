"""Edits of `params.yaml`, written in the same format as by `dvc exp run -S`."""

import io
from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.error import CommentMark
from ruamel.yaml.scalarstring import SingleQuotedScalarString
from ruamel.yaml.tokens import CommentToken

from fer.core.files import atomic_write
from fer.params.sections import load_params


def write_changes(path: Path, changes: Mapping[str, tuple[Any, Any]]) -> list[str]:
    """Write the new values of `changes`, by dotted key, into the params.yaml at `path`, and return what to print.

    Raises:
        InputError: The file with the changes is not allowed; it stays as it was.
    """
    if not changes:
        return ["nothing to change"]
    values = {key: new for key, (_, new) in changes.items()}
    with atomic_write(path) as part:
        part.write_bytes(with_values(path.read_bytes().decode(), values).encode())
        load_params(part)
    return [*(f"{key}: {old} -> {new}" for key, (old, new) in changes.items()), "now run `dvc repro`"]


def with_values(text: str, values: Mapping[str, Any]) -> str:
    """Return `text` with the values at the dotted keys of `values` replaced; a number in a key is an index of a list.

    Comments, order, quotes and line ends are kept, also those of entries that stay. Only comments inside brackets that
    span several lines are lost, because ruamel.yaml does not keep them.
    """
    editor = YAML()
    editor.preserve_quotes = True
    content = editor.load(text.replace("\r\n", "\n"))
    for key, value in values.items():
        *sections, name = key.split(".")
        section = reduce(lambda node, part: node[int(part) if isinstance(node, list) else part], sections, content)
        if isinstance(value, list | dict):
            _replace(section, name, value)
        else:
            section[name] = value
    out = io.StringIO()
    editor.dump(content, out)
    return out.getvalue().replace("\n", "\r\n" if "\r\n" in text else "\n")


def _replace(parent: Any, name: str, value: Any) -> None:
    node = parent[name]
    if not node:
        node.fa.set_flow_style()  # Otherwise ruamel.yaml writes each new entry on a line of its own.
    is_block = not node.fa.flow_style()
    tail = _cut_tail(node) if is_block else ""
    for entry in [entry for entry in node if entry not in value]:
        node.remove(entry) if isinstance(node, list) else node.pop(entry)
    for index, entry in enumerate(value):
        if isinstance(node, dict):
            node[_quote(entry)] = _quote(value[entry])
        elif node[index : index + 1] != [entry]:
            if entry in node:
                node.remove(entry)
            node.insert(index, _quote(entry))
    if is_block and value:
        _append_tail(*_last_comment(node), tail)
    elif is_block:  # Otherwise ruamel.yaml writes the tail before the empty brackets.
        parent[name] = type(value)()
        parent.ca.items[name] = [*parent.ca.items.get(name, [None] * 3)[:3], None]
        _append_tail(parent.ca.items[name], 2, tail)


def _cut_tail(node: Any) -> str:
    """Remove and return the lines after the last entry, which ruamel.yaml keeps as part of that entry's comment."""
    slots, slot = _last_comment(node)
    line, _, tail = slots[slot].value.partition("\n") if slots[slot] else ("", "", "")
    slots[slot] = CommentToken(f"{line}\n", slots[slot].start_mark) if line else None
    return tail


def _append_tail(slots: Any, slot: int, tail: str) -> None:
    if tail:
        line, mark = (slots[slot].value, slots[slot].start_mark) if slots[slot] else ("\n", CommentMark(0))
        slots[slot] = CommentToken(line + tail, mark)


def _last_comment(node: Any) -> tuple[Any, int]:
    """Return the comments of the last entry and the index of the comment that follows its value."""
    last, slot = (len(node) - 1, 0) if isinstance(node, list) else (next(reversed(node)), 2)
    return node.ca.items.setdefault(last, [None] * 4), slot


def _quote(value: Any) -> Any:
    """Return `value`, quoted if it is a string that YAML 1.1 would read as another type."""
    return SingleQuotedScalarString(value) if isinstance(value, str) and yaml.safe_load(value) != value else value
