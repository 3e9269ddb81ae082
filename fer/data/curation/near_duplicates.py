"""Faces that are nearly the same picture: saved anew, brightened, or cut out of one photograph a little differently.

Pairs that may be alike are found by locality-sensitive hashing (Indyk and Motwani 1998; by the signs of random
projections, Charikar 2002) of the lowest frequencies of a picture, and confirmed on its pixels, so that the time grows
with the number of faces and not with that of pairs. Mirror images are not looked for.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from fer.data.curation.duplicates import FACES_PER_CHUNK, find_blank

# Correlation of the pixels. FER-2013 has 405 such pairs that are not identical; by eye all between .97 and .985
# show one photograph, saved anew, marked, or cut a few pixels apart.
MIN_CORRELATION = 0.97

N_FREQUENCIES = 6  # of the cosine transform, each way
N_HASH_TABLES = 16
EXTRA_HASH_BITS = (
    2  # beyond those that would number all faces: on FER-2013 some ten candidates a face, and no pair is lost
)
BUCKET_NEIGHBOURS = 32  # of the faces in one bucket, how many are compared with each: no bucket costs its square
MIN_DESCRIPTOR_CORRELATION = (
    0.9  # correlation of the frequencies: the alike have .97 and more, and most candidates are ruled out
)


def cluster_near_duplicates(
    faces: UInt8[np.ndarray, "n size size"], cluster: Int[np.ndarray, " n"]
) -> Int[np.ndarray, " n"]:
    """A number for each face, the same for nearly identical ones through any chain, in order of first appearance.

    `cluster` has the numbers of identical faces (see `duplicates.clusters`); these stay together. Blank pictures are
    like none but the identical.
    """
    _, first = np.unique(cluster, return_index=True)
    shown = np.flatnonzero(~find_blank(faces)[first])
    if len(shown) < 2:
        return cluster
    picture = np.arange(len(first))
    for found in find_candidate_pairs(compute_descriptors(faces, first[shown])):
        pairs = shown[found]
        pairs = pairs[picture[pairs[:, 0]] != picture[pairs[:, 1]]]  # of a crowd, most are together already
        picture = merge_pairs(picture, pairs[correlate_pixels(faces, first[pairs]) >= MIN_CORRELATION])
    return np.unique(picture[cluster], return_inverse=True)[1].astype(np.int64)


def merge_pairs(cluster: Int[np.ndarray, " n"], pairs: Int[np.ndarray, "pairs 2"]) -> Int[np.ndarray, " n"]:
    """`cluster` with the pictures of each pair of rows made one, under the lowest of their numbers."""
    numbers, ends = np.unique(cluster[pairs], return_inverse=True)
    one, other = ends.reshape(-1, 2).T
    links = coo_array((np.ones(len(pairs), dtype=bool), (one, other)), shape=(len(numbers), len(numbers)))
    component = connected_components(links, directed=False)[1]
    _, lowest = np.unique(component, return_index=True)
    becomes = np.arange(len(cluster))
    becomes[numbers] = numbers[lowest][component]
    return becomes[cluster]


def compute_descriptors(
    faces: UInt8[np.ndarray, "n size size"], rows: Int[np.ndarray, " m"]
) -> Float[np.ndarray, "m frequencies"]:
    """The lowest frequencies of the faces at `rows`, but for the mean: of equal contrast, each of equal variance."""
    size = faces.shape[1]
    waves = np.cos(np.pi * np.outer(np.arange(N_FREQUENCIES), np.arange(size) + 0.5) / size).astype(np.float32)
    found = np.empty((len(rows), N_FREQUENCIES**2 - 1), dtype=np.float32)
    for start in range(0, len(rows), FACES_PER_CHUNK):
        part = slice(start, start + FACES_PER_CHUNK)
        both = waves @ faces[rows[part]].astype(np.float32) @ waves.T
        found[part] = both.reshape(len(both), -1)[:, 1:]
    found /= np.linalg.norm(found, axis=1, keepdims=True).clip(min=1e-6)
    found -= found.mean(axis=0)
    found /= found.std(axis=0).clip(min=1e-6)
    return found / np.linalg.norm(found, axis=1, keepdims=True).clip(min=1e-6)


def find_candidate_pairs(descriptors: Float[np.ndarray, "m frequencies"]) -> Iterator[Int[np.ndarray, "pairs 2"]]:
    """Pairs of rows that may be alike, at most as many at a time as there are rows; some come more than once."""
    n, width = descriptors.shape
    bits = min(62, int(np.ceil(np.log2(n))) + EXTRA_HASH_BITS)
    random = np.random.default_rng(0)
    for _ in range(N_HASH_TABLES):
        signs = descriptors @ random.standard_normal((width, bits), dtype=np.float32) > 0
        code = signs @ (1 << np.arange(bits, dtype=np.int64))
        order = np.lexsort((descriptors[:, 0], code))  # within a bucket the alike are neighbours
        code = code[order]
        for step in range(1, min(BUCKET_NEIGHBOURS, n - 1) + 1):
            left = np.flatnonzero(code[:-step] == code[step:])
            if not len(left):
                break
            pairs = np.stack([order[left], order[left + step]], axis=1)
            yield pairs[_descriptors_correlate(descriptors, pairs)]


def correlate_pixels(
    faces: UInt8[np.ndarray, "n size size"], pairs: Int[np.ndarray, "pairs 2"]
) -> Float[np.ndarray, " pairs"]:
    """Of the pixels of each pair of faces, -1..1; 0 where one is blank."""
    found = np.zeros(len(pairs), dtype=np.float32)
    for start in range(0, len(pairs), FACES_PER_CHUNK):
        part = slice(start, start + FACES_PER_CHUNK)
        one, other = (faces[pairs[part, side]].reshape(len(pairs[part]), -1).astype(np.float32) for side in (0, 1))
        one -= one.mean(axis=1, keepdims=True)
        other -= other.mean(axis=1, keepdims=True)
        norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
        found[part] = np.einsum("ij,ij->i", one, other) / norms.clip(min=1e-6)
    return found


def _descriptors_correlate(
    described: Float[np.ndarray, "m frequencies"], pairs: Int[np.ndarray, "pairs 2"]
) -> Bool[np.ndarray, " pairs"]:
    near = [
        np.einsum("ij,ij->i", described[part[:, 0]], described[part[:, 1]]) >= MIN_DESCRIPTOR_CORRELATION
        for part in np.array_split(pairs, len(pairs) // (16 * FACES_PER_CHUNK) + 1)
    ]
    return np.concatenate(near)
