"""Near duplicates: faces that show the same image recompressed, brightened, or cropped a little differently.

Candidate pairs come from locality-sensitive hashing (Indyk and Motwani 1998; by the signs of random projections,
Charikar 2002) of the lowest frequencies of each face. They are confirmed on the pixels, so that the time grows with the
number of faces, not of pairs. Mirror images are not detected.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from fer.core.store import FACES_PER_CHUNK, read_rows

# Correlation of the pixels. FER-2013 has 405 such pairs that are not identical; by eye, all those between .97 and .985
# show one photo recompressed, marked, or cropped a few pixels apart.
MIN_CORRELATION = 0.97

N_FREQUENCIES = 6  # of the cosine transform, in each direction
N_HASH_TABLES = 16
# Bits beyond those that would number all faces: on FER-2013 some ten candidates a face, and no pair is lost.
EXTRA_HASH_BITS = 2
POSITION_BITS = 31  # of a number that is sorted by code and position: a tenth of the time of sorting by two keys
BUCKET_NEIGHBOURS = 32  # comparisons for each face of a bucket: without this limit, large buckets cost their square
# Correlation of the descriptors: near duplicates have .97 and more, and most candidates less than this.
MIN_DESCRIPTOR_CORRELATION = 0.9


def cluster_near_duplicates(
    faces: UInt8[np.ndarray, "n size size"], cluster: Int[np.ndarray, " n"], is_blank: Bool[np.ndarray, " n"]
) -> Int[np.ndarray, " n"]:
    """Return a cluster number for each face, equal for near duplicates through any chain, in order of first appearance.

    Args:
        faces: The faces.
        cluster: The clusters of exact duplicates (`cluster_exact_duplicates`), which are not split.
        is_blank: Which faces are near duplicates only of identical ones (`find_blank`).
    """
    _, first = np.unique(cluster, return_index=True)
    candidates = np.flatnonzero(~is_blank[first])
    if len(candidates) < 2:
        return cluster
    merged = np.arange(len(first))
    for row_pairs in find_candidate_pairs(compute_descriptors(faces, first[candidates])):
        pairs = candidates[row_pairs]
        pairs = pairs[merged[pairs[:, 0]] != merged[pairs[:, 1]]]  # most pairs of a large cluster are merged already
        pairs = pairs[correlate_pixels(faces, first[pairs]) >= MIN_CORRELATION]
        merged = merge_pairs(merged, pairs) if len(pairs) else merged
    return np.unique(merged[cluster], return_inverse=True)[1].astype(np.int64)


def merge_pairs(cluster: Int[np.ndarray, " n"], pairs: Int[np.ndarray, "pairs 2"]) -> Int[np.ndarray, " n"]:
    """Return `cluster` with the clusters of each pair of rows merged, under the lowest of their numbers."""
    numbers, ends = np.unique(cluster[pairs], return_inverse=True)
    starts, stops = ends.reshape(-1, 2).T
    graph = coo_array((np.ones(len(pairs), dtype=bool), (starts, stops)), shape=(len(numbers), len(numbers)))
    component = connected_components(graph, directed=False)[1]
    _, lowest = np.unique(component, return_index=True)
    new_number = np.arange(len(cluster))
    new_number[numbers] = numbers[lowest][component]
    return new_number[cluster]


def compute_descriptors(
    faces: UInt8[np.ndarray, "n size size"], rows: Int[np.ndarray, " m"]
) -> Float[np.ndarray, "m frequencies"]:
    """Return the lowest frequencies of the faces at `rows`, without the mean, normalised in contrast and variance."""
    size = faces.shape[1]
    waves = np.cos(np.pi * np.outer(np.arange(N_FREQUENCIES), np.arange(size) + 0.5) / size).astype(np.float32)
    descriptors = np.empty((len(rows), N_FREQUENCIES**2 - 1), dtype=np.float32)
    for start in range(0, len(rows), FACES_PER_CHUNK):
        chunk = slice(start, start + FACES_PER_CHUNK)
        spectrum = waves @ read_rows(faces, rows[chunk]).astype(np.float32) @ waves.T
        descriptors[chunk] = spectrum.reshape(len(spectrum), -1)[:, 1:]
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True).clip(min=1e-6)
    descriptors -= descriptors.mean(axis=0)
    descriptors /= descriptors.std(axis=0).clip(min=1e-6)
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True).clip(min=1e-6)
    return descriptors


def find_candidate_pairs(descriptors: Float[np.ndarray, "m frequencies"]) -> Iterator[Int[np.ndarray, "pairs 2"]]:
    """Yield pairs of rows that may be near duplicates, at most m at a time; some pairs are repeated."""
    n, width = descriptors.shape
    bits = min(POSITION_BITS, int(np.ceil(np.log2(n))) + EXTRA_HASH_BITS)
    by_first = np.argsort(descriptors[:, 0], kind="stable")
    generator = np.random.default_rng(0)
    for _ in range(N_HASH_TABLES):
        projection = generator.standard_normal((width, bits), dtype=np.float32)
        code = (descriptors @ projection > 0) @ (1 << np.arange(bits, dtype=np.int64))
        # By the code, then by the first frequency: near duplicates become neighbours in their bucket.
        code = np.sort(code[by_first] << POSITION_BITS | np.arange(n))
        order = by_first[code & ((1 << POSITION_BITS) - 1)]
        code = np.append(code >> POSITION_BITS, np.full(BUCKET_NEIGHBOURS, -1))
        positions = np.arange(n)
        for step in range(1, BUCKET_NEIGHBOURS + 1):
            positions = positions[code[positions] == code[positions + step]]
            if not len(positions):
                break
            pairs = np.stack([order[positions], order[positions + step]], axis=1)
            yield pairs[_descriptors_correlate(descriptors, pairs)]


def correlate_pixels(
    faces: UInt8[np.ndarray, "n size size"], pairs: Int[np.ndarray, "pairs 2"]
) -> Float[np.ndarray, " pairs"]:
    """Return the correlation of the pixels of each pair of faces, in -1..1; 0 if a face is blank."""
    correlation = np.zeros(len(pairs), dtype=np.float32)
    for start in range(0, len(pairs), FACES_PER_CHUNK):
        chunk = slice(start, start + FACES_PER_CHUNK)
        x, y = (read_rows(faces, pairs[chunk, side]) for side in (0, 1))
        x, y = (side.reshape(len(side), -1).astype(np.float32) for side in (x, y))
        x -= x.mean(axis=1, keepdims=True)
        y -= y.mean(axis=1, keepdims=True)
        norms = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
        correlation[chunk] = np.einsum("ij,ij->i", x, y) / norms.clip(min=1e-6)
    return correlation


def _descriptors_correlate(
    descriptors: Float[np.ndarray, "m frequencies"], pairs: Int[np.ndarray, "pairs 2"]
) -> Bool[np.ndarray, " pairs"]:
    is_candidate = [
        np.einsum("ij,ij->i", descriptors[chunk[:, 0]], descriptors[chunk[:, 1]]) >= MIN_DESCRIPTOR_CORRELATION
        for chunk in np.array_split(pairs, len(pairs) // (16 * FACES_PER_CHUNK) + 1)
    ]
    return np.concatenate(is_candidate)
