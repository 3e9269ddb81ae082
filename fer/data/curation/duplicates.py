"""Faces that are the same picture, found before anything is split or trained."""

import hashlib

import numpy as np
from jaxtyping import Bool, Int, UInt8

BLANK_DEVIATION = 2.0  # grey levels; FER-2013 holds 12 black pictures and one that is nearly constant
CHUNK = 8192  # faces looked at together: keeps a memory-mapped array out of memory

PRECEDENCE = ("test", "valid", "train", "unlabelled")


def clusters(faces: UInt8[np.ndarray, "n size size"]) -> Int[np.ndarray, " n"]:
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


def blank(faces: UInt8[np.ndarray, "n size size"]) -> Bool[np.ndarray, " n"]:
    """Which faces show nothing: all pixels (nearly) the same grey."""
    chunks = [faces[start : start + CHUNK].std(axis=(1, 2)) < BLANK_DEVIATION for start in range(0, len(faces), CHUNK)]
    return np.concatenate([np.zeros(0, dtype=bool), *chunks])


def in_cluster_of(member: Bool[np.ndarray, " n"], cluster: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Which faces share a picture with at least one face in `member` (a member does, with itself)."""
    held = np.zeros(cluster.max(initial=-1) + 1, dtype=bool)
    held[cluster[member]] = True
    return held[cluster]


def copies(considered: Bool[np.ndarray, " n"], cluster: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Which of the faces in `considered` repeat an earlier one of them."""
    rows = np.flatnonzero(considered)
    _, first = np.unique(cluster[rows], return_index=True)
    again = considered.copy()
    again[rows[first]] = False
    return again


def contradictory(
    considered: Bool[np.ndarray, " n"], cluster: Int[np.ndarray, " n"], label: Int[np.ndarray, " n"]
) -> Bool[np.ndarray, " n"]:
    """Which of the faces in `considered` share a picture, but not the label, with another of them."""
    rows = np.flatnonzero(considered)
    pairs = np.unique(np.stack([cluster[rows], label[rows]]), axis=1)
    disputed, labels_given = np.unique(pairs[0], return_counts=True)
    return considered & np.isin(cluster, disputed[labels_given > 1])


def outvoted(
    considered: Bool[np.ndarray, " n"], cluster: Int[np.ndarray, " n"], label: Int[np.ndarray, " n"]
) -> Bool[np.ndarray, " n"]:
    """Which contradictory faces lack the label that more than half of the copies have (all of them, if none has it)."""
    disputed = contradictory(considered, cluster, label)
    rows = np.flatnonzero(disputed)
    _, pair_of, pair_counts = np.unique(
        np.stack([cluster[rows], label[rows]]), axis=1, return_inverse=True, return_counts=True
    )
    _, cluster_of, cluster_counts = np.unique(cluster[rows], return_inverse=True, return_counts=True)
    losing = disputed.copy()
    losing[rows] = 2 * pair_counts[pair_of.ravel()] <= cluster_counts[cluster_of]
    return losing
