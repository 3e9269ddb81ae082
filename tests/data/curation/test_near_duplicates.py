"""Near duplicates, found without comparing all pairs."""

import io
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fer.core.store import open_faces
from fer.data.curation.duplicates import cluster_exact_duplicates, find_blank
from fer.data.curation.near_duplicates import (
    BUCKET_NEIGHBOURS,
    EXTRA_HASH_BITS,
    MIN_CORRELATION,
    MIN_DESCRIPTOR_CORRELATION,
    N_HASH_TABLES,
    cluster_near_duplicates,
    compute_descriptors,
    correlate_pixels,
    find_candidate_pairs,
)


def draw_smooth(n: int, seed: int = 0, size: int = 48) -> np.ndarray:
    """Return images as smooth as faces, none like another."""
    coarse = np.random.default_rng(seed).integers(0, 256, (n, 6, 6), dtype=np.uint8)
    resized = [Image.fromarray(face).resize((size, size), Image.Resampling.BICUBIC) for face in coarse]
    return np.stack([np.asarray(face) for face in resized])


def compress(face: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(face).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def find_clusters(faces: np.ndarray) -> np.ndarray:
    return cluster_near_duplicates(faces, cluster_exact_duplicates(faces), find_blank(faces))


@pytest.mark.parametrize("size", [16, 48, 64, 100])
def test_unlike_images_stay_apart(size: int) -> None:
    assert find_clusters(draw_smooth(300, size=size)).tolist() == list(range(300))


@pytest.mark.parametrize(
    "change",
    [
        lambda face: compress(face, 75),
        lambda face: compress(face, 95),
        lambda face: (face * 0.7 + 20).astype(np.uint8),  # less contrast
        lambda face: np.clip(face.astype(int) + 15, 0, 255).astype(np.uint8),
    ],
    ids=["quality 75", "quality 95", "contrast", "brighter"],
)
def test_a_slightly_changed_image_is_found_among_many(change) -> None:
    faces = draw_smooth(400)
    faces[200:] = [change(face) for face in faces[:200]]
    clusters = find_clusters(faces)
    assert (clusters[200:] == clusters[:200]).mean() > 0.97
    assert clusters.max() + 1 >= 200  # unlike images stay apart


def test_a_mirror_image_is_no_near_duplicate() -> None:
    faces = np.concatenate([draw_smooth(50), draw_smooth(50)[:, :, ::-1]])
    assert find_clusters(faces).tolist() == list(range(100))


def test_chains_of_near_duplicates_and_identical_images_form_one_cluster() -> None:
    face = draw_smooth(1)[0].astype(float)
    target = draw_smooth(1, seed=1)[0].astype(float)
    chain = np.stack([face + (target - face) * share for share in (0, 0.1, 0.2, 0.3)]).round().astype(np.uint8)
    faces = np.concatenate([chain[[0]], draw_smooth(20, seed=2), chain[1:], chain[[0]]])
    ends = correlate_pixels(faces, np.array([[0, 23]]))
    assert ends[0] < MIN_CORRELATION, "the ends of the chain must be unlike"
    clusters = find_clusters(faces)
    assert len(set(clusters[[0, 21, 22, 23, 24]])) == 1
    assert clusters[:21].tolist() == list(range(21))


def test_blank_images_cluster_only_with_identical_ones() -> None:
    faces = np.concatenate([np.zeros((2, 48, 48)), np.full((1, 48, 48), 90), draw_smooth(3)]).astype(np.uint8)
    assert find_clusters(faces).tolist() == [0, 0, 1, 2, 3, 4]


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_faces_stay_apart(n: int) -> None:
    assert find_clusters(draw_smooth(3)[:n]).tolist() == list(range(n))


@given(st.permutations(range(12)))
def test_clusters_do_not_depend_on_the_order(order: list[int]) -> None:
    faces = draw_smooth(12)
    faces[6:10] = [compress(face, 90) for face in faces[:4]]
    clusters = find_clusters(faces)
    shuffled = find_clusters(faces[order])
    for i in range(12):
        for j in range(12):
            is_same = clusters[order[i]] == clusters[order[j]]
            assert (shuffled[i] == shuffled[j]) == is_same


def test_a_large_cluster_needs_few_comparisons(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(-3, 4, (3000, 48, 48))
    near_copies = (draw_smooth(1)[0].astype(int) + noise).clip(0, 255).astype(np.uint8)
    pair_counts = []

    def count_pairs(faces: np.ndarray, pairs: np.ndarray) -> np.ndarray:
        pair_counts.append(len(pairs))
        return correlate_pixels(faces, pairs)

    monkeypatch.setattr("fer.data.curation.near_duplicates.correlate_pixels", count_pairs)
    clusters = find_clusters(np.concatenate([draw_smooth(100, seed=1), near_copies]))
    assert len(set(clusters[100:])) == 1
    assert sum(pair_counts) < 2 * len(near_copies)


def iter_pairs_one_by_one(descriptors: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield the pairs of `find_candidate_pairs` whose correlation is not a matter of rounding."""
    n, width = descriptors.shape
    bits, generator = math.ceil(math.log2(n)) + EXTRA_HASH_BITS, np.random.default_rng(0)
    for _ in range(N_HASH_TABLES):
        signs = descriptors @ generator.standard_normal((width, bits), dtype=np.float32) > 0
        order = sorted(range(n), key=lambda row: (signs[row].tolist()[::-1], descriptors[row, 0], row))
        for position, row in enumerate(order):
            for neighbour in order[position + 1 : position + 1 + BUCKET_NEIGHBOURS]:
                correlation = float(descriptors[row] @ descriptors[neighbour])
                if (signs[row] == signs[neighbour]).all() and correlation > MIN_DESCRIPTOR_CORRELATION:
                    yield row, neighbour


@given(st.integers(2, 120), st.integers(1, 20), st.integers(0, 9))
def test_candidate_pairs_are_those_of_a_search_one_by_one(n: int, n_unlike: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    faces = draw_smooth(n_unlike, seed, 16)[rng.integers(n_unlike, size=n)]
    noisy = (faces + rng.normal(0, rng.uniform(0, 30), faces.shape)).clip(0, 255).astype(np.uint8)
    descriptors = compute_descriptors(noisy, np.arange(n))
    found = [tuple(pair) for pairs in find_candidate_pairs(descriptors) for pair in pairs.tolist()]
    assert sorted(found) == sorted(iter_pairs_one_by_one(descriptors))


def test_faces_may_stay_on_disk(tmp_path: Path) -> None:
    faces = draw_smooth(50)
    faces[30] = compress(faces[3], 90)
    np.save(tmp_path / "faces.npy", faces)
    mapped = open_faces(tmp_path / "faces.npy")
    assert (find_clusters(mapped) == find_clusters(faces)).all()
    if sys.platform == "linux":
        maps = psutil.Process().memory_maps()
        assert [part.rss for part in maps if part.path == str(tmp_path / "faces.npy")] == [0], "all pages are unread"
