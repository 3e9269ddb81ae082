"""Laws of dvc.yaml: each stage lists its code and its parameters, and only some stages read the hidden labels."""

import ast
import re
import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo
from dvc.utils.hydra import apply_overrides

from fer.params import Params, load_params

ROOT = Path(__file__).parent.parent
NOT_LISTED = ("fer/runtime/", "fer/params/", "fer/__init__.py", "pipeline/__init__.py")  # do not change results
MAX_LINES, MAX_CODE_DEPS = 300, 9


@cache
def stages() -> dict[str, dict[str, object]]:
    """Return every stage without its `foreach` or matrix, expanded with the first value."""
    params = load_params(ROOT / "params.yaml")
    first_values = {
        "${item.network}": next(iter(params.ensemble)),
        "${item.replica}": str(params.replicas[0]),
        "${item.round}": "1",
        "${item}": params.sources[0],
        "${key}": "1",
    }
    expanded = {}
    for name, stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items():
        text = yaml.safe_dump(stage.get("do", stage))
        for template, value in first_values.items():
            text = text.replace(template, value)
        expanded[name] = yaml.safe_load(text)
    return expanded


def deps(stage: str) -> list[str]:
    return list(stages()[stage]["deps"])


def code_deps(stage: str) -> list[str]:
    return [dep for dep in deps(stage) if dep.startswith(("fer/", "pipeline/"))]


def has_only_a_docstring(path: Path) -> bool:
    return path.name == "__init__.py" and len(ast.parse(path.read_text()).body) <= 1


def imported_files(path: str) -> set[str]:
    """Return the project files that a file imports, also inside functions."""
    files = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            module = ROOT / Path(*name.split("."))
            for file in (module.with_suffix(".py"), module / "__init__.py"):
                if file.is_file() and not has_only_a_docstring(file):
                    files.add(file.relative_to(ROOT).as_posix())
    return {file for file in files if not file.startswith(NOT_LISTED)}


def missing_deps(listed_code: Sequence[str]) -> set[str]:
    """Return the files that the listed code imports and that are not listed."""
    code = {item for item in listed_code if item.endswith(".py")}
    for folder in (ROOT / item for item in listed_code if (ROOT / item).is_dir()):
        code |= {file.relative_to(ROOT).as_posix() for file in folder.rglob("*.py")}
    return {dep for file in code for dep in imported_files(file) if dep not in code}


def invalidated_stages(path: str) -> set[str]:
    """Return all stages that may run again after a change of one file, directly or through changed outputs."""
    changed_paths, invalidated = {path}, set[str]()
    while True:
        dependents = {
            name
            for name in stages()
            for dep in deps(name)
            for item in changed_paths
            if item == dep or item.startswith(f"{dep}/") or dep.startswith(f"{item}/")
        }
        if dependents <= invalidated:
            return invalidated
        invalidated |= dependents
        changed_paths |= {out for name in dependents for out in outputs(name)}


def outputs(stage: str) -> list[str]:
    items = [*stages()[stage].get("outs", []), *stages()[stage].get("metrics", [])]
    return [next(iter(item)) if isinstance(item, dict) else item for item in items]


@pytest.mark.parametrize("stage", stages())
def test_a_stage_lists_all_code_that_it_imports(stage: str) -> None:
    assert f"pipeline/{stage}.py" in deps(stage)
    missing = missing_deps(code_deps(stage))
    assert not missing, f"add to the deps of {stage} in dvc.yaml: {', '.join(sorted(missing))}"


@pytest.mark.parametrize("folder", ["fer/core", "fer/nn", "fer/training"])
def test_a_missing_dependency_is_detected(folder: str) -> None:
    listed_code = [dep for dep in code_deps("train") if dep != folder]
    missing = missing_deps(listed_code)
    assert missing
    assert all(file.startswith(f"{folder}/") for file in missing)


@pytest.mark.parametrize("stage", stages())
def test_a_stage_lists_at_most_nine_code_dependencies_mostly_folders(stage: str) -> None:
    assert len(code_deps(stage)) <= MAX_CODE_DEPS
    files = {dep for dep in code_deps(stage) if dep.endswith(".py")}
    assert all(file.startswith(("pipeline/", "fer/models/")) for file in files)


def test_dvc_yaml_is_short() -> None:
    assert len((ROOT / "dvc.yaml").read_text().splitlines()) <= MAX_LINES


TRAINING = {"train", "retrain"}


@pytest.mark.parametrize(
    ("path", "unaffected"),
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
def test_a_change_invalidates_only_dependent_stages(path: str, unaffected: set[str]) -> None:
    assert not invalidated_stages(path) & unaffected


def test_a_change_of_the_training_loop_invalidates_training() -> None:
    assert invalidated_stages("fer/training/loop.py") > TRAINING


@pytest.mark.parametrize("stage", stages())
def test_a_stage_lists_exactly_the_parameters_that_its_script_reads(stage: str) -> None:
    source = (ROOT / "pipeline" / f"{stage}.py").read_text()
    section_names = "|".join(Params.model_fields)
    sections_read = set(re.findall(rf"\b(?:params|load_params\(\))\.({section_names})\b", source))
    if "params.members" in source:
        sections_read |= {"ensemble", "replicas"}
    assert sections_read == {name.split(".")[0] for name in stages()[stage].get("params", [])}


@pytest.mark.parametrize("stage", ["train", "retrain"])
def test_a_network_depends_only_on_its_own_row_of_parameters(stage: str) -> None:
    network = next(iter(load_params(ROOT / "params.yaml").ensemble))
    keys = [name for name in stages()[stage]["params"] if name.startswith("networks")]
    assert keys == [f"networks.{network}"]
    assert "replicas" not in stages()[stage]["params"], "another replica would train the first one again"


@pytest.mark.parametrize("name", ["standard", "strong"])
def test_dvc_follows_only_the_set_of_transforms_that_is_chosen(tmp_path: Path, name: str) -> None:
    for file in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / file, tmp_path)
    apply_overrides(tmp_path / "params.yaml", [f"transforms={name}"])  # as `dvc exp run -S` does
    with Repo.init(str(tmp_path), no_scm=True) as repo:
        listed = {
            stage.name: {key for dep in stage.deps for key in getattr(dep, "params", ()) if key.startswith("transform")}
            for stage in repo.index.stages
        }
    expected = {"transforms", f"transform_sets.{name}"}
    stages_with_transforms = {stage.partition("@")[0] for stage, keys in listed.items() if keys == expected}
    assert stages_with_transforms == {"augment", "inspect", "train", "retrain"}
    assert all(keys in (set(), expected) for keys in listed.values())


def test_every_parameter_is_used_by_a_stage() -> None:
    sections_listed = {name.split(".")[0] for stage in stages().values() for name in stage.get("params", [])}
    assert sections_listed == set(Params.model_fields)


def test_only_unify_and_evaluate_access_the_hidden_labels() -> None:
    users = {name for name, stage in stages().items() if "data/unified/truth.csv" in str(stage)}
    assert users == {"unify", "evaluate"}
    readers = {file.name for file in (ROOT / "pipeline").glob("*.py") if "read_truth" in file.read_text()}
    assert readers == {"evaluate.py"}


def test_every_stage_script_is_in_dvc_yaml() -> None:
    scripts = {file.stem for file in (ROOT / "pipeline").glob("*.py")} - {"__init__"}
    assert scripts == set(stages())


def test_devices_and_process_counts_are_in_no_command() -> None:
    assert not re.search(r"cuda|device|nproc|workers", (ROOT / "dvc.yaml").read_text(), re.IGNORECASE)


@pytest.mark.parametrize("name", sorted(stages()))
def test_names_from_params_are_checked_before_a_command_contains_them(name: str) -> None:
    stage = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"][name]
    command = stage.get("do", stage)["cmd"]
    if "${" in str(command):
        assert command[0] == "python -m fer.params"
        assert "${" not in command[0]


@pytest.mark.parametrize("script", sorted((ROOT / "pipeline").glob("*.py")), ids=lambda path: path.stem)
def test_a_stage_has_a_docstring_and_imports_no_other_stage(script: Path) -> None:
    module = ast.parse(script.read_text())
    assert ast.get_docstring(module), "describe the stage as inputs -> outputs"
    imports = {name for name in imported_files(script.relative_to(ROOT).as_posix()) if name.startswith("pipeline/")}
    assert not imports, "stages never import each other"
