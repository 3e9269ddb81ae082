"""Near duplicates, found without comparing all pairs."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fer.data.curation.duplicates import cluster_exact_duplicates
from fer.data.curation.near_duplicates import MIN_CORRELATION, cluster_near_duplicates, correlate_pixels


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
    return cluster_near_duplicates(faces, cluster_exact_duplicates(faces))


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


def test_faces_may_stay_on_disk(tmp_path: Path) -> None:
    faces = draw_smooth(50)
    faces[30] = compress(faces[3], 90)
    np.save(tmp_path / "faces.npy", faces)
    assert (find_clusters(np.load(tmp_path / "faces.npy", mmap_mode="r")) == find_clusters(faces)).all()
