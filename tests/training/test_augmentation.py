import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional as reference

from fer.training.augmentation import MIN_ERASED_AREA, mixup, select_rows_to_copy, transform_faces
from fer.training.params import Transforms

NO_TRANSFORMS = Transforms(
    flip=0.0,
    rotation_degrees=0.0,
    shift=0.0,
    zoom=0.0,
    shear_degrees=0.0,
    brightness=0.0,
    contrast=0.0,
    erasing=0.0,
    erased_area=0.2,
    camera=None,
)
# Without `erased_area`, which is an amount of `erasing`, and the cameras, which have tests of their own
TRANSFORMS = [name for name in Transforms.model_fields if name not in ("erased_area", "camera")]


def smooth_faces(n: int) -> torch.Tensor:
    """Return blurred noise: different ways of resampling give nearly the same result."""
    noise = torch.rand(n, 1, 48, 48, generator=torch.Generator().manual_seed(0))
    return (reference.gaussian_blur(noise, [9, 9], [2.5]) * 1.2 * 255).clamp(0, 255).byte()[:, 0]


def transform(faces: torch.Tensor, seed: int = 0, **amounts: float) -> torch.Tensor:
    return transform_faces(faces, NO_TRANSFORMS.model_copy(update=amounts), torch.Generator().manual_seed(seed))


def test_amounts_of_zero_change_nothing() -> None:
    faces = smooth_faces(5)
    torch.testing.assert_close(transform(faces), faces.float() / 255, atol=1e-5, rtol=0)


def test_an_empty_batch_stays_empty() -> None:
    assert transform(smooth_faces(1)[:0], flip=1.0).shape == (0, 48, 48)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_each_transform_changes_each_face_differently(name: str) -> None:
    faces = smooth_faces(1).repeat(64, 1, 1)
    amount = 0.5 if name in ("flip", "erasing") else 0.1 if "degrees" not in name else 10.0
    transformed = transform(faces, **{name: amount})
    assert len({face.numpy().tobytes() for face in transformed}) > 1
    assert transformed.min() >= 0
    assert transformed.max() <= 1


@pytest.mark.parametrize("name", TRANSFORMS)
def test_the_generator_determines_the_result(name: str) -> None:
    amount = {name: 0.5 if "degrees" not in name else 10.0}
    faces = smooth_faces(16)
    assert torch.equal(transform(faces, 1, **amount), transform(faces, 1, **amount))
    assert not torch.equal(transform(faces, 1, **amount), transform(faces, 2, **amount))


def test_a_flip_is_a_mirror_image() -> None:
    faces = smooth_faces(4)
    torch.testing.assert_close(transform(faces, flip=1.0), faces.flip(-1).float() / 255, atol=1e-5, rtol=0)


def test_rotation_turns_as_torchvision_does() -> None:
    faces = smooth_faces(40)
    rotated = transform(faces, rotation_degrees=10.0)
    angles = np.linspace(-10, 10, 201)
    inner = slice(12, 36)  # without the corners, which torchvision fills differently
    for face, result in zip(faces, rotated, strict=True):
        candidates = [
            reference.rotate(face[None].float() / 255, float(a), interpolation=reference.InterpolationMode.BILINEAR)[0]
            for a in angles[:: 10 if result is not rotated[0] else 1]
        ]
        differences = [float((image[inner, inner] - result[inner, inner]).abs().mean()) for image in candidates]
        assert min(differences) < 0.01


def test_shift_moves_a_face_by_at_most_the_amount() -> None:
    face = torch.zeros(1, 48, 48, dtype=torch.uint8)
    face[0, 23:25, 23:25] = 255
    shifted = transform(face.repeat(500, 1, 1), shift=0.1)
    position = torch.arange(48.0) - 23.5
    for axis in (1, 2):
        mass = shifted.sum(dim=axis)
        offset = (mass * position).sum(dim=1) / mass.sum(dim=1)
        assert 4.0 < offset.abs().max() <= 4.8 + 0.1
        assert abs(float(offset.mean())) < 0.5


@pytest.mark.parametrize("largest", [0.2, 0.3])
def test_erasing_fills_one_rectangle_of_a_size_in_range(largest: float) -> None:
    faces = torch.randint(0, 256, (400, 48, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    unchanged = transform(faces)
    is_erased = (transform(faces, erasing=1.0, erased_area=largest) - unchanged).abs() > 1e-6
    areas = []
    for mask in is_erased:
        rows, columns = torch.where(mask)
        height, width = rows.max() - rows.min() + 1, columns.max() - columns.min() + 1
        assert mask.sum() >= 0.97 * height * width  # some pixels equal the mean grey
        areas.append(float(height * width) / 48**2)
    assert 0.5 * MIN_ERASED_AREA < min(areas) < max(areas) < 1.1 * largest
    assert max(areas) > 0.9 * largest
    half_erased = transform(faces, erasing=0.5)
    share = ((half_erased - unchanged).abs() > 1e-6).flatten(1).any(dim=1).float().mean()
    assert 0.4 < share < 0.6


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=80), st.floats(0, 1), st.integers(0, 5), st.integers(0, 2**32 - 1)
)
def test_copies_reach_the_balance_within_max_copies(
    label_list: list[int], balance: float, max_copies: int, seed: int
) -> None:
    labels = np.array(label_list)
    rows = select_rows_to_copy(labels, balance, max_copies, np.random.default_rng(seed))
    assert np.bincount(rows, minlength=1).max(initial=0) <= max_copies
    counts, copies = np.bincount(labels), np.bincount(labels[rows], minlength=labels.max() + 1)
    for label, count in enumerate(counts):
        missing = max(0, int(balance * counts.max()) - count) if count else 0
        assert copies[label] == min(missing, max_copies * count)
        repeats = np.bincount(rows, minlength=len(labels))[labels == label]
        assert not len(repeats) or repeats.max() - repeats.min() <= 1


@given(st.floats(0, 1))
def test_mixup_blends_faces_and_targets_alike(lam: float) -> None:
    faces, targets = torch.rand(5, 4, 4), torch.eye(5)
    mixed_faces, mixed_targets = mixup(faces, targets, torch.tensor([lam, 1 - lam]))
    torch.testing.assert_close(mixed_faces, lam * faces + (1 - lam) * faces.flip(0))
    torch.testing.assert_close(mixed_targets, lam * targets + (1 - lam) * targets.flip(0))
    assert torch.equal(mixup(faces, targets, torch.tensor([1.0, 0.0]))[0], faces)
