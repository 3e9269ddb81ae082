"""What the pages say can be done: every command parses, and every parameter, file and heading that is named is there.

The pages' examples are run in the tests of what they show (`tests/cli`, `test_models.py`); here nothing is.
"""

import argparse
import importlib
import io
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from difflib import get_close_matches
from fnmatch import fnmatch
from functools import cache
from itertools import takewhile
from pathlib import Path
from textwrap import dedent
from unittest.mock import patch

import pytest
import yaml
from dvc.cli import parse_args as dvc_arguments
from dvc.utils.collections import merge_dicts
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps

from fer import cli
from fer.data.ingest.detect import EXPLICIT_READERS, READERS, get_reader_name
from fer.experiments import search
from fer.experiments.arms import METHODS
from fer.nn.names import NETWORKS
from fer.params import Params, load_params
from fer.pseudo_labels.params import POLICIES

ROOT = Path(__file__).parents[1]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks/README.md", *ROOT.glob("docs/*.md"))
}
ELSEWHERE = ("srun", "scontrol")  # programs that only a cluster has
BUILTINS = ("export", "set")
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SEPARATORS = ";&|()\n"


def blocks(page: str) -> Iterator[str]:
    """The shell's part of each block of code: of one with prompts what follows these, of output nothing."""
    indented = re.findall(r"(?:^ {4}.*\n)+", FENCED.sub("", page), re.MULTILINE)
    for block in map(dedent, indented):
        prompted = re.findall(r"^\$ ((?:\\\n|[^\n\"]|\"[^\"]*\")*)", block, re.MULTILINE)
        text = uncommented("\n".join(prompted) if prompted else block).strip()
        first = re.sub(r"^(\w+=\S+ )+", "", text).split()[0]
        if is_program(first):
            yield text
        elif meant := get_close_matches(first, CHECKS):
            raise AssertionError(f"{first}: is {meant[0]} meant?")


def uncommented(text: str) -> str:
    return re.sub(r"(^|\s)#.*", r"\1", text, flags=re.MULTILINE)


def simple_commands(text: str) -> list[list[str]]:
    """The words of each command, without variables that are set before it."""
    lexer = shlex.shlex(text.replace("\\\n", " "), posix=True, punctuation_chars=SEPARATORS)
    lexer.whitespace, lexer.commenters, lexer.whitespace_split = " \t", "", True
    commands: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set(SEPARATORS):
            commands.append([])
        elif commands[-1] or not re.match(r"\w+=", word):
            commands[-1].append(word)
    return [command for command in commands if command]


def is_program(word: str) -> bool:
    return word in (*CHECKS, *BUILTINS, *ELSEWHERE) or shutil.which(word) is not None or word.startswith(".venv/bin/")


def spans(page: str) -> Iterator[list[str]]:
    """Commands of two words or more that stand in a line of text."""
    for span in re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", FENCED.sub("", page)):
        words = re.split(r"\s+", span)
        if words[0] in CHECKS and words[1:] and "…" not in span:
            yield shlex.split(" ".join(words))


class Parsed(Exception):  # noqa: N818
    pass


def arguments(program: Callable[[], object], words: Sequence[str]) -> argparse.Namespace:
    """What `program` makes of its command line, which is all that it does."""
    found, told = argparse.Namespace(), io.StringIO()
    parse = argparse.ArgumentParser.parse_args

    def stop(parser: argparse.ArgumentParser) -> None:
        parse(parser, namespace=found)
        raise Parsed

    with patch.object(argparse.ArgumentParser, "parse_args", stop), patch.object(sys, "argv", list(words)):
        try:
            with redirect_stderr(told):
                program()
        except Parsed:
            return found
        except SystemExit as end:
            if end.code:
                raise AssertionError(told.getvalue()) from end
    return found


def check_fer(words: Sequence[str], tmp_path: Path) -> None:
    given = vars(arguments(cli.main, words))
    assert set(given.get("networks", ())) <= set(NETWORKS)
    assert set(given.get("arms", ())) <= set(METHODS)
    if keys := given.get("keys"):
        asked = search.parse_search_space(keys)
        points = search.draw_points(asked, given["random"], 0) if given["random"] else search.grid_points(asked)
        search.params_at_points(yaml.safe_load((ROOT / "params.yaml").read_text()), points, given["rounds"])


def check_dvc(words: Sequence[str], tmp_path: Path) -> None:
    given = vars(dvc_arguments(list(words[1:])))
    for target in given.get("targets") or ():
        assert target.partition("@")[0] in stages() or is_there(target), f"no stage or file {target}"
    for changes in get_hydra_sweeps({"params.yaml": given.get("set_param") or []}):
        shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml")
        apply_overrides(tmp_path / "params.yaml", changes["params.yaml"])
        load_params(tmp_path / "params.yaml")


def check_make(words: Sequence[str], tmp_path: Path) -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {word for word in words[1:] if word.isalpha()} <= set(targets)


def check_python(words: Sequence[str], tmp_path: Path) -> None:
    if "-c" in words:
        compile(words[words.index("-c") + 1], "a page", "exec")
    else:
        name, *rest = words[words.index("-m") + 1 :]
        module = importlib.import_module(name)
        if hasattr(module, "__path__"):  # a package
            module = importlib.import_module(f"{name}.__main__")
        arguments(module.main, [name, *rest])


def check_pip(words: Sequence[str], tmp_path: Path) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(re.findall(r"^\.\[(\w+)\]$", "\n".join(words), re.MULTILINE)) <= set(extras)


CHECKS = {
    "fer": check_fer,
    "dvc": check_dvc,
    "make": check_make,
    "python": check_python,
    "torchrun": check_python,
    "pip": check_pip,
}


@cache
def stages() -> dict[str, object]:
    return yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def is_there(path: str) -> bool:
    """In the repository, or made by a run or a command: then git ignores its folder by name, and code has its name."""
    if any(ROOT.glob(path.rstrip("/"))):
        return True
    ignored = [line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines() if line.startswith("/data/")]
    place = Path(path)
    inside = [above for above in (place, *place.parents) if any(fnmatch(above.as_posix(), line) for line in ignored)]
    written = re.fullmatch(r"[a-z_]+\.\w+", place.name) and inside[-1:] != [place] and "raw" not in place.parts
    if any(line.startswith(f"{place}/") for line in ignored):
        return True
    return bool(inside) and (not written or place.name in sources() or place.stem in NETWORKS)


@cache
def sources() -> str:
    return "".join(file.read_text() for folder in ("fer", "pipeline") for file in (ROOT / folder).rglob("*.py"))


COMMANDS = [(page, words) for page, text in PAGES.items() for block in blocks(text) for words in simple_commands(block)]


@pytest.mark.parametrize(("page", "words"), COMMANDS, ids=lambda value: "".join(value)[:40])
def test_every_command_of_a_block_is_known(page: str, words: list[str], tmp_path: Path) -> None:
    assert is_program(words[0]), f"{page}: {words[0]} is no program"
    if words[0] in CHECKS:
        CHECKS[words[0]](words, tmp_path)
    elif "torchrun" in words:
        check_python(words, tmp_path)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_in_a_line_is_known(page: str, tmp_path: Path) -> None:
    for words in spans(PAGES[page]):
        if words[0] in ("fer", "dvc"):
            assert {word for word in words if word.startswith("-")} <= options_of(words), " ".join(words)
        else:
            CHECKS[words[0]](words, tmp_path)


def options_of(words: Sequence[str]) -> set[str]:
    """Those of a command that is named, not shown, so that its arguments may be missing."""
    names, told = list(takewhile(re.compile("[a-z]+$").match, words)), io.StringIO()
    with redirect_stdout(told), patch.object(sys, "argv", [*names, "--help"]), pytest.raises(SystemExit) as end:
        {"fer": cli.main, "dvc": dvc_arguments}[words[0]]()
    assert end.value.code in (None, 0), " ".join(words)
    return set(re.findall(r"(?<!\w)--?\w[\w-]*", told.getvalue()))


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_what_it_says(page: str) -> None:
    for block in blocks(PAGES[page]):
        done = subprocess.run(["sh", "-n"], input=block, capture_output=True, text=True, check=False)
        assert not done.returncode, f"{block}\n{done.stderr}"
    for language, text in FENCED.findall(PAGES[page]):
        if language == "yaml":
            shown = merge_dicts(yaml.safe_load((ROOT / "params.yaml").read_text()), yaml.safe_load(text))
            Params.model_validate(shown)
        else:
            assert language in ("python", ""), f"{page}: a block of {language}"
            assert not language or compile(text, page, "exec")


def slugs(page: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)", FENCED.sub("", page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    for target in re.findall(r"(?:\]\(|src=\")([^)\s\"]+)", PAGES[page]):
        if not target.startswith("https://"):
            path, _, heading = target.partition("#")
            place = (ROOT / page).parent / path if path else ROOT / page
            assert place.exists(), f"{page}: {target}"
            assert not heading or heading in slugs(place.read_text(encoding="utf-8")), f"{page}: {target}"


@pytest.mark.parametrize("page", PAGES)
def test_every_file_of_the_project_that_is_named_is_there_or_is_made(page: str) -> None:
    named = re.findall(r"(?<![\w~/.@-])((?:data|metrics|docs|fer|pipeline|tests|benchmarks)/[\w./*-]+)", PAGES[page])
    missing = sorted({path for path in named if not is_there(path.rstrip("."))})
    assert not missing, f"{page} names {', '.join(missing)}"


def pictures(page: str) -> list[tuple[str, str]]:
    """Words and path of each."""
    html = re.findall(r"<img ([^>]*)>", PAGES[page])
    return [
        *re.findall(r"!\[(.*?)\]\((.*?)\)", PAGES[page]),
        *(("".join(re.findall('alt="(.*?)"', each)), "".join(re.findall('src="(.*?)"', each))) for each in html),
    ]


@pytest.mark.parametrize("page", PAGES)
def test_every_picture_is_told_in_words(page: str) -> None:
    assert all(len(words) > 15 for words, _ in pictures(page))


def test_the_pictures_of_the_readme_load_at_once() -> None:
    shown = pictures("README.md")
    assert len(shown) >= 4
    assert sum((ROOT / path).stat().st_size for _, path in shown) < 1_000_000


def rows(page: str, heading: str) -> list[str]:
    """The first words in backticks of the rows of the table below a heading."""
    table = PAGES[page].split(heading, 1)[1]
    return re.findall(r"^\| `(\w+)` \|", table.partition("\n## ")[0], re.MULTILINE)


def test_the_table_of_layouts_has_every_reader_in_the_order_of_trying() -> None:
    assert rows("docs/own_data.md", "## Which form") == [
        get_reader_name(reader) for reader in (*READERS, *EXPLICIT_READERS)
    ]


def test_the_table_of_policies_has_every_policy() -> None:
    assert sorted(rows("docs/thresholds.md", "## Policies")) == sorted(POLICIES)


def test_the_table_of_networks_has_every_network_and_its_parameters() -> None:
    assert sorted(rows("docs/networks.md", "## Which one")) == sorted(NETWORKS)
    for name, count in re.findall(r"^\| `(\w+)` \| ([\d,]+) \|", PAGES["docs/networks.md"], re.MULTILINE):
        assert f"{count}" in (ROOT / f"fer/models/{name}.py").read_text(), f"{name} has not {count} parameters"


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ("fer predict a.jpg --anotate copies", "unrecognized arguments"),
        ("fer predikt a.jpg", "invalid choice"),
        ("fer compare improved_see", "improved_see"),
        ("fer search train.dropuot=0.1,0.2", "did you mean dropout"),
        ("fer search --random 30 train.dropout=0.1..5", "it should be less than 1"),
        ("dvc exp rum", "parser error"),
        ("dvc repro packag", "no stage or file"),
        ("dvc exp run -S pseudo_label.policy=fixxed", "policy is 'fixxed'"),
        ("dvc exp run -S pseudo_label.polices.fixed.threshold=0.7", "set-param"),
        ("dvc exp run -S train.dropout=0.1,2", "train.dropout is 2"),
        ("make rerpo", "rerpo"),
        ("python -m pipeline.trian improved_se", "No module"),
        ("python -m benchmarks.training --step 3 --nothing", "unrecognized arguments"),
        ("pip install '.[trasnfer]'", "trasnfer"),
    ],
)
def test_a_command_that_is_wrong_is_noticed(wrong: str, problem: str, tmp_path: Path) -> None:
    (words,) = simple_commands(wrong)
    with pytest.raises(Exception, match=problem):
        CHECKS[words[0]](words, tmp_path)


@pytest.mark.parametrize("path", ["data/explained/nothing.png", "data/explaned/ways.png", "metrics/sumary.json"])
def test_a_file_that_no_code_makes_is_noticed(path: str) -> None:
    assert not is_there(path)
    assert is_there("data/explained/ways.png")
