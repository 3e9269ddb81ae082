"""Example selection: the faces that show best what the networks recognise and what they confuse."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from fer.predictions.uncertainty import lowest_scores, margin

RowIndices = Int[np.ndarray, " m"]


def select_test_examples(
    code: int, probs: Float[np.ndarray, "n classes"], labels: Int[np.ndarray, " n"], table: pd.DataFrame, count: int
) -> dict[str, RowIndices]:
    """Return at most `count` rows of faces with the label `code` for each of three headings, the clearest first."""
    faces, right, confidence = labels == code, probs.argmax(axis=1) == labels, probs.max(axis=1)
    return {
        "right and confident": lowest_scores(-confidence, faces & right, table, count),
        "wrong and confident": lowest_scores(-confidence, faces & ~right, table, count),
        "on the border": lowest_scores(margin(probs), faces, table, count),
    }


def select_most_confident(
    probs: Float[np.ndarray, "n classes"], labels: Int[np.ndarray, " n"], table: pd.DataFrame
) -> RowIndices:
    """Return for each emotion the row of its most confident correct prediction, if there is one."""
    right, confidence = probs.argmax(axis=1) == labels, probs.max(axis=1)
    return np.concatenate(
        [lowest_scores(-confidence, right & (labels == code), table, 1) for code in range(probs.shape[1])]
    )


def select_pseudo_label_examples(
    code: int,
    probs: Float[np.ndarray, "n classes"],
    accepted: Bool[np.ndarray, " n"],
    pool: Bool[np.ndarray, " n"],
    table: pd.DataFrame,
    count: int,
) -> dict[str, RowIndices]:
    """Return at most `count` rows each of the accepted and the other faces of the `pool` that are predicted as `code`.

    The rows are evenly spaced in rank from the most to the least confident face.
    """
    predicted, confidence = pool & (probs.argmax(axis=1) == code), probs.max(axis=1)

    def spaced_rows(among: Bool[np.ndarray, " n"]) -> RowIndices:
        ranked = lowest_scores(-confidence, among, table, len(confidence))
        return ranked[np.linspace(0, len(ranked) - 1, min(count, len(ranked))).round().astype(np.int64)]

    return {"accepted": spaced_rows(predicted & accepted), "not accepted": spaced_rows(predicted & ~accepted)}


def format_top_emotions(probs: Float[np.ndarray, " classes"], emotions: Sequence[str]) -> str:
    """Return the two likeliest emotions, one a line, with their probabilities in percent."""
    likeliest = np.argsort(-probs, kind="stable")[:2]
    return "\n".join(f"{emotions[code]} {100 * probs[code]:.0f} %" for code in likeliest)
