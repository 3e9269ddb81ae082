"""The policies of `pseudo_label` in `params.yaml`, each with its own keys; `fer.pseudolabels` says what they do."""

from typing import Annotated, Literal

from pydantic import Field

from fer.schema import Count, Section, Share

Emotion = Literal["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral", "contempt"]


class Fixed(Section):
    threshold: Share | dict[Emotion, Share]


class Precision(Section):
    target: Annotated[float, Field(gt=0, lt=1)]
    confidence: Annotated[float, Field(gt=0.5, lt=1)]
    fallback: Share


class TopK(Section):
    faces: Count


class Quota(Section):
    share: Share


class FlexMatch(Section):
    threshold: Share


class FreeMatch(Section):
    pass


class AdaCM(Section):
    factor: Share


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
