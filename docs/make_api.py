"""Write docs/api.md from the docstrings of the public API: `python docs/make_api.py`."""

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

PAGE = Path(__file__).with_name("api.md")
PACKAGES = ("fer", "fer.data", "fer.models", "fer.pseudo_labels")
HEAD = """# Python API

These names are public. Every other name may change without notice. Importing a package is fast: a name loads its
module, and torch, when it is first used. Omitted arguments have the values of the shipped `params.yaml`.

`docs/make_api.py` writes this page from the docstrings.
"""


def page() -> str:
    """Return the page in Markdown."""
    return "\n".join([HEAD, *(line for package in PACKAGES for line in package_section(package))])


def package_section(name: str) -> Iterator[str]:
    package = import_module(name)
    yield f"## {name}\n"
    yield f"{inspect.getdoc(package)}\n"
    for public in package.__all__:
        if not public.startswith("__"):
            yield from object_section(f"{name}.{public}", getattr(package, public))


def object_section(name: str, item: Any) -> Iterator[str]:
    """Yield a heading, the signature and the docstring of a function or a class, and of its public methods."""
    yield f"### {name}\n"
    yield f"```\n{signature(name.rpartition('.')[2], item)}\n```\n"
    yield f"{text(item)}\n"
    if inspect.isclass(item):
        for method, member in vars(item).items():
            function = member.__func__ if isinstance(member, classmethod) else member
            if inspect.isfunction(function) and (not method.startswith("_") or method == "__call__"):
                yield f"```\n{signature(method, function)}\n```\n"
                yield f"{text(function)}\n"


def signature(name: str, item: Any) -> str:
    parameters = re.sub(r"-> '(.+)'$", r"-> \1", str(inspect.signature(item)))
    return name + re.sub(r"(?:\b[a-z_]+\.)+([A-Z]\w*)", r"\1", parameters).replace("PosixPath", "Path")


def text(item: Any) -> str:
    """Return the docstring, with lists for its sections Args, Returns, Yields and Raises."""
    lines: list[str] = []
    in_section = False
    for line in (inspect.getdoc(item) or "").splitlines():
        if line in ("Args:", "Returns:", "Yields:", "Raises:"):
            in_section = True
            lines.append(f"*{line.removesuffix(':')}*\n")
        elif in_section and (entry := re.match(r"    (\w+): (.*)", line)):
            lines.append(f"- `{entry[1]}`: {entry[2]}")
        elif in_section and line.startswith("    "):
            lines.append(("- " if lines[-1].startswith("*") else "  ") + line.strip())
        else:
            lines.append(line)
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
