from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fer.nn import inference, weights
from fer.nn.weights import normalize_faces
from fer.runtime.errors import InputError


class Corner(nn.Module):
    """Answers with the top left and the top right pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(2, 2, bias=False)
        nn.init.eye_(self.last.weight)

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        return self.last(faces[:, 0, 0, [0, -1]])


FACES = np.random.default_rng(0).integers(0, 256, (23, 16, 16), dtype=np.uint8)


def answers(faces: np.ndarray = FACES, batch: int = 5, views: tuple[str, ...] = ("plain", "flip")) -> np.ndarray:
    return inference.predict_logits(Corner(), faces, views=views, batch=batch, precision="fp32")


def test_each_face_is_answered_in_its_row_for_each_view() -> None:
    found = answers()
    assert found.shape == (23, 2, 2)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:, 0, 0], (FACES[:, 0, 0] / 255 - 0.5077) / 0.2550, rtol=1e-4)
    np.testing.assert_array_equal(found[:, 1], found[:, 0, ::-1])


def test_ten_crops_are_corners_centre_and_their_mirror_images() -> None:
    faces = torch.arange(24.0).repeat(1, 24, 1) + 100 * torch.arange(24.0)[:, None]
    shown = inference.make_views(faces, ["plain", "ten_crop"])
    assert list(shown) == inference.view_names(["plain", "ten_crop"])
    assert len(shown) == 11
    assert torch.equal(shown["plain"], faces)
    means = {name: float(view.mean()) for name, view in shown.items()}
    down, right = 100.0, 1.0  # the corners lie one pixel above, below, left and right of the centre
    centre = means["centre"]
    assert centre == pytest.approx(means["plain"], rel=1e-4)
    assert means["top left"] == pytest.approx(centre - down - right, rel=1e-4)
    assert means["bottom right"] == pytest.approx(centre + down + right, rel=1e-4)
    assert means["top right"] == pytest.approx(centre - down + right, rel=1e-4)
    assert means["bottom left"] == pytest.approx(centre + down - right, rel=1e-4)
    for name in ("centre", "top left"):
        assert torch.equal(shown[f"{name} flipped"], shown[name].flip(-1))
    assert all(view.shape == faces.shape for view in shown.values())


def test_every_view_is_another_look_at_the_face() -> None:
    views = ("plain", "flip", "ten_crop")
    assert answers(views=views).shape == (23, 12, 2)
    shown = inference.make_views(torch.from_numpy(FACES).float(), views)
    assert len({view.numpy().tobytes() for view in shown.values()}) == 12


def test_the_batch_size_changes_nothing() -> None:
    for batch in (1, 7, 100):
        np.testing.assert_array_equal(answers(batch=batch), answers())


def test_channels_last_and_few_faces_at_once_change_nothing() -> None:
    facts = weights.ModelConfig(network="improved_se", emotions=("a", "b"), size=16, dropout=0.0, input_px=None)
    network = weights.build_model(facts).eval()
    faces = torch.from_numpy(FACES).repeat(3, 1, 1)  # more than a processor takes at once
    with torch.inference_mode():
        wanted = network(normalize_faces(faces.float() / 255))
        found = inference.predict_batch(inference.to_device(network, torch.device("cpu")), faces, ["plain"], "fp32")[
            :, 0
        ]
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_no_faces_have_no_answers() -> None:
    assert answers(FACES[:0]).shape == (0, 2, 2)


def test_a_device_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_DEVICE", "cpu")
    assert inference.default_device() == torch.device("cpu")
    for wanted in ("gpu", "cuda:77"):
        monkeypatch.setenv("FER_DEVICE", wanted)
        with pytest.raises(InputError, match=f"FER_DEVICE is '{wanted}', which this machine can't use; try cpu"):
            inference.default_device()


@pytest.mark.parametrize(
    ("flags", "fast"), [("fpu avx2", False), ("fpu avx512_bf16", True), ("amx_bf16", True), (None, True)]
)
def test_the_processor_is_asked_for_its_instructions(tmp_path: Path, flags: str | None, fast: bool) -> None:
    if flags is not None:
        (tmp_path / "cpuinfo").write_text(f"flags : {flags} x\n")
    assert inference.supports_bf16(tmp_path / "cpuinfo") is fast


def test_slow_bf16_is_told_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(inference, "supports_bf16", lambda about: False)
    inference.warn_if_bf16_is_slow.cache_clear()
    for precision in ("fp32", "bf16", "bf16"):
        with inference.autocast(torch.device("cpu"), precision):
            pass
    inference.warn_if_bf16_is_slow.cache_clear()
    assert capsys.readouterr().err == f"warning: {inference.SLOW_BF16_WARNING}\n"


def test_bf16_is_used_where_asked_for() -> None:
    with inference.autocast(torch.device("cpu"), "bf16"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
    with inference.autocast(torch.device("cpu"), "fp32"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
