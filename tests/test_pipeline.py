"""The laws of dvc.yaml: every stage lists the code and the numbers that it uses, and nothing reads what it must not."""

import ast
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest
import yaml

from fer.params import Params, load_params

ROOT = Path(__file__).parent.parent
NOT_LISTED = ("fer/runtime/", "fer/params/", "fer/__init__.py", "pipeline/__init__.py")  # they change no result
MAX_LINES, MAX_CODE_DEPS = 300, 9


@cache
def stages() -> dict[str, dict[str, object]]:
    """Every stage with its `do`, its matrix and foreach expanded once, with the first of their values."""
    chosen = load_params(ROOT / "params.yaml")
    first = {
        "${item.network}": next(iter(chosen.ensemble)),
        "${item.round}": "1",
        "${item}": chosen.sources[0],
        "${key}": "1",
    }
    expanded = {}
    for name, stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items():
        text = yaml.safe_dump(stage.get("do", stage))
        for template, value in first.items():
            text = text.replace(template, value)
        expanded[name] = yaml.safe_load(text)
    return expanded


def deps(stage: str) -> list[str]:
    return list(stages()[stage]["deps"])


def code_deps(stage: str) -> list[str]:
    return [dep for dep in deps(stage) if dep.startswith(("fer/", "pipeline/"))]


def holds_only_a_docstring(path: Path) -> bool:
    return path.name == "__init__.py" and len(ast.parse(path.read_text()).body) <= 1


def files_imported(path: str) -> set[str]:
    """Return the files of this project that a file imports, imports inside functions included."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            place = ROOT / Path(*name.split("."))
            for file in (place.with_suffix(".py"), place / "__init__.py"):
                if file.is_file() and not holds_only_a_docstring(file):
                    found.add(file.relative_to(ROOT).as_posix())
    return {file for file in found if not file.startswith(NOT_LISTED)}


def missing_deps(listed: Sequence[str]) -> set[str]:
    """Return the files that the listed code imports, directly or through other listed code, and that are not listed."""
    code = {item for item in listed if item.endswith(".py")}
    for folder in (ROOT / item for item in listed if (ROOT / item).is_dir()):
        code |= {file.relative_to(ROOT).as_posix() for file in folder.rglob("*.py")}
    return {needed for file in code for needed in files_imported(file) if needed not in code}


def stages_invalidated(path: str) -> set[str]:
    """Return the stages that run again after a change of one file, at most: also those that read what they write."""
    changed, found = {path}, set[str]()
    while True:
        more = {
            name
            for name in stages()
            for dep in deps(name)
            for item in changed
            if item == dep or item.startswith(f"{dep}/") or dep.startswith(f"{item}/")
        }
        if more <= found:
            return found
        found |= more
        changed |= {out for name in more for out in outputs(name)}


def outputs(stage: str) -> list[str]:
    items = [*stages()[stage].get("outs", []), *stages()[stage].get("metrics", [])]
    return [next(iter(item)) if isinstance(item, dict) else item for item in items]


@pytest.mark.parametrize("stage", stages())
def test_a_stage_lists_all_code_that_it_imports(stage: str) -> None:
    assert f"pipeline/{stage}.py" in deps(stage)
    missing = missing_deps(code_deps(stage))
    assert not missing, f"add to the deps of {stage} in dvc.yaml: {', '.join(sorted(missing))}"


@pytest.mark.parametrize("folder", ["fer/core", "fer/nn", "fer/training"])
def test_a_missing_dependency_is_noticed(folder: str) -> None:
    listed = [dep for dep in code_deps("train") if dep != folder]
    missing = missing_deps(listed)
    assert missing
    assert all(file.startswith(f"{folder}/") for file in missing)


@pytest.mark.parametrize("stage", stages())
def test_a_stage_lists_folders_and_few_of_them(stage: str) -> None:
    assert len(code_deps(stage)) <= MAX_CODE_DEPS
    files = {dep for dep in code_deps(stage) if dep.endswith(".py")}
    assert all(file.startswith(("pipeline/", "fer/models/")) for file in files)


def test_dvc_yaml_is_short() -> None:
    assert len((ROOT / "dvc.yaml").read_text().splitlines()) <= MAX_LINES


TRAINING = {"train", "retrain"}


@pytest.mark.parametrize(
    ("path", "stays"),
    [
        ("fer/reporting/plots/plots.py", {*TRAINING, "predict", "pseudo_label"}),
        ("fer/reporting/sheets/source_sheet.py", {*TRAINING, "predict", "pseudo_label"}),
        ("fer/reporting/page/report.py", set(stages()) - {"report"}),
        ("fer/pseudo_labels/selection.py", {"augment", "train"}),
        ("fer/evaluation/evaluate.py", {*TRAINING, "predict", "pseudo_label"}),
        ("fer/models/new_network.py", {*TRAINING, "predict"}),
        *((f"fer/{name}/any.py", set(stages())) for name in ("cli", "experiments", "params", "runtime")),
        ("fer/serving/demo.py", set(stages())),
    ],
)
def test_a_change_invalidates_no_stage_that_does_not_depend_on_it(path: str, stays: set[str]) -> None:
    assert not stages_invalidated(path) & stays


def test_a_change_of_the_training_loop_invalidates_training() -> None:
    assert stages_invalidated("fer/training/loop.py") > TRAINING


@pytest.mark.parametrize("stage", stages())
def test_a_stage_lists_the_parameters_that_its_script_reads_and_no_others(stage: str) -> None:
    source = (ROOT / "pipeline" / f"{stage}.py").read_text()
    sections = "|".join(Params.model_fields)
    read = set(re.findall(rf"\b(?:params|load_params\(\))\.({sections})\b", source))
    assert read == {name.split(".")[0] for name in stages()[stage].get("params", [])}


@pytest.mark.parametrize("stage", ["train", "retrain"])
def test_a_network_is_trained_again_for_its_own_row_alone(stage: str) -> None:
    network = next(iter(load_params(ROOT / "params.yaml").ensemble))
    keys = [name for name in stages()[stage]["params"] if name.startswith("networks")]
    assert keys == [f"networks.{network}"]


def test_every_parameter_is_used_by_a_stage() -> None:
    used = {name.split(".")[0] for stage in stages().values() for name in stage.get("params", [])}
    assert used == set(Params.model_fields)


def test_only_unify_and_evaluate_touch_the_hidden_truth() -> None:
    touching = {name for name, stage in stages().items() if "data/unified/truth.csv" in str(stage)}
    assert touching == {"unify", "evaluate"}
    read_in = {file.name for file in (ROOT / "pipeline").glob("*.py") if "read_truth" in file.read_text()}
    assert read_in == {"evaluate.py"}


def test_every_stage_script_is_in_dvc_yaml() -> None:
    scripts = {file.stem for file in (ROOT / "pipeline").glob("*.py")} - {"__init__"}
    assert scripts == set(stages())


def test_devices_and_process_counts_are_in_no_command() -> None:
    assert not re.search(r"cuda|device|nproc|workers", (ROOT / "dvc.yaml").read_text(), re.IGNORECASE)


@pytest.mark.parametrize("name", sorted(stages()))
def test_names_from_params_go_into_no_command_before_they_are_looked_at(name: str) -> None:
    stage = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"][name]
    command = stage.get("do", stage)["cmd"]
    if "${" in str(command):
        assert command[0] == "python -m fer.params"
        assert "${" not in command[0]


@pytest.mark.parametrize("script", sorted((ROOT / "pipeline").glob("*.py")), ids=lambda path: path.stem)
def test_a_stage_is_a_sentence(script: Path) -> None:
    module = ast.parse(script.read_text())
    assert ast.get_docstring(module), "says inputs -> outputs"
    imported = {name for name in files_imported(script.relative_to(ROOT).as_posix()) if name.startswith("pipeline/")}
    assert not imported, "stages never import each other"
