"""Landmarks, the distances between them, their drawing, and the command `fer landmarks`."""

import argparse
import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fer import cli
from fer.cli.landmarks import add_to
from fer.data.synthetic.portraits import draw_portrait
from fer.runtime.errors import InputError
from fer.serving import landmarks
from fer.serving.landmarks import DISTANCE_NAMES, MODEL_INPUT_PX, draw_landmarks, find_landmarks, measure_distances

INSTALLED = all(importlib.util.find_spec(name) for name in ("dlib", "face_recognition_models"))
MIRRORED_POINTS = [
    *range(16, -1, -1),
    *range(26, 16, -1),
    *(27, 28, 29, 30, 35, 34, 33, 32, 31),
    *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
    *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),
    *(64, 63, 62, 61, 60, 67, 66, 65),
]
MIRRORED_DISTANCES = [0, 1, 2, 4, 3, 6, 5, 7]


def make_landmarks(
    mouth: float = 0.8,
    gap: float = 0.1,
    rises: tuple[float, float] = (0.0, 0.0),
    openings: tuple[float, float] = (0.1, 0.1),
    brows: float = 0.4,
) -> np.ndarray:
    """Return landmarks around (0, 0) with an eye distance of 1."""
    angle = np.linspace(np.pi, 0, 17)
    jaw = np.stack([1.1 * np.cos(angle), 1.6 * np.sin(angle)], axis=1)
    x_brow = np.linspace(0, 0.6, 5)
    right_brow = np.stack([brows / 2 + x_brow, -0.3 - x_brow * (0.6 - x_brow)], axis=1)
    left_brow = (right_brow * (-1, 1))[::-1]
    ridge = [(0, y) for y in (0.0, 0.15, 0.3, 0.45)]
    base = [(x, 0.5) for x in (-0.2, -0.1, 0, 0.1, 0.2)]
    eyes = [
        (side / 2 + x, half * opening)
        for side, opening in zip((-1, 1), openings, strict=True)
        for x, half in ((-0.2, 0), (-0.1, -0.5), (0.1, -0.5), (0.2, 0), (0.1, 0.5), (-0.1, 0.5))
    ]
    left_corner, right_corner = (-mouth / 2, 0.9 - rises[0]), (mouth / 2, 0.9 - rises[1])
    fifths = np.array([-0.3, -0.15, 0, 0.15, 0.3]) * mouth
    upper, lower = [(x, 0.8 - gap / 2) for x in fifths], [(x, 1.0 + gap / 2) for x in fifths[::-1]]
    inner = [(x, 0.9 - gap / 2) for x in fifths[1:4]], [(x, 0.9 + gap / 2) for x in fifths[3:0:-1]]
    lips = [left_corner, *upper, right_corner, *lower, left_corner, *inner[0], right_corner, *inner[1]]
    return np.array([*jaw, *left_brow, *right_brow, *ridge, *base, *eyes, *lips])


FACE = make_landmarks()


def measure_face(**changes: Any) -> dict[str, float]:
    return dict(zip(DISTANCE_NAMES, measure_distances(make_landmarks(**changes)), strict=True))


def changed_distances(**changes: Any) -> set[str]:
    original, changed = measure_face(), measure_face(**changes)
    return {name for name in DISTANCE_NAMES if not np.isclose(original[name], changed[name])}


def scale_to_image(size: int, x: float = 0, y: float = 0) -> np.ndarray:
    """Return the landmarks of the face in pixels of an image, shifted by `x` and `y`."""
    return FACE * size / 4 + (size / 2 + x, 0.4 * size + y)


def test_distances_have_the_values_that_their_names_say() -> None:
    distances = measure_face(mouth=0.9, gap=0.2, openings=(0.1, 0.3), brows=0.5, rises=(0.45, -0.45))
    chin = np.hypot(*(FACE[6] - FACE[10]))
    expected = [chin / np.hypot(0.9, 0.9), np.hypot(0.9, 0.9), 0.2, np.pi / 4, -np.pi / 4, 0.1, 0.3, 0.5]
    assert list(distances.values()) == pytest.approx(expected)


def test_level_mouth_has_zero_angles_for_any_gap() -> None:
    for gap in (0.0, 0.1, 0.5):
        distances = measure_face(gap=gap)
        assert distances["left_mouth_angle"] == pytest.approx(0)
        assert distances["right_mouth_angle"] == pytest.approx(0)


def test_each_movement_changes_only_its_own_distances() -> None:
    assert changed_distances(mouth=0.9) == {"mouth_width", "chin_over_mouth"}
    assert changed_distances(gap=0.3) == {"lip_gap"}
    assert changed_distances(openings=(0.2, 0.1)) == {"left_eye_opening"}
    assert changed_distances(openings=(0.1, 0.2)) == {"right_eye_opening"}
    assert changed_distances(brows=0.3) == {"brow_distance"}
    assert changed_distances(rises=(0.0, 0.1)) == {"right_mouth_angle", "mouth_width", "chin_over_mouth"}


def test_mouth_width_and_angle_have_the_right_sign() -> None:
    assert measure_face(mouth=1.0)["mouth_width"] > measure_face()["mouth_width"]
    assert measure_face(mouth=1.0)["chin_over_mouth"] < measure_face()["chin_over_mouth"]
    assert measure_face(rises=(0.1, 0.1))["left_mouth_angle"] > 0 > measure_face(rises=(-0.1, 0))["left_mouth_angle"]


ASYMMETRIC_FACE = make_landmarks(gap=0.2, rises=(0.2, -0.1), openings=(0.1, 0.2)) + np.random.default_rng(0).normal(
    0, 0.02, (68, 2)
)


@given(
    scale=st.floats(0.1, 1000),
    angle=st.floats(-np.pi, np.pi),
    shift=st.tuples(st.floats(-1000, 1000), st.floats(-1000, 1000)),
)
def test_distances_are_invariant_to_position_size_and_tilt(
    scale: float, angle: float, shift: tuple[float, float]
) -> None:
    rotated = ASYMMETRIC_FACE @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    np.testing.assert_allclose(
        measure_distances(scale * rotated + shift), measure_distances(ASYMMETRIC_FACE), atol=1e-6
    )


def test_mirrored_face_has_mirrored_distances() -> None:
    mirrored = (ASYMMETRIC_FACE * (-1, 1))[MIRRORED_POINTS]
    np.testing.assert_allclose(measure_distances(mirrored), measure_distances(ASYMMETRIC_FACE)[MIRRORED_DISTANCES])


@pytest.mark.parametrize("size", [48, 64, 240])
def test_drawing_is_white_along_the_lines_and_black_elsewhere(size: int) -> None:
    face = scale_to_image(size)
    image = draw_landmarks(face, size)
    assert image.shape == (size, size)
    assert image.dtype == np.uint8
    for x, y in face[[*range(17), 27, 30, 36, 45, 48, 54]].round().astype(int):
        assert image[y, x] > 90
    cheek = scale_to_image(size)[[39, 14]].mean(axis=0).round().astype(int)
    assert image[tuple(cheek[::-1])] == 0
    assert image[0].max() == 0
    assert 0.03 < (image > 0).mean() < 0.5
    assert ((image > 0) & (image < 255)).any()


def test_drawing_moves_with_the_points_and_is_clipped() -> None:
    original, shifted = draw_landmarks(scale_to_image(48), 48), draw_landmarks(scale_to_image(48, x=5, y=3), 48)
    np.testing.assert_array_equal(original[:-3, :-5], shifted[3:, 5:])
    assert draw_landmarks(scale_to_image(48) + 1000, 48).max() == 0


def test_eyes_and_lips_are_closed_and_brows_are_open() -> None:
    face = scale_to_image(240)
    image = draw_landmarks(face, 240)
    for a, b in ((36, 41), (42, 47), (48, 59), (60, 67)):
        x, y = ((face[a] + face[b]) / 2).round().astype(int)
        assert image[y, x] > 200
    for a, b in ((21, 22), (17, 21), (22, 26)):
        x, y = ((face[a] + face[b]) / 2).round().astype(int)
        assert image[y, x] == 0


FakeModel = Callable[[np.ndarray, Any], np.ndarray]


@pytest.fixture
def replace_model(monkeypatch: pytest.MonkeyPatch) -> Callable[[FakeModel], list[tuple[int, int, int, int]]]:
    """Return a function that replaces the model by a function and returns the list of the boxes that it receives."""

    def replace(fit: FakeModel) -> list[tuple[int, int, int, int]]:
        boxes: list[tuple[int, int, int, int]] = []

        def predictor(image: np.ndarray, box: tuple[int, int, int, int]) -> SimpleNamespace:
            boxes.append(box)
            points = fit(image, box)
            return SimpleNamespace(parts=lambda: [SimpleNamespace(x=x, y=y) for x, y in points])

        dlib = SimpleNamespace(rectangle=lambda *sides: sides)
        monkeypatch.setattr(landmarks, "_load_model", lambda: (dlib, predictor))
        return boxes

    return replace


def find_brightest(image: np.ndarray, box: Any) -> np.ndarray:
    y, x = np.unravel_index(image.argmax(), image.shape)
    return np.tile((x, y), (68, 1))


@pytest.mark.parametrize("shape", [(48, 48), (240, 240), (48, 60), (60, 48), (960, 960)])
def test_points_are_in_pixels_of_the_input_face(replace_model: Any, shape: tuple[int, int]) -> None:
    replace_model(find_brightest)
    face = np.zeros(shape, dtype=np.uint8)
    width = max(1, min(shape) // 48)
    face[30 * width : 31 * width, 20 * width : 21 * width] = 255
    middle = np.array([20, 30]) * width + (width - 1) / 2
    np.testing.assert_allclose(find_landmarks(face), np.tile(middle, (68, 1)), atol=0.5 * width)


def test_second_fit_uses_boxes_around_the_first_points(replace_model: Any) -> None:
    for zoom, shift in ((1.0, 0), (0.8, 20), (1.2, -15)):
        boxes = replace_model(lambda image, box, zoom=zoom, shift=shift: scale_to_image(MODEL_INPUT_PX) * zoom + shift)
        find_landmarks(np.zeros((48, 48), dtype=np.uint8))
        first, *refined = (np.reshape(box, (2, 2)) for box in boxes)
        assert first.tolist() == [[19, 24], [220, 225]]
        inner = scale_to_image(MODEL_INPUT_PX)[17:] * zoom + shift
        assert len(refined) == 5
        np.testing.assert_allclose(np.mean(refined, axis=(0, 1)), inner.mean(axis=0) - 0.5, atol=0.6)
        sides = np.diff(refined, axis=1).ravel() + 1
        np.testing.assert_allclose(sides, 3.2 * np.hypot(*inner.std(axis=0)), atol=1.1)


def test_one_failed_fit_does_not_change_the_result(replace_model: Any) -> None:
    for failed in range(1, 6):
        calls: list[int] = []

        def fit(image: np.ndarray, box: Any, failed: int = failed, calls: list[int] = calls) -> np.ndarray:
            calls.append(1)
            return np.zeros((68, 2)) if len(calls) == failed + 1 else scale_to_image(MODEL_INPUT_PX)

        replace_model(fit)
        np.testing.assert_allclose(
            find_landmarks(np.zeros((MODEL_INPUT_PX, MODEL_INPUT_PX), dtype=np.uint8)), scale_to_image(MODEL_INPUT_PX)
        )


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a folder at the front of the module path, with stand-ins for the packages of the extra."""
    (tmp_path / "dlib.py").write_text(
        "from pathlib import Path\n"
        "class rectangle:\n"
        "    def __init__(self, *sides): self.sides = sides\n"
        "class point: x, y = 120, 60\n"
        "class shape:\n"
        "    def parts(self): return [point] * 68\n"
        "def shape_predictor(file):\n"
        "    assert Path(file).read_text() == 'trees'\n"
        "    return lambda picture, box: shape()\n"
    )
    package = tmp_path / "face_recognition_models"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("import pkg_resources_that_is_gone")
    (package / "models" / "shape_predictor_68_face_landmarks.dat").write_text("trees")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("dlib", "face_recognition_models"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    landmarks._load_model.cache_clear()
    yield tmp_path
    landmarks._load_model.cache_clear()
    sys.modules.pop("dlib", None)


def test_model_file_is_found_without_importing_its_package(modules: Path) -> None:
    points = find_landmarks(np.zeros((48, 48), dtype=np.uint8))
    np.testing.assert_allclose(points, np.tile((23.6, 11.6), (68, 1)))


@pytest.mark.parametrize("missing", ["dlib", "face_recognition_models"])
def test_missing_extra_is_reported(modules: Path, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(InputError, match=r"run pip install 'fer-pseudo-labels\[landmarks\]'"):
        find_landmarks(np.zeros((48, 48), dtype=np.uint8))


def test_real_model_distinguishes_drawn_smiles_from_surprise() -> None:
    """Without the extra only its error message can be tested."""

    def median_distances(emotion: str) -> np.ndarray:
        faces = [
            draw_portrait(emotion, 1.0, np.random.default_rng(seed)).convert("L").resize((48, 48)) for seed in range(15)
        ]
        return np.median([measure_distances(find_landmarks(np.asarray(face))) for face in faces], axis=0)

    if not INSTALLED:
        with pytest.raises(InputError, match="need an extra"):
            median_distances("happy")
        return
    happy, surprised = (
        dict(zip(DISTANCE_NAMES, median_distances(emotion), strict=True)) for emotion in ("happy", "surprise")
    )
    assert happy["mouth_width"] > surprised["mouth_width"] + 0.1
    assert happy["left_mouth_angle"] > surprised["left_mouth_angle"] + 0.1
    assert happy["right_mouth_angle"] > surprised["right_mouth_angle"] + 0.1
    assert happy["left_eye_opening"] < surprised["left_eye_opening"]


@pytest.fixture
def run_command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return the command with fake landmarks that lie further right on brighter faces."""

    def brightness_landmarks(face: np.ndarray) -> np.ndarray:
        return scale_to_image(len(face), x=face.mean() / 255 * len(face) / 4)

    monkeypatch.setattr(landmarks, "find_landmarks", brightness_landmarks)

    def run(*arguments: Any) -> None:
        parser = argparse.ArgumentParser()
        add_to(parser.add_subparsers())
        args = parser.parse_args(["landmarks", *map(str, arguments)])
        args.call(args)

    return run


def save_image(path: Path, grey: int, size: int = 50) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (size, size), grey).save(path)
    return path


def test_every_image_has_a_row_in_order_also_if_unreadable(
    run_command: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_image(Path("faces/b.png"), 255)
    save_image(Path("faces/a.png"), 0)
    Path("faces/c.txt").write_text("hello")
    save_image(Path("=1.png"), 0)
    run_command("faces", "=1.png", "-o", "out/features.csv")
    table = pd.read_csv("out/features.csv")
    assert table["source"].tolist() == ["faces/a.png", "faces/b.png", "faces/c.txt", "'=1.png"]
    assert table["status"].tolist() == ["ok", "ok", "not a picture", "ok"]
    coordinates = [f"{axis}_{k}" for k in range(68) for axis in "xy"]
    assert table.columns.tolist() == ["source", "status", *DISTANCE_NAMES, *coordinates]
    assert table.loc[2, DISTANCE_NAMES[0] :].isna().all()
    readable = table.drop(index=2)
    np.testing.assert_allclose(readable[list(DISTANCE_NAMES)], np.tile(measure_distances(FACE), (3, 1)), atol=2e-6)
    np.testing.assert_allclose(readable["x_1"] - readable["x_0"], (FACE[1, 0] - FACE[0, 0]) / 4, atol=2e-6)
    np.testing.assert_allclose(
        table["x_8"],
        [0.5 + 0.5 / MODEL_INPUT_PX, 0.75 + 0.5 / MODEL_INPUT_PX, np.nan, 0.5 + 0.5 / MODEL_INPUT_PX],
        atol=2e-6,
    )


def test_face_arrays_keep_their_order_and_have_relative_coordinates(
    run_command: Callable[..., None], tmp_path: Path
) -> None:
    for size in (48, 64):
        faces = np.stack([np.full((size, size), grey, dtype=np.uint8) for grey in (255, 0, 51)])
        np.save(tmp_path / "faces.npy", faces)
        run_command(tmp_path / "faces.npy", "-o", tmp_path / "features.csv")
        table = pd.read_csv(tmp_path / "features.csv")
        assert table["source"].tolist() == [f"{tmp_path / 'faces.npy'}#{row}" for row in range(3)]
        np.testing.assert_allclose(table["x_8"], np.array([0.75, 0.5, 0.55]) + 0.5 / size, atol=2e-6)


def test_drawings_are_named_by_their_row(run_command: Callable[..., None], tmp_path: Path) -> None:
    faces = np.zeros((2, 48, 48), dtype=np.uint8)
    np.save(tmp_path / "faces.npy", faces)
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(b"")
    run_command(damaged, tmp_path / "faces.npy", "-o", tmp_path / "features.csv", "--draw", tmp_path / "deep/drawn")
    assert sorted(path.name for path in (tmp_path / "deep/drawn").iterdir()) == ["000001.png", "000002.png"]
    np.testing.assert_array_equal(
        np.asarray(Image.open(tmp_path / "deep/drawn/000001.png")), draw_landmarks(scale_to_image(48), 48)
    )


def test_damaged_face_array_fails_before_anything_is_written(run_command: Callable[..., None], tmp_path: Path) -> None:
    (tmp_path / "faces.npy").write_bytes(b"nothing")
    with pytest.raises(InputError, match="not an array"):
        run_command(
            save_image(tmp_path / "a.png", 0),
            tmp_path / "faces.npy",
            "-o",
            tmp_path / "f.csv",
            "--draw",
            tmp_path / "d",
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "faces.npy"]


def test_command_is_registered(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["fer", "landmarks", "--help"])
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    assert "--draw" in capsys.readouterr().out
