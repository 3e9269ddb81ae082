import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional as reference

from fer.training.augmentation import ERASED_AREA, mixup, select_rows_to_copy, transform_faces
from fer.training.params import Transforms

NONE = Transforms(
    flip=0.0, rotation_degrees=0.0, shift=0.0, zoom=0.0, shear_degrees=0.0, brightness=0.0, contrast=0.0, erasing=0.0
)


def smooth_faces(n: int) -> torch.Tensor:
    """Blurred noise: resampling it twice in different ways gives nearly the same."""
    noise = torch.rand(n, 1, 48, 48, generator=torch.Generator().manual_seed(0))
    return (reference.gaussian_blur(noise, [9, 9], [2.5]) * 1.2 * 255).clamp(0, 255).byte()[:, 0]


def changed(faces: torch.Tensor, seed: int = 0, **amounts: float) -> torch.Tensor:
    return transform_faces(faces, NONE.model_copy(update=amounts), torch.Generator().manual_seed(seed))


def test_without_amounts_nothing_changes() -> None:
    faces = smooth_faces(5)
    torch.testing.assert_close(changed(faces), faces.float() / 255, atol=1e-5, rtol=0)


def test_no_faces_stay_no_faces() -> None:
    assert changed(smooth_faces(1)[:0], flip=1.0).shape == (0, 48, 48)


@pytest.mark.parametrize("name", Transforms.model_fields)
def test_each_amount_changes_faces_and_each_face_in_its_own_way(name: str) -> None:
    same = smooth_faces(1).repeat(64, 1, 1)
    different = changed(same, **{name: 0.5 if name in ("flip", "erasing") else 0.1 if "degrees" not in name else 10.0})
    assert len({face.numpy().tobytes() for face in different}) > 1
    assert different.min() >= 0
    assert different.max() <= 1


@pytest.mark.parametrize("name", Transforms.model_fields)
def test_the_generator_decides(name: str) -> None:
    amount = {name: 0.5 if "degrees" not in name else 10.0}
    faces = smooth_faces(16)
    assert torch.equal(changed(faces, 1, **amount), changed(faces, 1, **amount))
    assert not torch.equal(changed(faces, 1, **amount), changed(faces, 2, **amount))


def test_a_certain_flip_is_a_mirror_image() -> None:
    faces = smooth_faces(4)
    torch.testing.assert_close(changed(faces, flip=1.0), faces.flip(-1).float() / 255, atol=1e-5, rtol=0)


def test_rotation_turns_as_torchvision_does() -> None:
    faces = smooth_faces(40)
    turned = changed(faces, rotation_degrees=10.0)
    angles = np.linspace(-10, 10, 201)
    inner = slice(12, 36)  # away from the corners, which the two fill differently
    for face, result in zip(faces, turned, strict=True):
        tried = [
            reference.rotate(face[None].float() / 255, float(a), interpolation=reference.InterpolationMode.BILINEAR)[0]
            for a in angles[:: 10 if result is not turned[0] else 1]
        ]
        nearest = min(float((one[inner, inner] - result[inner, inner]).abs().mean()) for one in tried)
        assert nearest < 0.01


def test_shift_moves_at_most_the_given_share_of_the_side() -> None:
    face = torch.zeros(1, 48, 48, dtype=torch.uint8)
    face[0, 23:25, 23:25] = 255
    moved = changed(face.repeat(500, 1, 1), shift=0.1)
    place = torch.arange(48.0) - 23.5
    for axis in (1, 2):
        mass = moved.sum(dim=axis)
        offset = (mass * place).sum(dim=1) / mass.sum(dim=1)
        assert 4.0 < offset.abs().max() <= 4.8 + 0.1
        assert abs(float(offset.mean())) < 0.5


def test_erasing_paints_one_rectangle_of_the_given_size() -> None:
    faces = torch.randint(0, 256, (400, 48, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    before = changed(faces)
    hidden = (changed(faces, erasing=1.0) - before).abs() > 1e-6
    for mask in hidden:
        rows, columns = torch.where(mask)
        height, width = rows.max() - rows.min() + 1, columns.max() - columns.min() + 1
        assert mask.sum() >= 0.97 * height * width  # a pixel may be as grey as the face is on average
        assert 0.5 * ERASED_AREA[0] < float(height * width) / 48**2 < 1.5 * ERASED_AREA[1]
    half = changed(faces, erasing=0.5)
    share = ((half - before).abs() > 1e-6).flatten(1).any(dim=1).float().mean()
    assert 0.4 < share < 0.6


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=80), st.floats(0, 1), st.integers(0, 5), st.integers(0, 2**32 - 1)
)
def test_copies_reach_the_balance_without_repeating_a_face_too_often(
    labels: list[int], balance: float, max_copies: int, seed: int
) -> None:
    label = np.array(labels)
    rows = select_rows_to_copy(label, balance, max_copies, np.random.default_rng(seed))
    assert np.bincount(rows, minlength=1).max(initial=0) <= max_copies
    counts, copied = np.bincount(label), np.bincount(label[rows], minlength=label.max() + 1)
    for value, count in enumerate(counts):
        wanted = max(0, int(balance * counts.max()) - count) if count else 0
        assert copied[value] == min(wanted, max_copies * count)
        times = np.bincount(rows, minlength=len(label))[label == value]
        assert not len(times) or times.max() - times.min() <= 1


@given(st.floats(0, 1))
def test_mixing_blends_faces_and_goals_alike(share: float) -> None:
    faces, goals = torch.rand(5, 4, 4), torch.eye(5)
    mixed, mixed_goals = mixup(faces, goals, share)
    torch.testing.assert_close(mixed, share * faces + (1 - share) * faces.flip(0))
    torch.testing.assert_close(mixed_goals, share * goals + (1 - share) * goals.flip(0))
    assert torch.equal(mixup(faces, goals, 1.0)[0], faces)
