"""Nearly identical faces, found without comparing all with all."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fer.data.curation.duplicates import cluster_exact_duplicates
from fer.data.curation.near_duplicates import MIN_CORRELATION, cluster_near_duplicates, correlate_pixels


def smooth(n: int, seed: int = 0, size: int = 48) -> np.ndarray:
    """Pictures as smooth as faces: each alike to none."""
    coarse = np.random.default_rng(seed).integers(0, 256, (n, 6, 6), dtype=np.uint8)
    resized = [Image.fromarray(face).resize((size, size), Image.Resampling.BICUBIC) for face in coarse]
    return np.stack([np.asarray(face) for face in resized])


def jpeg(face: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(face).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def together(faces: np.ndarray) -> np.ndarray:
    return cluster_near_duplicates(faces, cluster_exact_duplicates(faces))


@pytest.mark.parametrize("size", [16, 48, 64, 100])
def test_pictures_that_are_not_alike_stay_apart(size: int) -> None:
    assert together(smooth(300, size=size)).tolist() == list(range(300))


@pytest.mark.parametrize(
    "change",
    [
        lambda face: jpeg(face, 75),
        lambda face: jpeg(face, 95),
        lambda face: (face * 0.7 + 20).astype(np.uint8),  # darker, of less contrast
        lambda face: np.clip(face.astype(int) + 15, 0, 255).astype(np.uint8),
    ],
    ids=["jpeg 75", "jpeg 95", "contrast", "brighter"],
)
def test_a_picture_that_was_changed_a_little_is_found_among_many(change) -> None:
    faces = smooth(400)
    faces[200:] = [change(face) for face in faces[:200]]
    found = together(faces)
    assert (found[200:] == found[:200]).mean() > 0.97
    assert found.max() + 1 >= 200  # and nothing else was thrown together


def test_a_mirror_image_is_another_picture() -> None:
    faces = np.concatenate([smooth(50), smooth(50)[:, :, ::-1]])
    assert together(faces).tolist() == list(range(100))


def test_the_alike_of_an_alike_belong_together_and_the_identical_anyway() -> None:
    face = smooth(1)[0].astype(float)
    other = smooth(1, seed=1)[0].astype(float)
    chain = np.stack([face + (other - face) * share for share in (0, 0.1, 0.2, 0.3)]).round().astype(np.uint8)
    faces = np.concatenate([chain[[0]], smooth(20, seed=2), chain[1:], chain[[0]]])
    ends = correlate_pixels(faces, np.array([[0, 23]]))
    assert ends[0] < MIN_CORRELATION, "the ends of the chain alone are not alike"
    found = together(faces)
    assert len(set(found[[0, 21, 22, 23, 24]])) == 1
    assert found[:21].tolist() == list(range(21))


def test_blank_pictures_are_like_none_but_the_identical() -> None:
    faces = np.concatenate([np.zeros((2, 48, 48)), np.full((1, 48, 48), 90), smooth(3)]).astype(np.uint8)
    assert together(faces).tolist() == [0, 0, 1, 2, 3, 4]


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_faces_to_compare(n: int) -> None:
    assert together(smooth(3)[:n]).tolist() == list(range(n))


@given(st.permutations(range(12)))
def test_who_is_together_does_not_depend_on_the_order(order: list[int]) -> None:
    faces = smooth(12)
    faces[6:10] = [jpeg(face, 90) for face in faces[:4]]
    found = together(faces)
    shuffled = together(faces[order])
    for one in range(12):
        for other in range(12):
            same = found[order[one]] == found[order[other]]
            assert (shuffled[one] == shuffled[other]) == same


def test_a_crowd_costs_no_square_and_not_even_all_its_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(-3, 4, (3000, 48, 48))
    crowd = (smooth(1)[0].astype(int) + noise).clip(0, 255).astype(np.uint8)
    compared = []

    def counted(faces: np.ndarray, pairs: np.ndarray) -> np.ndarray:
        compared.append(len(pairs))
        return correlate_pixels(faces, pairs)

    monkeypatch.setattr("fer.data.curation.near_duplicates.correlate_pixels", counted)
    found = together(np.concatenate([smooth(100, seed=1), crowd]))
    assert len(set(found[100:])) == 1
    assert sum(compared) < 2 * len(crowd)


def test_faces_may_stay_on_disk(tmp_path: Path) -> None:
    faces = smooth(50)
    faces[30] = jpeg(faces[3], 90)
    np.save(tmp_path / "faces.npy", faces)
    assert (together(np.load(tmp_path / "faces.npy", mmap_mode="r")) == together(faces)).all()
