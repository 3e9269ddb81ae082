"""The policies of `pseudo_label` in `params.yaml`, each with its own keys."""

from typing import Annotated, Literal

from pydantic import Field

from fer.core.labels import Emotion
from fer.core.schema import Count, Fraction, Section


class Fixed(Section):
    threshold: Fraction | dict[Emotion, Fraction]


class Precision(Section):
    target: Annotated[float, Field(gt=0, lt=1)]
    confidence: Annotated[float, Field(gt=0.5, lt=1)]
    fallback: Fraction


class TopK(Section):
    faces: Count


class Quota(Section):
    share: Fraction


class FlexMatch(Section):
    threshold: Fraction


class FreeMatch(Section):
    pass


class AdaCM(Section):
    factor: Fraction


class SoftMatch(Section):
    pass


Policy = Fixed | Precision | TopK | Quota | FlexMatch | FreeMatch | AdaCM | SoftMatch


class Policies(Section):
    fixed: Fixed
    precision: Precision
    top_k: TopK
    quota: Quota
    flexmatch: FlexMatch
    freematch: FreeMatch
    ada_cm: AdaCM
    softmatch: SoftMatch


class PseudoLabel(Section):
    alignment: Literal["none", "valid", "uniform"]
    agreement: list[Literal["networks", "views"]]
    policy: Literal["fixed", "precision", "top_k", "quota", "flexmatch", "freematch", "ada_cm", "softmatch"]
    policies: Policies

    @property
    def active_policy(self) -> Policy:
        return getattr(self.policies, self.policy)
