"""Scores that find the most doubtful and the most influential faces, for people to review."""

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int


def margin(probs: Float[np.ndarray, "n classes"]) -> Float[np.ndarray, " n"]:
    """Return the difference between the two highest probabilities; a label helps most where it is small.

    Margin sampling (Scheffer, Decomain & Wrobel 2001). Unlike the distance to a threshold, the margin does not depend
    on the policy. Unlike confidence, it finds faces that are almost predicted as another emotion.
    """
    top_two = np.partition(probs, -2, axis=1)[:, -2:]
    return top_two[:, 1] - top_two[:, 0]


def el2n(
    targets: Float[np.ndarray, "n classes"], weights: Float[np.ndarray, " n"], probs: Float[np.ndarray, "n classes"]
) -> Float[np.ndarray, " n"]:
    """Return each face's influence on a network trained on `targets`: its weight times its EL2N score.

    EL2N is the L2 norm of probabilities minus targets, which bounds the gradient (Paul et al. 2021, arXiv:2107.07075).
    The paper averages ten networks early in training. Here `probs` come from the ensemble after training, when a large
    score means that a face contradicts the rest.
    """
    return weights * np.linalg.norm(probs - targets, axis=1)


def lowest_scores(
    scores: Float[np.ndarray, " n"], among: Bool[np.ndarray, " n"], table: pd.DataFrame, count: int
) -> Int[np.ndarray, " m"]:
    """Return the rows of the `count` lowest scores in the mask `among`, in ascending order; ties by source and id.

    The result does not depend on the order of the table.
    """
    rows = np.flatnonzero(among)
    if len(rows) > count:  # sorting the names of all rows would be slow
        rows = rows[scores[rows] <= np.partition(scores[rows], count - 1)[count - 1]]
    id, source = (table[key].iloc[rows].to_numpy(dtype=str) for key in ("id", "source"))
    return rows[np.lexsort((id, source, scores[rows]))][:count]
