"""The section `pseudo_label` of `params.yaml`. Each file in `policies/` adds a row of its own name to `policies`."""

from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from pydantic import create_model

from fer.core.schema import Section
from fer.pseudo_labels.policy import Policy

POLICIES: dict[str, type[Policy]] = {
    path.stem: import_module(f"fer.pseudo_labels.policies.{path.stem}").Options
    for path in sorted((Path(__file__).parent / "policies").glob("*.py"))
    if path.stem != "__init__"
}
_ROWS: dict[str, Any] = {name: (options, ...) for name, options in POLICIES.items()}


class PseudoLabel(Section):
    alignment: Literal["none", "valid", "uniform"]
    agreement: list[Literal["networks", "views"]]
    policy: Literal[*POLICIES]  # type: ignore[valid-type]
    policies: create_model("Policies", __base__=Section, **_ROWS)  # type: ignore[valid-type]

    @property
    def active_policy(self) -> Policy:
        return getattr(self.policies, self.policy)
