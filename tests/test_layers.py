"""The floors: imports go only downwards, and the lower floors do without torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = (
    (
        "editing",
        "errors",
        "experiments",
        "labels",
        "params",
        "percentages",
        "policies",
        "processes",
        "recipes",
        "rounds",
        "schema",
        "search",
        "spreadsheets",
        "stages",
        "statuses",
        "stored",
        "tables",
    ),
    ("duplicates", "similarity", "splits", "unification"),
    (
        "arms",
        "auditing",
        "calibration",
        "ensembles",
        "estimates",
        "gains",
        "history",
        "metrics",
        "pseudolabels",
        "evaluation",
        "standings",
    ),
    ("corrections", "doubts", "exhibits", "reviews"),
    ("drawing", "expressions", "people", "portraits", "sample"),
    ("faces", "datasets", "detection", "video", "extraction", "landmarks", "looking", "inputs", "rows"),
    (
        "models",
        "augmentation",
        "checkpoints",
        "consistency",
        "distributed",
        "examples",
        "explaining",
        "exporting",
        "inference",
        "model_card",
        "optimization",
        "packaging",
        "predictor",
        "prediction",
    ),
    ("training", "benchmark", "comparison"),
    (
        "plots",
        "audit_plot",
        "explained_plot",
        "demo",
        "exhibition",
        "report",
        "report_figures",
        "review_sheet",
        "source_sheets",
        "benchmark_plot",
        "comparison_plot",
        "search_plot",
        "annotation",
    ),
    ("cli",),
)
LEVEL = {name: level for level, names in enumerate(FLOORS) for name in names}
ALSO = [
    "datasets.ingesting",
    "plots",
    "audit_plot",
    "explained_plot",
    "report",
    "review_sheet",
    "source_sheets",
    "comparison_plot",
    "search_plot",
    "cli",
]
WITHOUT_TORCH = [name for names in FLOORS[:6] for name in names] + ALSO


def part(path: Path) -> str:
    return path.relative_to(ROOT / "fer").with_suffix("").parts[0]


LIBRARY = sorted(path for path in (ROOT / "fer").rglob("*.py") if path != ROOT / "fer" / "__init__.py")


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_go_only_downwards(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in ("fer", "pipeline"):
            names = [node.module] if node.module != "fer" else [f"fer.{alias.name}" for alias in node.names]
            for name in names:
                assert name.split(".")[0] == "fer", "the library does not import stages"
                assert LEVEL[name.split(".")[1]] <= LEVEL[part(path)], f"{name} is on a higher floor"


def loads_torch(module: str) -> bool:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    return bool(subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode)


def test_the_lower_floors_do_not_load_torch() -> None:
    together = ", ".join(f"fer.{name}" for name in WITHOUT_TORCH)
    assert not loads_torch(together)


def test_loading_torch_would_be_noticed() -> None:
    assert loads_torch("fer.models")


def test_argparse_is_only_for_stages_and_commands() -> None:
    users = {part(path) for path in LIBRARY if "import argparse" in path.read_text()}
    assert users == {"cli"}
