"""`params.yaml` edited without touching what stands around: an entry is put into a list or a mapping, or taken out."""

from collections.abc import Sequence

import yaml

from fer.errors import InputError


def with_entry(text: str, key: str, entry: str, first: bool = False) -> str:
    """`text` with `entry` ("name", or "name: value" in a mapping) as the last, or the first, below the dotted `key`.

    Comments, order and line ends elsewhere stay as they are.
    """
    node, entries = _entries(text, key)
    if _is_on_one_line(node):
        told = [text[start:end] for start, end in entries]
        return _rewritten(text, node, [entry, *told] if first else [*told, entry])
    start, end = entries[0] if first else entries[-1]
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
    kept = [place for place, child in zip(entries, _names(node), strict=True) if child != name]
    if len(kept) == len(entries):
        return text
    if _is_on_one_line(node):
        return _rewritten(text, node, [text[start:end] for start, end in kept])
    if not kept:
        start, end = entries[0]
        line = text.rfind("\n", 0, start) + 1
        blank = " " * max(1, len(text[line:start]))
        return f"{text[:line]}{blank}{'{}' if isinstance(node, yaml.MappingNode) else '[]'}{text[end:]}"
    ((start, end),) = set(entries) - set(kept)
    stop = text.find("\n", end)
    return text[: text.rfind("\n", 0, start) + 1] + (text[stop + 1 :] if stop >= 0 else "")


def with_only(text: str, key: str, entries: Sequence[str]) -> str:
    """`text` with these entries alone below the dotted `key`."""
    for name in _names(_entries(text, key)[0]):
        text = without_entry(text, key, name)
    for entry in entries:
        text = with_entry(text, key, entry)
    return text


def _entries(text: str, key: str) -> tuple[yaml.CollectionNode, list[tuple[int, int]]]:
    """The node at `key`, and where in `text` each of its entries begins and ends."""
    node = yaml.compose(text)
    for part in key.split("."):
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        node = next((value for name, value in pairs if name.value == part), None)
    if isinstance(node, yaml.MappingNode):
        return node, [(name.start_mark.index, value.end_mark.index) for name, value in node.value]
    if isinstance(node, yaml.SequenceNode):
        return node, [(item.start_mark.index, item.end_mark.index) for item in node.value]
    raise InputError(f"params.yaml: {key} is no list; restore it with `git checkout params.yaml`")


def _names(node: yaml.CollectionNode) -> list[str]:
    children = [pair[0] for pair in node.value] if isinstance(node, yaml.MappingNode) else node.value
    return [str(child.value) for child in children]


def _line_end(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _is_on_one_line(node: yaml.CollectionNode) -> bool:
    return bool(node.flow_style)


def _rewritten(text: str, node: yaml.CollectionNode, entries: Sequence[str]) -> str:
    begin, end = ("{", "}") if isinstance(node, yaml.MappingNode) else ("[", "]")
    return f"{text[: node.start_mark.index]}{begin}{', '.join(entries)}{end}{text[node.end_mark.index :]}"
