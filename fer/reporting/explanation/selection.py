"""Which faces to show of an emotion: those that tell most of what the networks can and can't do."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from fer.predictions.uncertainty import lowest_scores, margin

RowIndices = Int[np.ndarray, " m"]


def select_test_examples(
    code: int,
    probs: Float[np.ndarray, "n classes"],
    labels: Int[np.ndarray, " n"],
    table: pd.DataFrame,
    count: int,
) -> dict[str, RowIndices]:
    """At most `count` rows of the faces whose label is `code`, for each of three headings; the first tell most."""
    faces, right, sure = labels == code, probs.argmax(axis=1) == labels, probs.max(axis=1)
    return {
        "right and confident": lowest_scores(-sure, faces & right, table, count),
        "wrong and confident": lowest_scores(-sure, faces & ~right, table, count),
        "on the border": lowest_scores(margin(probs), faces, table, count),
    }


def select_most_confident(
    probs: Float[np.ndarray, "n classes"], labels: Int[np.ndarray, " n"], table: pd.DataFrame
) -> RowIndices:
    """Of each emotion the row that is rightly taken for it with most confidence, where there is one."""
    right, sure = probs.argmax(axis=1) == labels, probs.max(axis=1)
    each = [lowest_scores(-sure, right & (labels == emotion), table, 1) for emotion in range(probs.shape[1])]
    return np.concatenate(each)


def select_pseudo_label_examples(
    code: int,
    probs: Float[np.ndarray, "n classes"],
    accepted: Bool[np.ndarray, " n"],
    pool: Bool[np.ndarray, " n"],
    table: pd.DataFrame,
    count: int,
) -> dict[str, RowIndices]:
    """At most `count` rows of the faces of the `pool` that are taken for `code`, accepted or not.

    They stand for all: the surest, the least sure and others as far apart in rank.
    """
    taken, sure = pool & (probs.argmax(axis=1) == code), probs.max(axis=1)

    def spread(among: Bool[np.ndarray, " n"]) -> RowIndices:
        ranked = lowest_scores(-sure, among, table, len(sure))
        return ranked[np.linspace(0, len(ranked) - 1, min(count, len(ranked))).round().astype(np.int64)]

    return {"accepted": spread(taken & accepted), "not accepted": spread(taken & ~accepted)}


def format_top_emotions(probs: Float[np.ndarray, " classes"], emotions: Sequence[str]) -> str:
    """The two likeliest emotions on a line each, in percent."""
    likeliest = np.argsort(-probs, kind="stable")[:2]
    return "\n".join(f"{emotions[code]} {100 * probs[code]:.0f} %" for code in likeliest)
