"""Which faces are held out, and which labels are hidden."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def group_ids(cluster: Int[np.ndarray, " n"], groups: Sequence[str]) -> Int[np.ndarray, " n"]:
    """A number for each face, the same for faces that must stay together: of one picture or one group, through any
    chain.

    An empty group is no group.
    """
    number_of: dict[str, int] = {}
    rows = [row for row, group in enumerate(groups) if group]
    group = [number_of.setdefault(groups[row], len(number_of)) for row in rows]
    n, first_group = len(cluster), len(cluster) + cluster.max(initial=-1) + 1
    ends = np.concatenate([n + cluster, first_group + np.array(group, dtype=np.int64)])
    starts = np.concatenate([np.arange(n), np.array(rows, dtype=np.int64)])
    nodes = first_group + len(number_of)
    links = coo_array((np.ones(len(starts), dtype=bool), (starts, ends)), shape=(nodes, nodes))
    return connected_components(links, directed=False)[1][:n].astype(np.int64)


def hold_out(
    mask: Bool[np.ndarray, " n"],
    label: Int[np.ndarray, " n"],
    group_id: Int[np.ndarray, " n"],
    share: float,
    generator: np.random.Generator,
) -> Bool[np.ndarray, " n"]:
    """A random `share` of the faces in `mask`, about the same share of each label, in whole blocks.

    A block counts for the label that most of its faces have. Of a label with at least two blocks, one is taken and one
    left.
    """
    rows = np.flatnonzero(mask)
    if not len(rows):
        return np.zeros(len(mask), dtype=bool)
    _, block_of, sizes = np.unique(group_id[rows], return_inverse=True, return_counts=True)
    counts = np.zeros((len(sizes), label.max() + 1), dtype=np.int64)
    np.add.at(counts, (block_of, label[rows]), 1)
    main_label = counts.argmax(axis=1)
    taken = np.zeros(len(sizes), dtype=bool)
    for value in np.unique(main_label):
        order = generator.permutation(np.flatnonzero(main_label == value))
        wanted = share * sizes[order].sum()
        middle = sizes[order].cumsum() - sizes[order] / 2  # a block goes where most of it lies
        taken[order[: int(np.clip((middle < wanted).sum(), 1, max(len(order) - 1, 0)))]] = True
    return np.isin(group_id, np.unique(group_id[rows])[taken]) & mask


def beyond_budget(
    mask: Bool[np.ndarray, " n"], label: Int[np.ndarray, " n"], budget: int, generator: np.random.Generator
) -> Bool[np.ndarray, " n"]:
    """The faces in `mask` beyond `budget` of each label.

    With one seed, a smaller budget keeps a part of what a larger one keeps.
    """
    over = np.zeros(len(mask), dtype=bool)
    for value in np.unique(label[mask]):
        over[generator.permutation(np.flatnonzero(mask & (label == value)))[budget:]] = True
    return over
