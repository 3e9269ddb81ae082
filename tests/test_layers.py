"""The levels of the packages: imports point down, and packages that need no torch do not load it."""

import ast
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LEVEL = {  # a package imports only packages of a lower level
    "runtime": 0,
    "core": 1,
    "data": 2,
    "nn": 2,
    "predictions": 2,
    "models": 3,
    "training": 3,
    "pseudo_labels": 3,
    "evaluation": 3,
    "reporting": 3,
    "params": 4,
    "serving": 4,
    "experiments": 5,
    "cli": 6,
}
INNER_LEVEL = {  # the same inside two packages
    "data": {"synthetic": 0, "media": 0, "curation": 0, "readers": 1, "ingest": 2},
    "reporting": {"plots": 0, "page": 0, "sheets": 1, "explanation": 1},
}
WITHOUT_TORCH = (
    "runtime core data predictions pseudo_labels evaluation params reporting/plots reporting/sheets reporting/page"
)
NOT_LOADED = {  # modules: libraries that would slow their start
    "fer.cli": "torch numpy pandas scipy matplotlib cv2 pydantic yaml psutil",
    "fer.params pipeline.sample pipeline.ingest": "torch pandas scipy matplotlib",
    "pipeline.package": "torch scipy matplotlib",
    "pipeline.predict fer.serving.predictor": "pandas scipy matplotlib",
}
LIBRARY = sorted((ROOT / "fer").rglob("*.py"))


def package_names(module: str) -> tuple[str, str]:
    """Return the package of `fer.package.inner.…`, and the package inside it."""
    _, outer, inner, *_ = [*module.split("."), "", ""]
    return outer, inner


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported_modules(source: str) -> set[str]:
    """Return the project modules and packages that a file imports, also inside functions."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] in ("fer", "pipeline", "tests", "benchmarks")}


def wrong_imports(module: str, source: str) -> list[str]:
    """Return the imports of `module` that point up or sideways."""
    outer, inner = package_names(module)
    imports = []
    for name in imported_modules(source) - {"fer.__version__"}:
        imported_outer, imported_inner = package_names(name)
        if name.split(".")[0] != "fer":
            points_down = False
        elif imported_outer != outer:
            points_down = LEVEL[imported_outer] < LEVEL[outer]
        elif inner and outer in INNER_LEVEL and imported_inner != inner:
            points_down = INNER_LEVEL[outer][imported_inner] < INNER_LEVEL[outer][inner]
        else:
            points_down = True
        if not points_down:
            imports.append(name)
    return sorted(imports)


def test_every_package_has_a_level() -> None:
    assert {path.name for path in (ROOT / "fer").iterdir() if (path / "__init__.py").is_file()} == set(LEVEL)


@pytest.mark.parametrize("path", LIBRARY, ids=module_of)
def test_imports_point_down(path: Path) -> None:
    if path != ROOT / "fer" / "__init__.py":  # imports the public names lazily
        assert wrong_imports(module_of(path), path.read_text()) == []


def test_an_import_that_points_up_or_sideways_is_detected() -> None:
    assert wrong_imports("fer.nn.weights", "from fer.training.loop import train") == ["fer.training.loop.train"]
    assert wrong_imports("fer.nn.weights", "from fer.predictions import metrics") == ["fer.predictions.metrics"]
    assert wrong_imports("fer.data.media.video", "import fer.data.readers.lfw") == ["fer.data.readers.lfw"]
    assert wrong_imports("fer.data.readers.lfw", "from pipeline import train") == ["pipeline.train"]
    assert wrong_imports("fer.data.readers.lfw", "from fer.data.media.folders import Folder") == []


def loaded_libraries(modules: Iterable[str], libraries: str) -> set[str]:
    """Return the `libraries` that importing the `modules` loads."""
    code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    output = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return {*libraries.split()} & {*output.split()}


def test_packages_that_need_no_torch_do_not_load_it() -> None:
    folders = [ROOT / "fer" / name for name in WITHOUT_TORCH.split()]
    modules = [module_of(path) for folder in folders for path in folder.rglob("*.py") if path.stem != "__main__"]
    assert not loaded_libraries(modules, "torch")


def test_loading_torch_is_detected() -> None:
    assert loaded_libraries(["fer.nn.layers"], "torch numpy pandas") == {"torch", "numpy"}


@pytest.mark.parametrize(("modules", "libraries"), NOT_LOADED.items())
def test_slow_libraries_are_loaded_only_where_they_are_needed(modules: str, libraries: str) -> None:
    assert not loaded_libraries(modules.split(), libraries)


def test_only_the_command_line_package_uses_argparse() -> None:
    users = {package_names(module_of(path))[0] for path in LIBRARY if "import argparse" in path.read_text()}
    assert users == {"cli"}
