"""Random splits: which faces are held out, and which labels are hidden."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def group_ids(cluster: Int[np.ndarray, " n"], groups: Sequence[str]) -> Int[np.ndarray, " n"]:
    """Return a number for each face, equal for faces that must stay in one fold.

    These share a cluster or a group, through any chain. An empty group is no group.
    """
    number_of: dict[str, int] = {}
    rows = [row for row, group in enumerate(groups) if group]
    group = [number_of.setdefault(groups[row], len(number_of)) for row in rows]
    n, first_group = len(cluster), len(cluster) + cluster.max(initial=-1) + 1
    ends = np.concatenate([n + cluster, first_group + np.array(group, dtype=np.int64)])
    starts = np.concatenate([np.arange(n), np.array(rows, dtype=np.int64)])
    n_nodes = first_group + len(number_of)
    graph = coo_array((np.ones(len(starts), dtype=bool), (starts, ends)), shape=(n_nodes, n_nodes))
    return connected_components(graph, directed=False)[1][:n].astype(np.int64)


def hold_out(
    mask: Bool[np.ndarray, " n"],
    label: Int[np.ndarray, " n"],
    group_id: Int[np.ndarray, " n"],
    share: float,
    generator: np.random.Generator,
) -> Bool[np.ndarray, " n"]:
    """Return a random `share` of the faces of `mask`, in whole groups, with about the same share of each label.

    A group counts for its most frequent label. A label with at least two groups keeps one and gives one.
    """
    rows = np.flatnonzero(mask)
    if not len(rows):
        return np.zeros(len(mask), dtype=bool)
    _, group_of, sizes = np.unique(group_id[rows], return_inverse=True, return_counts=True)
    counts = np.zeros((len(sizes), label.max() + 1), dtype=np.int64)
    np.add.at(counts, (group_of, label[rows]), 1)
    main_label = counts.argmax(axis=1)
    is_held_out = np.zeros(len(sizes), dtype=bool)
    for value in np.unique(main_label):
        order = generator.permutation(np.flatnonzero(main_label == value))
        target = share * sizes[order].sum()
        midpoint = sizes[order].cumsum() - sizes[order] / 2  # a group goes to the side that holds most of it
        is_held_out[order[: int(np.clip((midpoint < target).sum(), 1, max(len(order) - 1, 0)))]] = True
    return np.isin(group_id, np.unique(group_id[rows])[is_held_out]) & mask


def beyond_budget(
    mask: Bool[np.ndarray, " n"], label: Int[np.ndarray, " n"], budget: int, generator: np.random.Generator
) -> Bool[np.ndarray, " n"]:
    """Return which faces of `mask` exceed `budget` faces of each label.

    With one seed, a smaller budget keeps a subset of what a larger budget keeps.
    """
    is_beyond = np.zeros(len(mask), dtype=bool)
    for value in np.unique(label[mask]):
        is_beyond[generator.permutation(np.flatnonzero(mask & (label == value)))[budget:]] = True
    return is_beyond
