"""Which faces to ask people about: the most doubtful and the most influential."""

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int


def margin(probs: Float[np.ndarray, "n classes"]) -> Float[np.ndarray, " n"]:
    """How much likelier the likeliest emotion is than the next: the less, the more a person's answer tells.

    Margin sampling (Scheffer, Decomain & Wrobel 2001). Unlike the distance to a threshold it does not depend on the
    policy, and unlike confidence it finds the faces that are nearly taken for something else.
    """
    two = np.partition(probs, -2, axis=1)[:, -2:]
    return two[:, 1] - two[:, 0]


def el2n(
    targets: Float[np.ndarray, "n classes"], weights: Float[np.ndarray, " n"], probs: Float[np.ndarray, "n classes"]
) -> Float[np.ndarray, " n"]:
    """How hard each face pulls on the network that learnt it: its weight times the distance of what it says of it.

    The distance is EL2N, the L2 norm of probabilities less targets, which bounds the gradient (Paul et al. 2021,
    arXiv:2107.07075). Theirs is a mean over ten networks early in training; this is that of the vote at its end, where
    a face that still pulls is one that contradicts the others.
    """
    return weights * np.linalg.norm(probs - targets, axis=1)


def lowest_scores(
    scores: Float[np.ndarray, " n"], among: Bool[np.ndarray, " n"], table: pd.DataFrame, count: int
) -> Int[np.ndarray, " m"]:
    """The rows of the `count` lowest scores `among` the faces, the lowest first; equals by source and id.

    The order of the table does not matter.
    """
    rows = np.flatnonzero(among)
    if len(rows) > count:  # names are slow to sort
        rows = rows[scores[rows] <= np.partition(scores[rows], count - 1)[count - 1]]
    id, source = (table[key].iloc[rows].to_numpy(dtype=str) for key in ("id", "source"))
    return rows[np.lexsort((id, source, scores[rows]))][:count]
