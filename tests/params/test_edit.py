"""params.yaml edited: the values change and nothing else, whether by `fer` or by `dvc exp run -S`."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import modify_yaml
from hypothesis import given
from hypothesis import strategies as st

from fer.params import load_params
from fer.params.edit import with_values

PROJECT = Path(__file__).parents[2]
SHIPPED = (PROJECT / "params.yaml").read_text()
FLOW = "# top\nseed: 0   # zero\nsources: [a, b]   # of preference\ningest:\n  readers: {}    # none\n  size: 48\n"
BLOCK = "# top\nsources:   # of preference\n- a   # first\n- b\n\n# between\ningest:\n"
BLOCK += "  readers:\n    a: tree   # why\n  size: 48\n"
names = st.lists(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,8}", fullmatch=True), max_size=5, unique=True)


def changed(before: str, after: str) -> list[tuple[str, str]]:
    pairs = zip(before.splitlines(), after.splitlines(), strict=True)
    return [(old, new) for old, new in pairs if old != new]


def test_the_shipped_file_stays_as_it_is_where_nothing_is_changed(tmp_path: Path) -> None:
    assert with_values(SHIPPED, {}) == SHIPPED
    path = tmp_path / "params.yaml"
    path.write_text(SHIPPED)
    with modify_yaml(path):
        pass
    assert path.read_text() == SHIPPED


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("train.epochs=3", "  epochs: 3"),
        ("retrain.online.share=0.25", "    share: 0.25           # unlabelled share of each batch"),
        ("train.optimizer.lr=0.01", "  optimizer: {kind: adamw, lr: 0.01, weight_decay: 0.01}     # or adam, "),
        ("pseudo_label.policies.quota.share=0.2", "    quota: {share: 0.2}       # of the pool: "),
        ("unify.label_budget=10", "  label_budget: 10        # labels kept per emotion; "),
    ],
)
def test_dvc_changes_one_line_of_the_shipped_file(tmp_path: Path, override: str, line: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(SHIPPED)
    apply_overrides(path, [override])  # as `dvc exp run -S` does
    ((_, new),) = changed(SHIPPED, path.read_text())
    assert new.startswith(line)


def test_a_source_goes_into_the_shipped_file_and_out_again(tmp_path: Path) -> None:
    sources = load_params(PROJECT / "params.yaml").sources
    added = with_values(SHIPPED, {"sources": [*sources, "mine"], "ingest.readers": {"mine": "photos"}})
    (tmp_path / "params.yaml").write_text(added)
    chosen = load_params(tmp_path / "params.yaml")
    assert chosen.sources == [*sources, "mine"]
    assert chosen.ingest.readers == {"mine": "photos"}
    assert len(changed(SHIPPED, added.replace("- mine\n", ""))) == 1
    assert with_values(added, {"sources": sources, "ingest.readers": {}}) == SHIPPED


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("text", "edited"),
    [
        (
            FLOW,
            "# top\nseed: 0   # zero\nsources: [z, a, c] # of preference\ningest:\n"
            "  readers: {a: tree, b: photos} # none\n  size: 48\n",
        ),
        (
            BLOCK,
            "# top\nsources:   # of preference\n- z\n- a   # first\n- c\n\n# between\ningest:\n"
            "  readers:\n    a: tree   # why\n    b: photos\n  size: 48\n",
        ),
    ],
    ids=["flow", "block"],
)
def test_comments_order_and_line_ends_stay(text: str, edited: str, end: str) -> None:
    values = {"sources": ["z", "a", "c"], "ingest.readers": {"a": "tree", "b": "photos"}}
    assert with_values(text.replace("\n", end), values) == edited.replace("\n", end)


@st.composite
def files(draw: st.DrawFn) -> tuple[str, Any, str]:
    """A params.yaml, its sources, a list or a mapping, and what follows them."""
    listed, is_list = draw(names), draw(st.booleans())
    note = st.sampled_from(["", "  # why", "  # of a, [b] and {c: d}"])
    entries = [f"'{name}'" if is_list else f"'{name}': tree" for name in listed]
    if listed and draw(st.booleans()):
        indent = draw(st.sampled_from(["", "  "])) + "- " if is_list else "  "
        text = draw(note) + "\n" + "".join(f"{indent}{entry}{draw(note)}\n" for entry in entries)
    else:
        text = f" {'[' if is_list else '{'}{', '.join(entries)}{']' if is_list else '}'}{draw(note)}\n"
    lines = draw(st.sampled_from(["", "\n", "# tail\n", "\n# tail\n\n"]))
    tail = lines + draw(st.sampled_from(["", "seed: 0   # zero\n"]))
    return f"# head\nsources:{text}{tail}", listed if is_list else dict.fromkeys(listed, "tree"), tail


@given(files(), names, st.booleans())
def test_entries_come_and_go_whatever_the_style(file: tuple[str, Any, str], new: list[str], keep: bool) -> None:
    text, old, tail = file
    after = list(dict.fromkeys([*old, *new])) if keep else new
    value: Any = after if isinstance(old, list) else dict.fromkeys(after, "tree")
    edited = with_values(text, {"sources": value})
    assert yaml.safe_load(edited) == yaml.safe_load(text) | {"sources": value}
    assert edited.startswith("# head\nsources:")
    assert edited.endswith(tail)
    assert with_values(edited, {"sources": value}) == edited
    if keep:
        notes = [[line.partition("#")[2] for line in lines.splitlines() if "#" in line] for lines in (text, edited)]
        assert notes[0] == notes[1]


@pytest.mark.parametrize("text", [FLOW, BLOCK])
@pytest.mark.parametrize("name", ["2013", "1e3", "0x1f", "null", "yes", "true", "12_3"])
def test_a_name_stays_a_text_for_whoever_reads_it(text: str, name: str) -> None:
    added = with_values(text, {"sources": ["a", name], "ingest.readers": {name: "tree"}})
    assert yaml.safe_load(added)["sources"] == ["a", name]
    assert yaml.safe_load(added)["ingest"]["readers"] == {name: "tree"}
