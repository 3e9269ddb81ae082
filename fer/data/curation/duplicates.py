"""Faces that are the same picture, found before anything is split or trained."""

import hashlib

import numpy as np
from jaxtyping import Bool, Int, UInt8

BLANK_STD = 2.0  # grey levels; FER-2013 holds 12 black pictures and one that is nearly constant
FACES_PER_CHUNK = 8192  # faces looked at together: keeps a memory-mapped array out of memory

FOLD_PRECEDENCE = ("test", "valid", "train", "unlabelled")


def cluster_exact_duplicates(faces: UInt8[np.ndarray, "n size size"]) -> Int[np.ndarray, " n"]:
    """A number for each face, the same for pixel-identical faces, counted in order of first appearance."""
    number_of: dict[bytes, int] = {}
    return np.fromiter(
        (
            number_of.setdefault(hashlib.blake2b(face.tobytes(), digest_size=16).digest(), len(number_of))
            for face in faces
        ),
        dtype=np.int64,
        count=len(faces),
    )


def find_blank(faces: UInt8[np.ndarray, "n size size"]) -> Bool[np.ndarray, " n"]:
    """Which faces show nothing: all pixels (nearly) the same grey."""
    chunks = [
        faces[start : start + FACES_PER_CHUNK].std(axis=(1, 2)) < BLANK_STD
        for start in range(0, len(faces), FACES_PER_CHUNK)
    ]
    return np.concatenate([np.zeros(0, dtype=bool), *chunks])


def expand_to_clusters(mask: Bool[np.ndarray, " n"], cluster: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Which faces share a picture with at least one face in `mask` (a member does, with itself)."""
    held = np.zeros(cluster.max(initial=-1) + 1, dtype=bool)
    held[cluster[mask]] = True
    return held[cluster]


def find_copies(mask: Bool[np.ndarray, " n"], cluster: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Which of the faces in `mask` repeat an earlier one of them."""
    rows = np.flatnonzero(mask)
    _, first = np.unique(cluster[rows], return_index=True)
    again = mask.copy()
    again[rows[first]] = False
    return again


def find_label_conflicts(
    mask: Bool[np.ndarray, " n"], cluster: Int[np.ndarray, " n"], label: Int[np.ndarray, " n"]
) -> Bool[np.ndarray, " n"]:
    """Which of the faces in `mask` share a picture, but not the label, with another of them."""
    rows = np.flatnonzero(mask)
    pairs = np.unique(np.stack([cluster[rows], label[rows]]), axis=1)
    disputed, labels_given = np.unique(pairs[0], return_counts=True)
    return mask & np.isin(cluster, disputed[labels_given > 1])


def find_minority_labels(
    mask: Bool[np.ndarray, " n"], cluster: Int[np.ndarray, " n"], label: Int[np.ndarray, " n"]
) -> Bool[np.ndarray, " n"]:
    """Which contradictory faces lack the label that more than half of the copies have (all of them, if none has it)."""
    disputed = find_label_conflicts(mask, cluster, label)
    rows = np.flatnonzero(disputed)
    _, pair_of, pair_counts = np.unique(
        np.stack([cluster[rows], label[rows]]), axis=1, return_inverse=True, return_counts=True
    )
    _, cluster_of, cluster_counts = np.unique(cluster[rows], return_inverse=True, return_counts=True)
    losing = disputed.copy()
    losing[rows] = 2 * pair_counts[pair_of.ravel()] <= cluster_counts[cluster_of]
    return losing
