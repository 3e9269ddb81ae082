"""Which faces to show of an emotion: those that tell most of what the networks can and can't do."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from fer.predictions.uncertainty import first, margin

Rows = Int[np.ndarray, " m"]


def of_emotion(
    emotion: int,
    probs: Float[np.ndarray, "n classes"],
    labels: Int[np.ndarray, " n"],
    table: pd.DataFrame,
    count: int,
) -> dict[str, Rows]:
    """At most `count` rows of the faces whose label is `emotion`, for each of three headings; the first tell most."""
    faces, right, sure = labels == emotion, probs.argmax(axis=1) == labels, probs.max(axis=1)
    return {
        "right and confident": first(-sure, faces & right, table, count),
        "wrong and confident": first(-sure, faces & ~right, table, count),
        "on the border": first(margin(probs), faces, table, count),
    }


def surest(probs: Float[np.ndarray, "n classes"], labels: Int[np.ndarray, " n"], table: pd.DataFrame) -> Rows:
    """Of each emotion the row that is rightly taken for it with most confidence, where there is one."""
    right, sure = probs.argmax(axis=1) == labels, probs.max(axis=1)
    each = [first(-sure, right & (labels == emotion), table, 1) for emotion in range(probs.shape[1])]
    return np.concatenate(each)


def of_pseudo_label(
    emotion: int,
    probs: Float[np.ndarray, "n classes"],
    accepted: Bool[np.ndarray, " n"],
    pool: Bool[np.ndarray, " n"],
    table: pd.DataFrame,
    count: int,
) -> dict[str, Rows]:
    """At most `count` rows of the faces of the `pool` that are taken for `emotion`, accepted or not.

    They stand for all: the surest, the least sure and others as far apart in rank.
    """
    taken, sure = pool & (probs.argmax(axis=1) == emotion), probs.max(axis=1)

    def spread(among: Bool[np.ndarray, " n"]) -> Rows:
        ranked = first(-sure, among, table, len(sure))
        return ranked[np.linspace(0, len(ranked) - 1, min(count, len(ranked))).round().astype(np.int64)]

    return {"accepted": spread(taken & accepted), "not accepted": spread(taken & ~accepted)}


def in_words(probs: Float[np.ndarray, " classes"], emotions: Sequence[str]) -> str:
    """The two likeliest emotions on a line each, in percent."""
    likeliest = np.argsort(-probs, kind="stable")[:2]
    return "\n".join(f"{emotions[code]} {100 * probs[code]:.0f} %" for code in likeliest)
