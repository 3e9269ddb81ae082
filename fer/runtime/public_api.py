"""Public names of a package, imported when they are first used: torch and pandas take seconds to import."""

import importlib.metadata
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

DISTRIBUTION = "fer-pseudo-labels"
FOREIGN_DISTRIBUTION = "fer"  # another project on PyPI, whose import name is `fer` too


def lazy_exports(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the functions `__getattr__` and `__dir__` of a package.

    Args:
        package: The package's `__name__`.
        homes: The module that defines each public name.
    """

    def get_attribute(name: str) -> Any:
        if name in homes:
            return getattr(import_module(homes[name]), name)
        message = f"module {package!r} has no attribute {name!r}"
        if not name.startswith("_") and (warning := foreign_distribution_warning()):
            message += f"; {warning}"
        raise AttributeError(message)

    return get_attribute, lambda: sorted(homes)


def foreign_distribution_warning() -> str | None:
    """Return one line on the distribution `fer` from PyPI, or None if the environment has none."""
    try:
        version = importlib.metadata.version(FOREIGN_DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return None
    return (
        f"the environment also has the PyPI package `fer` {version}, which uses the same import name and overwrites "
        f"files of {DISTRIBUTION}; run `pip uninstall fer`, reinstall {DISTRIBUTION}, and use one environment for each"
    )
