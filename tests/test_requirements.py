"""requirements.lock has a version of every package that pyproject.toml names, at or above its floor, and no host."""

import re
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
WANTED = sorted({*PROJECT["dependencies"], *EXTRAS["dev"]})
LINES = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
PINS = {canonicalize_name(pin.name): pin for pin in map(Requirement, LINES)}
MODULES = {(canonicalize_name(name), module) for module, names in packages_distributions().items() for name in names}
CODE = "\n".join(path.read_text() for folder in ("fer", "pipeline") for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("wanted", WANTED)
def test_a_package_is_locked_within_its_range(wanted: str) -> None:
    asked = Requirement(wanted)
    (pin,) = PINS[canonicalize_name(asked.name)].specifier
    assert asked.specifier.contains(pin.version)


@pytest.mark.parametrize("wanted", PROJECT["dependencies"])
def test_a_runtime_dependency_is_imported(wanted: str) -> None:
    name = canonicalize_name(Requirement(wanted).name)
    imports = (rf"^ *(import|from) {module}\b" for package, module in MODULES if package == name)
    assert name == "dvc" or any(re.search(line, CODE, re.MULTILINE) for line in imports)  # dvc is run as a command


@pytest.mark.parametrize("line", LINES)
def test_a_line_of_the_lock_is_one_version_and_no_address(line: str) -> None:
    pin = Requirement(line)
    assert pin.url is None
    assert [each.operator for each in pin.specifier] == ["=="]


def test_the_floors_are_those_of_the_page_on_security() -> None:
    page = (ROOT / "docs" / "security.md").read_text()
    floors = {Requirement(each).name: str(Requirement(each).specifier) for each in PROJECT["dependencies"]}
    for name in ("torch", "pillow"):
        assert f"| {name} | {floors[name].removeprefix('>=')} |" in page.lower()
