"""Base class and number types of the sections of `params.yaml`, and the message for a mistake in one."""

import difflib
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fer.runtime.yaml_files import read_shipped_params

Fraction = Annotated[float, Field(ge=0, le=1)]
FractionBelowOne = Annotated[float, Field(ge=0, lt=1)]
PositiveNumber = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegativeNumber = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
ImageSide = Annotated[int, Field(ge=8, le=512)]  # of a square face, in pixels
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]

_MAX_MISTAKES = 20  # in one message
_MAX_CHARS = 200  # of a value


SectionT = TypeVar("SectionT", bound="Section")


class Section(BaseModel):
    """A section of `params.yaml`, or of a file that the project writes: strict, frozen, without unknown keys."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")
    section_key: ClassVar[str] = ""  # the dotted key of this section in params.yaml

    @classmethod
    def default(cls: type[SectionT]) -> SectionT:
        """Return the section as the shipped params.yaml has it."""
        content = read_shipped_params()
        for key in cls.section_key.split("."):
            content = content[key]
        return cls.model_validate(content)


def format_errors(error: ValidationError, content: Any, path: Path, schema: type[Section]) -> str:
    """Return one line with every mistake in `content`, read from `path`: its key, its value and what is allowed."""
    messages: dict[str, str] = {}  # by key: one message for a key that fails every branch of a union
    for problem in error.errors():
        key = _dotted_key(problem["loc"], content, problem["type"] == "missing")
        messages.setdefault(key, f"{path}: {_format_error(key, problem, path, schema)}")
    lines = list(messages.values())
    if len(lines) > _MAX_MISTAKES:
        lines[_MAX_MISTAKES:] = [f"and {len(lines) - _MAX_MISTAKES} more mistakes"]
    return "; ".join(lines)


def _dotted_key(loc: tuple[int | str, ...], content: Any, missing: bool) -> str:
    """Return the dotted key of a mistake, without the names that pydantic gives to the branches of a union."""
    parts = []
    for part in loc:
        if part in (content if isinstance(content, dict) else range(len(content) if isinstance(content, list) else 0)):
            content = content[part]
            parts.append(str(part))
    return ".".join([*parts, *map(str, loc[-1:] if missing else ())])


def _format_error(key: str, problem: Any, path: Path, root: type[Section]) -> str:
    match problem["type"]:
        case "extra_forbidden":
            siblings = _sibling_keys(problem["loc"], root)
            close = difflib.get_close_matches(str(problem["loc"][-1]), siblings, n=1)
            return f"{key} is not a key; " + (
                f"did you mean {close[0]}?" if close else f"allowed: {', '.join(siblings)}"
            )
        case "missing":
            return f"{key} is missing; copy it from `git show HEAD:./params.yaml`"
        case "value_error":
            return f"{key}{': ' if key else ''}{problem['ctx']['error']}"
        case "string_type" if problem["loc"][-1] == "[key]":
            subkey = f"{problem['input']!s:.{_MAX_CHARS}}"
            return f'{key} has the key {subkey}, which must be quoted: "{subkey}"'
        case _:
            return f"{key} is {problem['input']!r:.{_MAX_CHARS}}; {problem['msg'].replace('Input should', 'it should')}"


def _sibling_keys(loc: tuple[int | str, ...], root: type[Section]) -> list[str]:
    """Return the keys allowed beside the one at `loc`, where pydantic puts the `kind` of a union between keys."""
    models: list[Any] = [root]
    for part in loc[:-1]:
        if annotations := [model.model_fields[part].annotation for model in models if part in model.model_fields]:
            models = [model for annotation in annotations for model in _sections_of_type(annotation)]
        elif same_kind := [model for model in models if part in _kinds(model)]:
            models = same_kind
    return sorted({key for model in models for key in model.model_fields})


def _sections_of_type(annotation: Any) -> list[Any]:
    """Return the sections that occur in a type annotation."""
    if hasattr(annotation, "model_fields"):
        return [annotation]
    return [section for part in getattr(annotation, "__args__", ()) for section in _sections_of_type(part)]


def _kinds(section: Any) -> tuple[str, ...]:
    """Return the values allowed for the key `kind` of a section, none if it has no such key."""
    return getattr(section.model_fields["kind"].annotation, "__args__", ()) if "kind" in section.model_fields else ()
