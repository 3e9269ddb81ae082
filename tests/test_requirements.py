"""requirements.lock pins every package of pyproject.toml within its range, and names no host."""

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
REQUIRED = sorted({*PROJECT["dependencies"], *EXTRAS["dev"]})
LINES = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
PINS = {canonicalize_name(pin.name): pin for pin in map(Requirement, LINES)}
MODULES = {(canonicalize_name(name), module) for module, names in packages_distributions().items() for name in names}
CODE = "\n".join(path.read_text() for folder in ("fer", "pipeline") for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("requirement", REQUIRED)
def test_a_package_is_locked_within_its_range(requirement: str) -> None:
    parsed = Requirement(requirement)
    (pin,) = PINS[canonicalize_name(parsed.name)].specifier
    assert parsed.specifier.contains(pin.version)


@pytest.mark.parametrize("requirement", PROJECT["dependencies"])
def test_a_runtime_dependency_is_imported(requirement: str) -> None:
    name = canonicalize_name(Requirement(requirement).name)
    imports = (rf"^ *(import|from) {module}\b" for package, module in MODULES if package == name)
    assert name == "dvc" or any(re.search(line, CODE, re.MULTILINE) for line in imports)  # DVC runs as a command.


@pytest.mark.parametrize("line", LINES)
def test_a_lock_line_is_one_version_without_an_address(line: str) -> None:
    pin = Requirement(line)
    assert pin.url is None
    assert [specifier.operator for specifier in pin.specifier] == ["=="]


def test_the_security_page_names_the_same_minimum_versions() -> None:
    page = (ROOT / "docs" / "security.md").read_text()
    minimum_versions = {line.name: str(line.specifier) for line in map(Requirement, PROJECT["dependencies"])}
    for name in ("torch", "pillow"):
        assert f"| {name} | {minimum_versions[name].removeprefix('>=')} |" in page.lower()
