"""The section `unify` of `params.yaml`."""

from typing import Annotated, Literal

from pydantic import Field

from fer.core.schema import Count, Section


class Unify(Section):
    label_budget: Count | None
    valid: Annotated[float, Field(gt=0, lt=0.5)]
    test: Annotated[float, Field(gt=0, lt=0.5)]
    contradictions: Literal["exclude", "majority", "keep"]
    leaks: Literal["exclude", "stop"]
