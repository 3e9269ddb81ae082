import numpy as np
import pytest
import torch
from torch import nn

from fer.nn import devices, inference
from fer.nn.weights import build_model, normalize_faces


class Corner(nn.Module):
    """A network whose logits are the top left and the top right pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(2, 2, bias=False)
        nn.init.eye_(self.last.weight)

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        return self.last(faces[:, 0, 0, [0, -1]])


FACES = np.random.default_rng(0).integers(0, 256, (23, 16, 16), dtype=np.uint8)


def predict(faces: np.ndarray = FACES, batch: int = 5, views: tuple[str, ...] = ("plain", "flip")) -> np.ndarray:
    return inference.predict_logits(Corner(), faces, views=views, batch=batch, precision="fp32")


def test_each_row_has_the_logits_of_its_face_in_each_view() -> None:
    logits = predict()
    assert logits.shape == (23, 2, 2)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits[:, 0, 0], (FACES[:, 0, 0] / 255 - 0.5077) / 0.2550, rtol=1e-4)
    np.testing.assert_array_equal(logits[:, 1], logits[:, 0, ::-1])


def test_ten_crops_are_corners_and_centre_plain_and_mirrored() -> None:
    faces = torch.arange(24.0).repeat(1, 24, 1) + 100 * torch.arange(24.0)[:, None]
    views = inference.make_views(faces, ["plain", "ten_crop"])
    assert list(views) == inference.view_names(["plain", "ten_crop"])
    assert len(views) == 11
    assert torch.equal(views["plain"], faces)
    means = {name: float(view.mean()) for name, view in views.items()}
    down, right = 100.0, 1.0  # the corners lie one pixel above, below, left and right of the centre
    centre = means["centre"]
    assert centre == pytest.approx(means["plain"], rel=1e-4)
    assert means["top left"] == pytest.approx(centre - down - right, rel=1e-4)
    assert means["bottom right"] == pytest.approx(centre + down + right, rel=1e-4)
    assert means["top right"] == pytest.approx(centre - down + right, rel=1e-4)
    assert means["bottom left"] == pytest.approx(centre + down - right, rel=1e-4)
    for name in ("centre", "top left"):
        assert torch.equal(views[f"{name} flipped"], views[name].flip(-1))
    assert all(view.shape == faces.shape for view in views.values())


def test_all_views_differ() -> None:
    views = ("plain", "flip", "ten_crop")
    assert predict(views=views).shape == (23, 12, 2)
    faces_by_view = inference.make_views(torch.from_numpy(FACES).float(), views)
    assert len({faces.numpy().tobytes() for faces in faces_by_view.values()}) == 12


def test_the_batch_size_does_not_change_logits() -> None:
    for batch in (1, 7, 100):
        np.testing.assert_array_equal(predict(batch=batch), predict())


def test_channels_last_and_small_cpu_batches_do_not_change_logits() -> None:
    network = build_model("improved_se", n_classes=2, size=16, dropout=0.0).eval()
    faces = torch.from_numpy(FACES).repeat(3, 1, 1)  # more than `CPU_BATCH`
    with torch.inference_mode():
        expected = network(normalize_faces(faces.float() / 255))
    logits = inference.predict_batch(devices.to_device(network, torch.device("cpu")), faces, ["plain"], "fp32")
    torch.testing.assert_close(logits[:, 0], expected, rtol=1e-4, atol=1e-5)


def test_no_faces_give_no_rows() -> None:
    assert predict(FACES[:0]).shape == (0, 2, 2)
