"""Cameras do to a batch of faces what Pillow does to one, and nothing to faces that they leave alone."""

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from fer.data.synthetic.sample import draw_faces
from fer.params import load_params
from fer.training.augmentation import draw_transforms, transform_faces
from fer.training.cameras import NO_COMPRESSION, CameraDraws, apply_cameras, compress_jpeg, draw_cameras
from fer.training.params import Camera

CAMERA = Camera(
    share=0.5, min_side=0.25, max_blur=2, min_gamma=0.6, max_gamma=1.8, min_gain=0.3, max_noise=0.08, min_quality=10
)
FACES = draw_faces(12, 0, 48)[0]


def still_draws(n: int, **changes: torch.Tensor) -> CameraDraws:
    ones = torch.ones(n)
    draws = CameraDraws(48 * ones, 0 * ones, ones, ones, 0 * ones, NO_COMPRESSION * ones, torch.zeros(n, 48, 48))
    return draws._replace(**changes)


def show(faces: np.ndarray, **changes: torch.Tensor) -> np.ndarray:
    """Return the faces through the cameras, in 0..255."""
    shown = apply_cameras(torch.from_numpy(faces) / 255, still_draws(len(faces), **changes))
    return 255 * shown.numpy()


@pytest.mark.parametrize("quality", [10, 25, 50, 75, 94])
@pytest.mark.parametrize("size", [48, 44])
def test_compression_is_that_of_jpeg(quality: int, size: int) -> None:
    faces = FACES[:, :size, :size]
    ours = compress_jpeg(torch.from_numpy(faces) / 255, torch.full((len(faces),), float(quality)))
    difference = []
    for face, found in zip(faces, ours, strict=True):
        file = io.BytesIO()
        Image.fromarray(face).save(file, "JPEG", quality=quality)
        difference.append(abs(255 * found.numpy() - np.asarray(Image.open(file))))
    assert np.mean(difference) < 0.35
    assert (np.array(difference) > 2).mean() < 0.03  # libjpeg computes with integers, so some coefficients round up


@pytest.mark.parametrize("side", [12, 16, 24, 48])
def test_a_lower_resolution_is_that_of_pillow(side: int) -> None:
    shown = show(FACES, side=torch.full((len(FACES),), float(side)))
    for face, found in zip(FACES, shown, strict=True):
        image = Image.fromarray(face.astype(np.float32))
        small = image.resize((side, side), Image.Resampling.BOX)
        expected = np.asarray(small.resize((48, 48), Image.Resampling.BILINEAR))
        assert abs(found - expected).max() < 0.1


def test_blur_is_gaussian() -> None:
    shown = show(FACES, blur=torch.full((len(FACES),), 1.5))
    for face, found in zip(FACES, shown, strict=True):
        expected = np.asarray(Image.fromarray(face).filter(ImageFilter.GaussianBlur(1.5))).astype(float)
        assert abs(found - expected)[6:-6, 6:-6].mean() < 1.5  # Pillow approximates with boxes


def test_light_and_noise_follow_their_formulas() -> None:
    n = len(FACES)
    shown = show(FACES, gamma=torch.full((n,), 1.5), gain=torch.full((n,), 0.5))
    np.testing.assert_allclose(shown, 255 * 0.5 * (FACES / 255) ** 1.5, atol=0.02)
    sensor = torch.randn(n, 48, 48, generator=torch.Generator().manual_seed(0))
    grey = np.full((n, 48, 48), 128, dtype=np.uint8)
    assert show(grey, noise=torch.full((n,), 0.04), sensor=sensor).std() == pytest.approx(255 * 0.04, rel=0.05)


def test_faces_that_no_camera_shows_do_not_change() -> None:
    assert abs(show(FACES) - FACES).max() < 0.01
    draws = draw_cameras(8, 48, CAMERA.model_copy(update={"share": 0.0}), torch.Generator().manual_seed(0))
    pixels = torch.from_numpy(FACES[:8]) / 255
    torch.testing.assert_close(apply_cameras(pixels, draws), pixels, atol=1e-4, rtol=0)


def test_each_face_has_a_camera_of_its_own_and_about_the_share_has_one() -> None:
    same = np.repeat(FACES[:1], 400, axis=0)
    draws = draw_cameras(400, 48, CAMERA, torch.Generator().manual_seed(0))
    shown = apply_cameras(torch.from_numpy(same) / 255, draws)
    is_changed = (shown - shown.new_tensor(same[0] / 255)).abs().amax(dim=(1, 2)) > 1e-3
    assert 0.38 < is_changed.float().mean() < 0.55
    assert len({face.numpy().tobytes() for face in shown[is_changed]}) > 0.9 * int(is_changed.sum())
    assert 0 <= shown.min() <= shown.max() <= 1


@pytest.mark.parametrize("name", Camera.model_fields)
def test_every_parameter_has_an_effect(name: str) -> None:
    values = {"share": 0.9, "min_side": 0.5, "max_blur": 1.0, "min_gamma": 1.0, "max_gamma": 3.0, "min_gain": 0.5}
    changed = CAMERA.model_copy(update={name: (values | {"max_noise": 0.02, "min_quality": 60})[name]})
    first, second = (draw_cameras(64, 48, camera, torch.Generator().manual_seed(0)) for camera in (CAMERA, changed))
    assert not all(map(torch.equal, first, second))


def test_transforms_with_a_camera_end_with_it() -> None:
    transforms = load_params().transform_sets["camera"]
    pixels = torch.from_numpy(FACES)
    plain, shown = (
        transform_faces(pixels, transforms.model_copy(update={"camera": camera}), torch.Generator().manual_seed(0))
        for camera in (None, transforms.camera)
    )
    assert not torch.equal(plain, shown)
    draws = draw_transforms(len(FACES), 48, transforms, torch.Generator().manual_seed(0))
    assert torch.equal(apply_cameras(plain, draws.camera), shown)
