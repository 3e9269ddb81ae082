"""Exact duplicates among faces, found before anything is split or trained."""

import hashlib

import numpy as np
from jaxtyping import Bool, Int, UInt8

from fer.core.store import iter_chunks

BLANK_STD = 2.0  # grey levels; FER-2013 holds 12 black faces and one that is nearly constant
FOLD_PRECEDENCE = ("test", "valid", "train", "unlabelled")


def cluster_exact_duplicates(faces: UInt8[np.ndarray, "n size size"]) -> Int[np.ndarray, " n"]:
    """Return a cluster number for each face, equal for pixel-identical faces, in order of first appearance."""
    n_words = faces.shape[1] * faces.shape[2] // 8
    factors = np.random.default_rng(0).integers(2**63, size=n_words, dtype=np.uint64)
    checksum = np.empty(len(faces), dtype=np.uint64)
    for chunk, part in iter_chunks(faces):
        words = part.reshape(len(part), -1)[:, : 8 * n_words].view(np.uint64)
        checksum[chunk] = words @ factors
    _, value, counts = np.unique(checksum, return_inverse=True, return_counts=True)
    first, first_of = np.arange(len(faces)), dict[bytes, int]()
    may_repeat = counts[value] > 1  # few faces, so that the digest may be slow
    for chunk, part in iter_chunks(faces):
        for row in np.flatnonzero(may_repeat[chunk]).tolist():
            digest = hashlib.blake2b(part[row].tobytes(), digest_size=16).digest()
            first[chunk][row] = first_of.setdefault(digest, chunk.start + row)
    return np.unique(first, return_inverse=True)[1].astype(np.int64)


def find_blank(faces: UInt8[np.ndarray, "n size size"]) -> Bool[np.ndarray, " n"]:
    """Return which faces are blank: all their pixels have nearly the same grey."""
    is_blank = np.zeros(len(faces), dtype=bool)
    for chunk, part in iter_chunks(faces):
        # One pixel of 16 has at most 16 times the variance of all, so the others of a face are rarely needed.
        suspects = np.flatnonzero(part[:, ::4, ::4].std(axis=(1, 2)) < 5 * BLANK_STD)
        is_blank[chunk][suspects] = part[suspects].std(axis=(1, 2)) < BLANK_STD
    return is_blank


def expand_to_clusters(mask: Bool[np.ndarray, " n"], cluster: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Return which faces are in a cluster with at least one face of `mask`, those of `mask` included."""
    is_member = np.zeros(cluster.max(initial=-1) + 1, dtype=bool)
    is_member[cluster[mask]] = True
    return is_member[cluster]


def find_copies(mask: Bool[np.ndarray, " n"], cluster: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Return which faces of `mask` repeat an earlier face of `mask`."""
    rows = np.flatnonzero(mask)
    _, first = np.unique(cluster[rows], return_index=True)
    is_copy = mask.copy()
    is_copy[rows[first]] = False
    return is_copy


def find_label_conflicts(
    mask: Bool[np.ndarray, " n"], cluster: Int[np.ndarray, " n"], label: Int[np.ndarray, " n"]
) -> Bool[np.ndarray, " n"]:
    """Return which faces of `mask` are in a cluster whose faces of `mask` have different labels."""
    rows = np.flatnonzero(mask)
    pairs = np.unique(np.stack([cluster[rows], label[rows]]), axis=1)
    clusters, n_labels = np.unique(pairs[0], return_counts=True)
    return mask & np.isin(cluster, clusters[n_labels > 1])


def find_minority_labels(
    mask: Bool[np.ndarray, " n"], cluster: Int[np.ndarray, " n"], label: Int[np.ndarray, " n"]
) -> Bool[np.ndarray, " n"]:
    """Return which faces in a label conflict lack the label of more than half of their copies.

    Without such a majority these are all copies.
    """
    in_conflict = find_label_conflicts(mask, cluster, label)
    rows = np.flatnonzero(in_conflict)
    _, pair_of, pair_counts = np.unique(
        np.stack([cluster[rows], label[rows]]), axis=1, return_inverse=True, return_counts=True
    )
    _, cluster_of, cluster_counts = np.unique(cluster[rows], return_inverse=True, return_counts=True)
    in_minority = in_conflict.copy()
    in_minority[rows] = 2 * pair_counts[pair_of.ravel()] <= cluster_counts[cluster_of]
    return in_minority
