"""Edits of params.yaml by `fer` and by `dvc exp run -S` change values and nothing else."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import modify_yaml
from hypothesis import given
from hypothesis import strategies as st

from fer.params import load_params
from fer.params.edit import with_values, write_changes
from fer.runtime.errors import InputError

PROJECT = Path(__file__).parents[2]
SHIPPED = (PROJECT / "params.yaml").read_text()
FLOW = "# top\nseed: 0   # zero\nsources: [a, b]   # of preference\ningest:\n  readers: {}    # none\n  size: 48\n"
BLOCK = "# top\nsources:   # of preference\n- a   # first\n- b\n\n# between\ningest:\n"
BLOCK += "  readers:\n    a: tree   # why\n  size: 48\n"
names = st.lists(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,8}", fullmatch=True), max_size=5, unique=True)


def diff_lines(old_text: str, new_text: str) -> list[tuple[str, str]]:
    pairs = zip(old_text.splitlines(), new_text.splitlines(), strict=True)
    return [(old, new) for old, new in pairs if old != new]


def test_the_shipped_file_survives_an_edit_without_values(tmp_path: Path) -> None:
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
        ("transforms=strong", "transforms: strong        # random changes of each training face"),
        ("transform_sets.strong.erasing=0.5", "    erasing: 0.5"),
        ("pseudo_label.weights=confidence", "  weights: confidence     # of accepted faces in the loss"),
        ("unify.label_budget=10", "  label_budget: 10        # labels kept per emotion; "),
    ],
)
def test_dvc_changes_only_one_line_of_the_shipped_file(tmp_path: Path, override: str, line: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(SHIPPED)
    apply_overrides(path, [override])  # as `dvc exp run -S` does
    ((_, new),) = diff_lines(SHIPPED, path.read_text())
    assert new.startswith(line)


def test_dvc_can_empty_lists_of_the_shipped_file_and_fill_them_again(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(SHIPPED)
    apply_overrides(path, ["pseudo_label.agreement=[networks]"])
    apply_overrides(path, ["pseudo_label.agreement=[]", "rounds.predict=[0]", "rounds.retrain=[]", "~rounds.teacher.1"])
    params = load_params(path)
    assert (params.pseudo_label.agreement, params.rounds.predict, params.rounds.retrain) == ([], [0], [])
    apply_overrides(path, ["rounds.predict=[0,1]", "rounds.retrain=[1]"])
    rounds = yaml.safe_load(path.read_text())["rounds"]
    assert (rounds["predict"], rounds["retrain"]) == ([0, 1], [1])


def test_a_source_can_be_added_to_the_shipped_file_and_removed(tmp_path: Path) -> None:
    sources = load_params(PROJECT / "params.yaml").sources
    added_text = with_values(SHIPPED, {"sources": [*sources, "mine"], "ingest.readers": {"mine": "photos"}})
    (tmp_path / "params.yaml").write_text(added_text)
    params = load_params(tmp_path / "params.yaml")
    assert params.sources == [*sources, "mine"]
    assert params.ingest.readers == {"mine": "photos"}
    assert len(diff_lines(SHIPPED, added_text.replace("- mine\n", ""))) == 1
    assert with_values(added_text, {"sources": sources, "ingest.readers": {}}) == SHIPPED


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("precision", "bf16", "precision: bf16           # fp32 "),
        ("train.ema", 0.44, "  ema: 0.44               # decay per step"),
        ("networks.vgg16.transfer.phases.2.lr", 2e-4, "        lr: 0.0002"),
        ("train.optimizer.lr", 0.005, "  optimizer: {kind: adamw, lr: 0.005, weight_decay: 0.01}    # or adam, "),
    ],
)
def test_a_value_that_is_no_list_and_no_mapping_changes_in_its_line(key: str, value: Any, line: str) -> None:
    ((_, new),) = diff_lines(SHIPPED, with_values(SHIPPED, {key: value}))
    assert new.startswith(line)


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
def test_comments_order_and_line_ends_are_kept(text: str, edited: str, end: str) -> None:
    values = {"sources": ["z", "a", "c"], "ingest.readers": {"a": "tree", "b": "photos"}}
    assert with_values(text.replace("\n", end), values) == edited.replace("\n", end)


@st.composite
def yaml_files(draw: st.DrawFn) -> tuple[str, Any, str]:
    """Return a params.yaml, its sources as a list or mapping, and the text after them."""
    entry_names, is_list = draw(names), draw(st.booleans())
    comment = st.sampled_from(["", "  # why", "  # of a, [b] and {c: d}"])
    entries = [f"'{name}'" if is_list else f"'{name}': tree" for name in entry_names]
    if entry_names and draw(st.booleans()):
        indent = draw(st.sampled_from(["", "  "])) + "- " if is_list else "  "
        text = draw(comment) + "\n" + "".join(f"{indent}{entry}{draw(comment)}\n" for entry in entries)
    else:
        text = f" {'[' if is_list else '{'}{', '.join(entries)}{']' if is_list else '}'}{draw(comment)}\n"
    lines = draw(st.sampled_from(["", "\n", "# tail\n", "\n# tail\n\n"]))
    tail = lines + draw(st.sampled_from(["", "seed: 0   # zero\n"]))
    return f"# head\nsources:{text}{tail}", entry_names if is_list else dict.fromkeys(entry_names, "tree"), tail


@given(yaml_files(), names, st.booleans())
def test_entries_are_added_and_removed_in_every_style(file: tuple[str, Any, str], new: list[str], keep: bool) -> None:
    text, old, tail = file
    entries = list(dict.fromkeys([*old, *new])) if keep else new
    value: Any = entries if isinstance(old, list) else dict.fromkeys(entries, "tree")
    edited = with_values(text, {"sources": value})
    assert yaml.safe_load(edited) == yaml.safe_load(text) | {"sources": value}
    assert edited.startswith("# head\nsources:")
    assert edited.endswith(tail)
    assert with_values(edited, {"sources": value}) == edited
    if keep:
        comments = [[line.partition("#")[2] for line in lines.splitlines() if "#" in line] for lines in (text, edited)]
        assert comments[0] == comments[1]


@pytest.mark.parametrize("text", [FLOW, BLOCK])
@pytest.mark.parametrize("name", ["2013", "1e3", "0x1f", "null", "yes", "true", "12_3"])
def test_a_name_that_looks_like_another_type_is_quoted(text: str, name: str) -> None:
    edited = with_values(text, {"sources": ["a", name], "ingest.readers": {name: "tree"}})
    assert yaml.safe_load(edited)["sources"] == ["a", name]
    assert yaml.safe_load(edited)["ingest"]["readers"] == {name: "tree"}


def test_changes_that_are_not_allowed_leave_the_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(SHIPPED)
    with pytest.raises(InputError, match=r"train\.batch is 0"):
        write_changes(path, {"seed": (0, 1), "train.batch": (32, 0)})
    assert path.read_text() == SHIPPED
    assert write_changes(path, {"seed": (0, 1)}) == ["seed: 0 -> 1", "now run `dvc repro`"]
    assert load_params(path).seed == 1
