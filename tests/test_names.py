"""Names: one definition for each public name, and no home-made words."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted([*(ROOT / "fer").rglob("*.py"), *(ROOT / "pipeline").glob("*.py")])
INTERFACES = {  # every file of such a folder defines them
    "fer/data/readers": {"LAYOUT", "LICENSE_TERMS", "PIXELS", "matches", "read"},
    "fer/models": {"build"},
    "fer/pseudo_labels/policies": {"Options"},
    "fer/cli": {"add_to"},
    "pipeline": {"main"},
}
HOME_MADE_WORDS = """
about after aligned asked averaged aside before beyond both chosen drawn each everyone everything found gathered given
goals heed here judge judged kept kin known learnt least left lesson lessons looked looking made many more most named of
one other others placed rest said seen shown some such sure taken taught there these those together told wanted what
where
"""
HOME_MADE = frozenset(HOME_MADE_WORDS.split())


def public_definitions(path: Path) -> set[str]:
    """Return the public names that a module defines at its top level."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}
    return {name for name in names if not name.startswith("_")}


def package_of(path: Path) -> str:
    return "/".join(path.relative_to(ROOT).parts[:2]) if path.is_relative_to(ROOT / "fer") else "pipeline"


def test_no_public_name_is_defined_in_two_packages() -> None:
    packages = defaultdict(set)
    for path in SOURCES:
        folder = path.parent.relative_to(ROOT).as_posix()
        for name in public_definitions(path) - INTERFACES.get(folder, set()):
            packages[name].add(package_of(path))
    assert {name: sorted(places) for name, places in packages.items() if len(places) > 1} == {}


def defined_names(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and name of every definition: functions, classes, parameters and variables."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.arg(arg=name):
                yield node.lineno, name
            case ast.Name(id=name, ctx=ast.Store()):
                yield node.lineno, name
            case ast.MatchAs(name=str(name)):
                yield node.lineno, name


def home_made_names(source: str) -> list[str]:
    return [f"line {line}: {name}" for line, name in defined_names(source) if name.strip("_").lower() in HOME_MADE]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_identifier_is_a_home_made_word(path: Path) -> None:
    assert home_made_names(path.read_text()) == []


def test_a_home_made_word_is_noticed() -> None:
    source = (
        "def told(where):\n    for each in where:\n        said = 1\n    match said:\n        case Judge() as judge: 1"
    )
    assert {name.split(": ")[1] for name in home_made_names(source)} == {"told", "where", "said", "each", "judge"}
