"""Landmarks: measures and drawings of known points, and the model's part done by a stub where it is not installed."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fer import cli, landmarks
from fer.errors import InputError
from fer.landmarks import DISTANCES, distances, drawn, points


def level_face() -> np.ndarray:
    """A symmetric face: eyes at (16, 20) and (32, 20), 16 apart, the mouth from 18 to 30 at 36, its lips 4 apart."""
    face = np.zeros((68, 2))
    angle = np.linspace(np.pi, 0, 17)
    face[:17] = np.stack([24 + 18 * np.cos(angle), 22 + 22 * np.sin(angle)], axis=1)
    face[17:22] = np.stack([np.linspace(10, 21, 5), np.full(5, 14)], axis=1)
    face[22:27] = np.stack([np.linspace(27, 38, 5), np.full(5, 14)], axis=1)
    face[27:31] = np.stack([np.full(4, 24), np.linspace(20, 28, 4)], axis=1)
    face[31:36] = np.stack([np.linspace(20, 28, 5), np.full(5, 30)], axis=1)
    eye = np.array([(-3, 0), (-1, -1), (1, -1), (3, 0), (1, 1), (-1, 1)])
    face[36:42], face[42:48] = np.add(eye, (16, 20)), np.add(eye, (32, 20))
    outer = [(-6, 0), (-4, -2), (-2, -3), (0, -3), (2, -3), (4, -2), (6, 0), (4, 3), (2, 4), (0, 4), (-2, 4), (-4, 3)]
    inner = [(-5, 0), (-2, -2), (0, -2), (2, -2), (5, 0), (2, 2), (0, 2), (-2, 2)]
    face[48:60], face[60:68] = np.add(outer, (24, 36)), np.add(inner, (24, 36))
    return face


def measured(face: np.ndarray) -> dict[str, float]:
    return dict(zip(DISTANCES, distances(face).tolist(), strict=True))


def test_there_are_eight_and_a_level_face_has_these() -> None:
    face = level_face()
    found = measured(face)
    assert len(found) == 8
    assert found["mouth_width"] == pytest.approx(12 / 16)
    assert found["lip_gap"] == pytest.approx(4 / 16)
    assert found["left_mouth_angle"] == pytest.approx(0)
    assert found["right_mouth_angle"] == pytest.approx(0)
    assert found["left_eye_opening"] == found["right_eye_opening"] == pytest.approx(2 / 16)
    assert found["brow_distance"] == pytest.approx(6 / 16)
    assert found["chin_over_mouth"] == pytest.approx(np.hypot(*(face[10] - face[6])) / 12)


@given(st.floats(0.1, 10), st.floats(-np.pi, np.pi), st.floats(-100, 100), st.floats(-100, 100))
def test_neither_size_nor_tilt_nor_place_matters(scale: float, tilt: float, x: float, y: float) -> None:
    turn = scale * np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]])
    assert distances(level_face() @ turn + (x, y)) == pytest.approx(distances(level_face()), abs=1e-6)


def test_a_smile_lifts_both_corners_and_a_wide_mouth_is_wider() -> None:
    smile = level_face()
    smile[[48, 54], 1] -= 3
    found = measured(smile)
    assert found["left_mouth_angle"] == pytest.approx(found["right_mouth_angle"])
    assert found["left_mouth_angle"] == pytest.approx(np.arctan2(3, 6))
    wide = level_face()
    wide[[48, 54], 0] += (-3, 3)
    assert measured(wide)["mouth_width"] > measured(level_face())["mouth_width"]
    one_sided = level_face()
    one_sided[54, 1] -= 3
    assert measured(one_sided)["right_mouth_angle"] > 0
    assert measured(one_sided)["left_mouth_angle"] == pytest.approx(0)


def test_the_drawing_is_white_where_the_lines_are_and_black_elsewhere() -> None:
    picture = drawn(level_face(), 48)
    assert picture.shape == (48, 48)
    assert picture[14, 10:22].min() > 100  # a brow
    assert picture[20:28, 24].min() > 100  # the ridge of the nose
    assert picture[:10].max() == 0
    assert (picture == picture[:, ::-1]).mean() > 0.8
    assert drawn(level_face() * 2, 96).mean() == pytest.approx(picture.mean(), rel=0.2)


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int, int]]:
    """A model that finds the level face in whatever box it is given; returns the boxes."""
    boxes = []

    def predictor(picture: np.ndarray, box: tuple[int, int, int, int]) -> SimpleNamespace:
        boxes.append(box)
        face = level_face() / 48 * landmarks.SIDE
        return SimpleNamespace(parts=lambda: [SimpleNamespace(x=x, y=y) for x, y in face])

    monkeypatch.setattr(landmarks, "_model", lambda: (SimpleNamespace(rectangle=lambda *box: box), predictor))
    return boxes


@pytest.mark.parametrize("shape", [(48, 48), (240, 240), (100, 60)])
def test_points_are_in_pixels_of_the_face_that_was_given(stub: list, shape: tuple[int, int]) -> None:
    found = points(np.zeros(shape, dtype=np.uint8))
    side = min(shape)
    offset = np.array([(shape[1] - side) // 2, (shape[0] - side) // 2])
    assert found == pytest.approx(level_face() * side / 48 + offset, abs=side / 48)
    assert all(0 <= left < right <= landmarks.SIDE for left, _, right, _ in stub[:1])


def test_the_command_writes_a_row_for_each_picture_and_face(
    stub: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(np.zeros((60, 60), dtype=np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("text")
    np.save(tmp_path / "faces.npy", np.zeros((2, 48, 48), dtype=np.uint8))
    inputs = [str(tmp_path / name) for name in ("a.png", "b.png", "faces.npy")]
    out, folder = tmp_path / "features.csv", tmp_path / "drawn"
    monkeypatch.setattr(sys, "argv", ["fer", "landmarks", *inputs, "-o", str(out), "--draw", str(folder)])
    cli.main()
    table = pd.read_csv(out)
    assert table["status"].tolist() == ["ok", "not a picture", "ok", "ok"]
    assert table["source"].str.endswith(("a.png", "b.png", "#0", "#1")).all()
    assert list(table.columns[2:10]) == list(DISTANCES)
    assert len(table.columns) == 2 + 8 + 136
    assert table.loc[[0, 2, 3], "mouth_width"].tolist() == pytest.approx([0.75] * 3, abs=1e-3)
    assert table.loc[1, list(DISTANCES)].isna().all()
    assert len(list(folder.iterdir())) == 3


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landmarks.importlib.util, "find_spec", lambda name: None)
    landmarks._model.cache_clear()
    with pytest.raises(InputError, match=r"pip install 'fer-pseudo-labels\[landmarks\]'"):
        points(np.zeros((48, 48), dtype=np.uint8))
