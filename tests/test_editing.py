"""params.yaml edited: the list changes and nothing else."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fer import params
from fer.editing import with_entry, with_only, without_entry
from fer.errors import InputError

PROJECT = Path(__file__).parents[1]
FLOW = "# top\nseed: 0   # zero\nsources: [a, b]   # of preference\ningest:\n  readers: {}    # none\n  size: 48\n"
BLOCK = "# top\nsources:\n- a   # first\n- b\n# between\ningest:\n  readers:\n    a: tree   # why\n  size: 48\n"
texts = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True).filter(lambda name: yaml.safe_load(name) == name)
names = st.lists(texts, min_size=1, max_size=5, unique=True)  # unquoted "no" or "null" would be no names


def test_a_source_goes_into_the_projects_own_file_and_out_again(tmp_path: Path) -> None:
    text = (PROJECT / "params.yaml").read_text()
    added = with_entry(with_entry(text, "sources", "mine"), "ingest.readers", "mine", "photos")
    (tmp_path / "params.yaml").write_text(added)
    chosen = params.load(tmp_path / "params.yaml")
    assert chosen.sources[-1] == "mine"
    assert chosen.ingest.readers["mine"] == "photos"
    changed = [one for one, other in zip(text.splitlines(), added.splitlines(), strict=True) if one != other]
    assert len(changed) == 2
    assert without_entry(without_entry(added, "sources", "mine"), "ingest.readers", "mine") == text


@pytest.mark.parametrize("text", [FLOW, BLOCK, FLOW.replace("\n", "\r\n"), BLOCK.replace("\n", "\r\n")])
def test_comments_order_and_line_ends_stay(text: str) -> None:
    added = with_entry(with_entry(text, "sources", "c"), "sources", "z", first=True)
    assert yaml.safe_load(added)["sources"] == ["z", "a", "b", "c"]
    assert added.count("\r\n") in (0, added.count("\n"))
    assert [line for line in text.splitlines() if "#" in line and "sources" not in line] == [
        line for line in added.splitlines() if "#" in line and "sources" not in line
    ]
    assert without_entry(without_entry(added, "sources", "c"), "sources", "z") == text


@pytest.mark.parametrize("text", [FLOW, BLOCK])
def test_a_mapping_gains_and_loses_entries_too(text: str) -> None:
    added = with_entry(text, "ingest.readers", "b", "photos")
    assert yaml.safe_load(added)["ingest"]["readers"]["b"] == "photos"
    empty = without_entry(without_entry(added, "ingest.readers", "b"), "ingest.readers", "a")
    assert yaml.safe_load(empty)["ingest"] == {"readers": {}, "size": 48}
    assert without_entry(text, "ingest.readers", "nobody") == text


@given(before=names, after=names, block=st.booleans())
def test_a_list_can_be_replaced_whatever_its_style(before: list[str], after: list[str], block: bool) -> None:
    listed = "\n" + "".join(f"  - {name}\n" for name in before) if block else f" [{', '.join(before)}]\n"
    text = f"# head\nsources:{listed}# tail\nseed: 0\n"
    replaced = with_only(text, "sources", after)
    assert yaml.safe_load(replaced) == {"sources": after, "seed": 0}
    assert replaced.startswith("# head\n")
    assert replaced.endswith("# tail\nseed: 0\n")


@st.composite
def files(draw: st.DrawFn) -> tuple[str, list[str], str]:
    """A params.yaml, its sources and its line end: either style, comments anywhere, one or several lines."""
    listed = draw(names)
    notes = st.sampled_from(["", "  # why", "  # of a, [b] and {c: d}"])
    if draw(st.booleans()):
        lines = [
            "sources:",
            *(f"{draw(st.sampled_from(['', '# so', '  # [x]']))}\n- {name}{draw(notes)}" for name in listed),
        ]
        text = "\n".join(lines).replace("\n\n", "\n")
    else:
        between = [draw(st.sampled_from([", ", ",\n    ", ",  # one, two\n    ", " , "])) for _ in listed[1:]]
        inside = "".join(f"{name}{gap}" for name, gap in zip(listed, [*between, ""], strict=True))
        text = f"sources: [{inside}{draw(st.sampled_from(['', ',', ' ']))}]{draw(notes)}"
    end = draw(st.sampled_from(["\n", "\r\n"]))
    return f"# head\nseed: 0\n{text}\n# tail\n".replace("\n", end), listed, end


@given(files(), st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,8}", fullmatch=True), st.booleans())
def test_what_is_put_in_can_be_taken_out_and_nothing_else_changes(
    file: tuple[str, list[str], str], name: str, first: bool
) -> None:
    text, listed, end = file
    if name in listed:
        return
    added = with_entry(text, "sources", name, first=first)
    assert yaml.safe_load(added) == {"seed": 0, "sources": [name, *listed] if first else [*listed, name]}
    assert without_entry(added, "sources", name) == text
    assert [line.partition("#")[2] for line in added.splitlines() if "#" in line] == [
        line.partition("#")[2] for line in text.splitlines() if "#" in line
    ]
    assert added.count("\n") == added.count(end)


@given(files(), st.data())
def test_taking_one_out_leaves_the_others_in_order(file: tuple[str, list[str], str], data: st.DataObject) -> None:
    text, listed, _ = file
    name = data.draw(st.sampled_from(listed))
    left = without_entry(text, "sources", name)
    assert yaml.safe_load(left) == {"seed": 0, "sources": [other for other in listed if other != name]}
    assert (left.startswith("# head"), left.rstrip().endswith("# tail")) == (True, True)


@pytest.mark.parametrize("name", ["2013", "1e3", "0x1f", "null", "yes", "true", "12_3"])
def test_a_name_stays_a_text_for_whoever_reads_it(name: str) -> None:
    for text in (FLOW, BLOCK):
        added = with_entry(with_entry(text, "sources", name), "ingest.readers", name, "tree")
        assert yaml.safe_load(added)["sources"][-1] == name
        assert yaml.safe_load(added)["ingest"]["readers"][name] == "tree"
        assert without_entry(without_entry(added, "sources", name), "ingest.readers", name) == text


def test_a_key_that_is_no_list_is_told() -> None:
    with pytest.raises(InputError, match="sources is no list"):
        with_entry("sources: a\n", "sources", "b")
