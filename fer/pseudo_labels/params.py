"""The section `pseudo_label` of `params.yaml`. Each file in `policies/` adds a row of its own name to `policies`."""

from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError, create_model

from fer.core.schema import Section, format_errors
from fer.pseudo_labels.policy import Policy
from fer.pseudo_labels.weights import WEIGHTS
from fer.runtime.errors import InputError

POLICIES: dict[str, type[Policy]] = {
    path.stem: import_module(f"fer.pseudo_labels.policies.{path.stem}").Options
    for path in sorted((Path(__file__).parent / "policies").glob("*.py"))
    if path.stem != "__init__"
}
_ROWS: dict[str, Any] = {name: (options, ...) for name, options in POLICIES.items()}


class PseudoLabel(Section):
    section_key = "pseudo_label"
    alignment: Literal["none", "valid", "uniform"]
    agreement: list[Literal["networks", "views"]]
    policy: Literal[*POLICIES]  # type: ignore[valid-type]
    weights: Literal[*WEIGHTS]  # type: ignore[valid-type]
    policies: create_model("Policies", __base__=Section, **_ROWS)  # type: ignore[valid-type]

    @property
    def active_policy(self) -> Policy:
        return getattr(self.policies, self.policy)


def make_policy(name: str, **options: Any) -> Policy:
    """Return a policy by its name.

    Args:
        options: Its parameters; the others have the values of the shipped params.yaml.

    Raises:
        InputError: There is no such policy, or a parameter is unknown or not allowed.
    """
    if name not in POLICIES:
        raise InputError(f"policy {name!r} is unknown; choose from {', '.join(POLICIES)}")
    content = getattr(PseudoLabel.default().policies, name).model_dump() | options
    try:
        return POLICIES[name].model_validate(content)
    except ValidationError as error:
        raise InputError(format_errors(error, content, Path(f"policy {name}"), POLICIES[name])) from error


def list_policies() -> list[str]:
    """Return the names of the policies."""
    return list(POLICIES)
