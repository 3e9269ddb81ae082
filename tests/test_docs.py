"""The documentation is correct: every command parses, and every parameter, file and heading that a page names exists.

No command runs here. The tests of the features run the examples (`tests/cli`, `test_models.py`).
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
CLUSTER_PROGRAMS = ("srun", "scontrol")  # found only on a cluster
BUILTINS = ("export", "set")
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SEPARATORS = ";&|()\n"


def command_blocks(page: str) -> Iterator[str]:
    """Yield the shell commands of each code block: the lines after prompts, if there are prompts, and no output."""
    indented = re.findall(r"(?:^ {4}.*\n)+", FENCED.sub("", page), re.MULTILINE)
    for block in map(dedent, indented):
        prompt_lines = re.findall(r"^\$ ((?:\\\n|[^\n\"]|\"[^\"]*\")*)", block, re.MULTILINE)
        text = strip_comments("\n".join(prompt_lines) if prompt_lines else block).strip()
        first = re.sub(r"^(\w+=\S+ )+", "", text).split()[0]
        if is_program(first):
            yield text
        elif matches := get_close_matches(first, CHECKS):
            raise AssertionError(f"{first} is no program; did you mean {matches[0]}?")


def strip_comments(text: str) -> str:
    return re.sub(r"(^|\s)#.*", r"\1", text, flags=re.MULTILINE)


def simple_commands(text: str) -> list[list[str]]:
    """Return the words of each command, without variables that are set before it."""
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
    return (
        word in (*CHECKS, *BUILTINS, *CLUSTER_PROGRAMS)
        or shutil.which(word) is not None
        or word.startswith(".venv/bin/")
    )


def inline_commands(page: str) -> Iterator[list[str]]:
    """Yield the commands of two or more words in lines of text."""
    for span in re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", FENCED.sub("", page)):
        words = re.split(r"\s+", span)
        if words[0] in CHECKS and words[1:] and "…" not in span:
            yield shlex.split(" ".join(words))


class Parsed(Exception):  # noqa: N818
    pass


def parse_arguments(program: Callable[[], object], words: Sequence[str]) -> argparse.Namespace:
    """Return the parsed command line of `program`, which is stopped after parsing it."""
    namespace, output = argparse.Namespace(), io.StringIO()
    parse = argparse.ArgumentParser.parse_args

    def stop(parser: argparse.ArgumentParser) -> None:
        parse(parser, namespace=namespace)
        raise Parsed

    with patch.object(argparse.ArgumentParser, "parse_args", stop), patch.object(sys, "argv", list(words)):
        try:
            with redirect_stderr(output):
                program()
        except Parsed:
            return namespace
        except SystemExit as end:
            if end.code:
                raise AssertionError(output.getvalue()) from end
    return namespace


def check_fer(words: Sequence[str], tmp_path: Path) -> None:
    options = vars(parse_arguments(cli.main, words))
    assert set(options.get("networks", ())) <= set(NETWORKS)
    assert set(options.get("arms", ())) <= set(METHODS)
    if keys := options.get("keys"):
        space = search.parse_search_space(keys)
        points = search.draw_points(space, options["random"], 0) if options["random"] else search.grid_points(space)
        search.params_at_points(yaml.safe_load((ROOT / "params.yaml").read_text()), points, options["rounds"])


def check_dvc(words: Sequence[str], tmp_path: Path) -> None:
    options = vars(dvc_arguments(list(words[1:])))
    for target in options.get("targets") or ():
        assert target.partition("@")[0] in read_stages() or exists_or_is_made(target), f"no stage or file {target}"
    for changes in get_hydra_sweeps({"params.yaml": options.get("set_param") or []}):
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
        name, *module_arguments = words[words.index("-m") + 1 :]
        module = importlib.import_module(name)
        if hasattr(module, "__path__"):  # a package
            module = importlib.import_module(f"{name}.__main__")
        parse_arguments(module.main, [name, *module_arguments])


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
def read_stages() -> dict[str, object]:
    return yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def exists_or_is_made(path: str) -> bool:
    """Return whether a path is in the repository, or git ignores its folder and the code names the file."""
    if any(ROOT.glob(path.rstrip("/"))):
        return True
    patterns = [line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines() if line.startswith("/data/")]
    file = Path(path)
    ignored = [parent for parent in (file, *file.parents) if any(fnmatch(parent.as_posix(), line) for line in patterns)]
    needs_code = re.fullmatch(r"[a-z_]+\.\w+", file.name) and ignored[-1:] != [file] and "raw" not in file.parts
    if any(line.startswith(f"{file}/") for line in patterns):
        return True
    return bool(ignored) and (not needs_code or file.name in source_text() or file.stem in NETWORKS)


@cache
def source_text() -> str:
    return "".join(file.read_text() for folder in ("fer", "pipeline") for file in (ROOT / folder).rglob("*.py"))


COMMANDS = [
    (page, words) for page, text in PAGES.items() for block in command_blocks(text) for words in simple_commands(block)
]


@pytest.mark.parametrize(("page", "words"), COMMANDS, ids=lambda value: "".join(value)[:40])
def test_every_command_of_a_code_block_parses(page: str, words: list[str], tmp_path: Path) -> None:
    assert is_program(words[0]), f"{page}: {words[0]} is no program"
    if words[0] in CHECKS:
        CHECKS[words[0]](words, tmp_path)
    elif "torchrun" in words:
        check_python(words, tmp_path)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_in_a_line_of_text_parses(page: str, tmp_path: Path) -> None:
    for words in inline_commands(PAGES[page]):
        if words[0] in ("fer", "dvc"):
            assert {word for word in words if word.startswith("-")} <= list_options(words), " ".join(words)
        else:
            CHECKS[words[0]](words, tmp_path)


def list_options(words: Sequence[str]) -> set[str]:
    """Return the options of a command that a text names without all its arguments."""
    names, output = list(takewhile(re.compile("[a-z]+$").match, words)), io.StringIO()
    with redirect_stdout(output), patch.object(sys, "argv", [*names, "--help"]), pytest.raises(SystemExit) as end:
        {"fer": cli.main, "dvc": dvc_arguments}[words[0]]()
    assert end.value.code in (None, 0), " ".join(words)
    return set(re.findall(r"(?<!\w)--?\w[\w-]*", output.getvalue()))


@pytest.mark.parametrize("page", PAGES)
def test_every_code_block_has_valid_syntax(page: str) -> None:
    for block in command_blocks(PAGES[page]):
        process = subprocess.run(["sh", "-n"], input=block, capture_output=True, text=True, check=False)
        assert not process.returncode, f"{block}\n{process.stderr}"
    for language, text in FENCED.findall(PAGES[page]):
        if language == "yaml":
            images = merge_dicts(yaml.safe_load((ROOT / "params.yaml").read_text()), yaml.safe_load(text))
            Params.model_validate(images)
        else:
            assert language in ("python", ""), f"{page}: a block of {language}"
            assert not language or compile(text, page, "exec")


def heading_anchors(page: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)", FENCED.sub("", page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_has_a_target(page: str) -> None:
    for target in re.findall(r"(?:\]\(|src=\")([^)\s\"]+)", PAGES[page]):
        if not target.startswith("https://"):
            path, _, heading = target.partition("#")
            resolved = (ROOT / page).parent / path if path else ROOT / page
            assert resolved.exists(), f"{page}: {target}"
            assert not heading or heading in heading_anchors(resolved.read_text(encoding="utf-8")), f"{page}: {target}"


@pytest.mark.parametrize("page", PAGES)
def test_every_file_of_the_project_exists_or_is_made(page: str) -> None:
    paths = re.findall(r"(?<![\w~/.@-])((?:data|metrics|docs|fer|pipeline|tests|benchmarks)/[\w./*-]+)", PAGES[page])
    missing = sorted({path for path in paths if not exists_or_is_made(path.rstrip("."))})
    assert not missing, f"{page} names {', '.join(missing)}"


def find_images(page: str) -> list[tuple[str, str]]:
    """Return the alternative text and the path of each image."""
    html = re.findall(r"<img ([^>]*)>", PAGES[page])
    return [
        *re.findall(r"!\[(.*?)\]\((.*?)\)", PAGES[page]),
        *(("".join(re.findall('alt="(.*?)"', tag)), "".join(re.findall('src="(.*?)"', tag))) for tag in html),
    ]


@pytest.mark.parametrize("page", PAGES)
def test_every_image_has_an_alternative_text(page: str) -> None:
    assert all(len(words) > 15 for words, _ in find_images(page))


def test_the_images_of_the_readme_are_small() -> None:
    images = find_images("README.md")
    assert len(images) >= 4
    assert sum((ROOT / path).stat().st_size for _, path in images) < 1_000_000


def table_keys(page: str, heading: str) -> list[str]:
    """Return the name in backticks that starts each row of the table below a heading."""
    table = PAGES[page].split(heading, 1)[1]
    return re.findall(r"^\| `(\w+)` \|", table.partition("\n## ")[0], re.MULTILINE)


def test_the_table_of_layouts_has_every_reader() -> None:
    names = map(get_reader_name, (*READERS, *EXPLICIT_READERS))
    assert sorted(table_keys("docs/own_data.md", "## Which form")) == sorted(names)


def test_the_table_of_policies_has_every_policy() -> None:
    assert sorted(table_keys("docs/thresholds.md", "## Policies")) == sorted(POLICIES)


def test_the_table_of_networks_has_every_network_and_its_parameters() -> None:
    assert sorted(table_keys("docs/networks.md", "## Which one")) == sorted(NETWORKS)
    for name, count in re.findall(r"^\| `(\w+)` \| ([\d,]+) \|", PAGES["docs/networks.md"], re.MULTILINE):
        assert f"{count}" in (ROOT / f"fer/models/{name}.py").read_text(), f"{name} has not {count} parameters"


@pytest.mark.parametrize(
    ("command", "problem"),
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
def test_a_wrong_command_is_noticed(command: str, problem: str, tmp_path: Path) -> None:
    (words,) = simple_commands(command)
    with pytest.raises(Exception, match=problem):
        CHECKS[words[0]](words, tmp_path)


@pytest.mark.parametrize("path", ["data/explained/nothing.png", "data/explaned/ways.png", "metrics/sumary.json"])
def test_a_file_that_no_code_writes_is_noticed(path: str) -> None:
    assert not exists_or_is_made(path)
    assert exists_or_is_made("data/explained/ways.png")
