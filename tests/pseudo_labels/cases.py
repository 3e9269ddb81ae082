"""Evidence and policies for the tests of selection."""

from typing import Annotated

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fer.pseudo_labels.params import POLICIES
from fer.pseudo_labels.policies import fixed
from fer.pseudo_labels.policy import Evidence, Policy
from fer.pseudo_labels.weights import WEIGHTS

EMOTIONS = ["angry", "happy", "sad", "neutral"]
FRACTIONS = st.floats(0, 1)
THRESHOLDS_BY_EMOTION = st.fixed_dictionaries(dict.fromkeys(EMOTIONS, FRACTIONS))


def fixed_policy(threshold: float | dict[str, float]) -> fixed.Options:
    return fixed.Options(threshold=threshold)


def options(name: str) -> st.SearchStrategy[Policy]:
    """Policies called `name`, with any values that their fields allow."""
    fields = POLICIES[name].model_fields
    return st.builds(
        POLICIES[name],
        **{key: st.from_type(Annotated[field.annotation, *field.metadata]) for key, field in fields.items()},
    )


FIXED_POLICIES = st.one_of(FRACTIONS, THRESHOLDS_BY_EMOTION).map(fixed_policy)
ANY_WEIGHTS = st.sampled_from(list(WEIGHTS))
ANY_POLICY = st.one_of(FIXED_POLICIES, *(options(name) for name in POLICIES if name != "fixed"))


@st.composite
def any_evidence(draw: st.DrawFn) -> Evidence:
    """Probabilities from even to certain, a pool, labels of all other faces, and an agreement."""
    n = draw(st.integers(0, 20))
    sharpness = draw(st.floats(0.01, 20))
    raw = draw(arrays(np.float64, (n, len(EMOTIONS)), elements=st.floats(0, 1)))
    odds = np.exp(sharpness * raw)
    probs = (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)
    fold = draw(arrays(np.int64, n, elements=st.integers(0, 2)))  # unlabelled, valid, neither
    labels = np.where(fold == 0, -1, draw(arrays(np.int64, n, elements=st.integers(0, len(EMOTIONS) - 1))))
    return Evidence(probs, labels, fold == 1, fold == 0, draw(arrays(bool, n)))


def make_evidence(probs: np.ndarray, pool: np.ndarray | None = None, labels: np.ndarray | None = None) -> Evidence:
    """Return evidence in which all agree: all faces are the pool by default, the others are validation faces.

    Without `labels` every prediction is correct.
    """
    pool = np.ones(len(probs), dtype=bool) if pool is None else pool
    labels = probs.argmax(axis=1) if labels is None else labels
    return Evidence(probs, labels, ~pool, pool, np.ones(len(pool), dtype=bool))


def probs_of(emotion: str, *confidences: float) -> np.ndarray:
    """Return probabilities of faces that are predicted as `emotion` with these confidences."""
    confidence = np.array(confidences)
    probs = np.repeat(((1 - confidence) / 3)[:, None], 4, axis=1)
    probs[:, EMOTIONS.index(emotion)] = confidence
    return probs
