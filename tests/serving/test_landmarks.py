"""Landmarks: where they lie on the face, what is measured between them, how they are drawn, and the command."""

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
MIRRORED = [
    *range(16, -1, -1),
    *range(26, 16, -1),
    *(27, 28, 29, 30, 35, 34, 33, 32, 31),
    *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
    *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),
    *(64, 63, 62, 61, 60, 67, 66, 65),
]
OTHER_SIDE = [0, 1, 2, 4, 3, 6, 5, 7]


def a_face(
    mouth: float = 0.8,
    gap: float = 0.1,
    rises: tuple[float, float] = (0.0, 0.0),
    openings: tuple[float, float] = (0.1, 0.1),
    brows: float = 0.4,
) -> np.ndarray:
    """Landmarks around (0, 0), with the eyes 1 apart."""
    angle = np.linspace(np.pi, 0, 17)
    jaw = np.stack([1.1 * np.cos(angle), 1.6 * np.sin(angle)], axis=1)
    across = np.linspace(0, 0.6, 5)
    right_brow = np.stack([brows / 2 + across, -0.3 - across * (0.6 - across)], axis=1)
    left_brow = (right_brow * (-1, 1))[::-1]
    ridge = [(0, y) for y in (0.0, 0.15, 0.3, 0.45)]
    base = [(x, 0.5) for x in (-0.2, -0.1, 0, 0.1, 0.2)]
    eyes = [
        (side / 2 + x, half * opening)
        for side, opening in zip((-1, 1), openings, strict=True)
        for x, half in ((-0.2, 0), (-0.1, -0.5), (0.1, -0.5), (0.2, 0), (0.1, 0.5), (-0.1, 0.5))
    ]
    left, right = (-mouth / 2, 0.9 - rises[0]), (mouth / 2, 0.9 - rises[1])
    fifths = np.array([-0.3, -0.15, 0, 0.15, 0.3]) * mouth
    upper, lower = [(x, 0.8 - gap / 2) for x in fifths], [(x, 1.0 + gap / 2) for x in fifths[::-1]]
    inner = [(x, 0.9 - gap / 2) for x in fifths[1:4]], [(x, 0.9 + gap / 2) for x in fifths[3:0:-1]]
    lips = [left, *upper, right, *lower, left, *inner[0], right, *inner[1]]
    return np.array([*jaw, *left_brow, *right_brow, *ridge, *base, *eyes, *lips])


FACE = a_face()


def measured(**changes: Any) -> dict[str, float]:
    return dict(zip(DISTANCE_NAMES, measure_distances(a_face(**changes)), strict=True))


def changed_by(**changes: Any) -> set[str]:
    before, after = measured(), measured(**changes)
    return {name for name in DISTANCE_NAMES if not np.isclose(before[name], after[name])}


def on(size: int, right: float = 0, down: float = 0) -> np.ndarray:
    """The face in the pixels of a picture."""
    return FACE * size / 4 + (size / 2 + right, 0.4 * size + down)


def test_there_are_eight_distances_and_each_is_what_its_name_says() -> None:
    found = measured(mouth=0.9, gap=0.2, openings=(0.1, 0.3), brows=0.5, rises=(0.45, -0.45))
    chin = np.hypot(*(FACE[6] - FACE[10]))
    expected = [chin / np.hypot(0.9, 0.9), np.hypot(0.9, 0.9), 0.2, np.pi / 4, -np.pi / 4, 0.1, 0.3, 0.5]
    assert list(found.values()) == pytest.approx(expected)


def test_a_level_mouth_has_angles_of_zero_however_far_it_is_open() -> None:
    for gap in (0.0, 0.1, 0.5):
        found = measured(gap=gap)
        assert found["left_mouth_angle"] == pytest.approx(0)
        assert found["right_mouth_angle"] == pytest.approx(0)


def test_what_does_not_move_is_not_measured_as_moved() -> None:
    assert changed_by(mouth=0.9) == {"mouth_width", "chin_over_mouth"}
    assert changed_by(gap=0.3) == {"lip_gap"}
    assert changed_by(openings=(0.2, 0.1)) == {"left_eye_opening"}
    assert changed_by(openings=(0.1, 0.2)) == {"right_eye_opening"}
    assert changed_by(brows=0.3) == {"brow_distance"}
    assert changed_by(rises=(0.0, 0.1)) == {"right_mouth_angle", "mouth_width", "chin_over_mouth"}


def test_a_wider_mouth_is_wider_and_a_smile_rises() -> None:
    assert measured(mouth=1.0)["mouth_width"] > measured()["mouth_width"]
    assert measured(mouth=1.0)["chin_over_mouth"] < measured()["chin_over_mouth"]
    assert measured(rises=(0.1, 0.1))["left_mouth_angle"] > 0 > measured(rises=(-0.1, 0))["left_mouth_angle"]


UNEVEN = a_face(gap=0.2, rises=(0.2, -0.1), openings=(0.1, 0.2)) + np.random.default_rng(0).normal(0, 0.02, (68, 2))


@given(
    scale=st.floats(0.1, 1000),
    turn=st.floats(-np.pi, np.pi),
    shift=st.tuples(st.floats(-1000, 1000), st.floats(-1000, 1000)),
)
def test_place_size_and_tilt_of_the_face_change_nothing(scale: float, turn: float, shift: tuple[float, float]) -> None:
    turned = UNEVEN @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    np.testing.assert_allclose(measure_distances(scale * turned + shift), measure_distances(UNEVEN), atol=1e-6)


def test_in_a_mirror_the_sides_change_places_and_nothing_else() -> None:
    mirrored = (UNEVEN * (-1, 1))[MIRRORED]
    np.testing.assert_allclose(measure_distances(mirrored), measure_distances(UNEVEN)[OTHER_SIDE])


@pytest.mark.parametrize("size", [48, 64, 240])
def test_a_drawing_is_white_along_the_lines_and_black_elsewhere(size: int) -> None:
    face = on(size)
    picture = draw_landmarks(face, size)
    assert picture.shape == (size, size)
    assert picture.dtype == np.uint8
    for x, y in face[[*range(17), 27, 30, 36, 45, 48, 54]].round().astype(int):
        assert picture[y, x] > 90
    between_the_eyes_and_the_jaw = on(size)[[39, 14]].mean(axis=0).round().astype(int)
    assert picture[tuple(between_the_eyes_and_the_jaw[::-1])] == 0
    assert picture[0].max() == 0
    assert 0.03 < (picture > 0).mean() < 0.5
    assert ((picture > 0) & (picture < 255)).any()


def test_what_is_drawn_moves_with_the_points_and_is_cut_at_the_border() -> None:
    here, there = draw_landmarks(on(48), 48), draw_landmarks(on(48, right=5, down=3), 48)
    np.testing.assert_array_equal(here[:-3, :-5], there[3:, 5:])
    assert draw_landmarks(on(48) + 1000, 48).max() == 0


def test_eyes_and_lips_are_closed_and_brows_are_not_joined() -> None:
    face = on(240)
    picture = draw_landmarks(face, 240)
    for a, b in ((36, 41), (42, 47), (48, 59), (60, 67)):
        x, y = ((face[a] + face[b]) / 2).round().astype(int)
        assert picture[y, x] > 200
    for a, b in ((21, 22), (17, 21), (22, 26)):
        x, y = ((face[a] + face[b]) / 2).round().astype(int)
        assert picture[y, x] == 0


Look = Callable[[np.ndarray, Any], np.ndarray]


@pytest.fixture
def model_that(monkeypatch: pytest.MonkeyPatch) -> Callable[[Look], list[tuple[int, int, int, int]]]:
    """Put a function in the place of the model; the boxes that it is asked about are collected."""

    def put(look: Look) -> list[tuple[int, int, int, int]]:
        boxes: list[tuple[int, int, int, int]] = []

        def predictor(picture: np.ndarray, box: tuple[int, int, int, int]) -> SimpleNamespace:
            boxes.append(box)
            found = look(picture, box)
            return SimpleNamespace(parts=lambda: [SimpleNamespace(x=x, y=y) for x, y in found])

        dlib = SimpleNamespace(rectangle=lambda *sides: sides)
        monkeypatch.setattr(landmarks, "_load_model", lambda: (dlib, predictor))
        return boxes

    return put


def brightest(picture: np.ndarray, box: Any) -> np.ndarray:
    y, x = np.unravel_index(picture.argmax(), picture.shape)
    return np.tile((x, y), (68, 1))


@pytest.mark.parametrize("shape", [(48, 48), (240, 240), (48, 60), (60, 48), (960, 960)])
def test_points_are_in_pixels_of_the_face_that_was_given(model_that: Any, shape: tuple[int, int]) -> None:
    model_that(brightest)
    face = np.zeros(shape, dtype=np.uint8)
    thick = max(1, min(shape) // 48)
    face[30 * thick : 31 * thick, 20 * thick : 21 * thick] = 255
    middle = np.array([20, 30]) * thick + (thick - 1) / 2
    np.testing.assert_allclose(find_landmarks(face), np.tile(middle, (68, 1)), atol=0.5 * thick)


def test_the_second_look_is_where_the_first_found_the_face(model_that: Any) -> None:
    for zoom, shift in ((1.0, 0), (0.8, 20), (1.2, -15)):
        boxes = model_that(lambda picture, box, zoom=zoom, shift=shift: on(MODEL_INPUT_PX) * zoom + shift)
        find_landmarks(np.zeros((48, 48), dtype=np.uint8))
        first, *others = (np.reshape(box, (2, 2)) for box in boxes)
        assert first.tolist() == [[19, 24], [220, 225]]
        inner = on(MODEL_INPUT_PX)[17:] * zoom + shift
        assert len(others) == 5
        np.testing.assert_allclose(np.mean(others, axis=(0, 1)), inner.mean(axis=0) - 0.5, atol=0.6)
        sides = np.diff(others, axis=1).ravel() + 1
        np.testing.assert_allclose(sides, 3.2 * np.hypot(*inner.std(axis=0)), atol=1.1)


def test_one_bad_look_does_no_harm(model_that: Any) -> None:
    for wrong in range(1, 6):
        calls: list[int] = []

        def look(picture: np.ndarray, box: Any, wrong: int = wrong, calls: list[int] = calls) -> np.ndarray:
            calls.append(1)
            return np.zeros((68, 2)) if len(calls) == wrong + 1 else on(MODEL_INPUT_PX)

        model_that(look)
        np.testing.assert_allclose(
            find_landmarks(np.zeros((MODEL_INPUT_PX, MODEL_INPUT_PX), dtype=np.uint8)), on(MODEL_INPUT_PX)
        )


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of modules that come first, with stand-ins for those of the extra."""
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


def test_the_models_file_is_found_without_importing_its_package(modules: Path) -> None:
    found = find_landmarks(np.zeros((48, 48), dtype=np.uint8))
    np.testing.assert_allclose(found, np.tile((23.6, 11.6), (68, 1)))


@pytest.mark.parametrize("missing", ["dlib", "face_recognition_models"])
def test_without_the_extra_the_message_says_what_to_install(
    modules: Path, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(InputError, match=r"pip install 'fer-pseudo-labels\[landmarks\]'"):
        find_landmarks(np.zeros((48, 48), dtype=np.uint8))


def test_the_real_model_tells_drawn_smiles_from_drawn_surprise_where_it_is_installed() -> None:
    """Without the extra it can only be tested that it says so."""

    def shown(emotion: str) -> np.ndarray:
        faces = [
            draw_portrait(emotion, 1.0, np.random.default_rng(seed)).convert("L").resize((48, 48)) for seed in range(15)
        ]
        return np.median([measure_distances(find_landmarks(np.asarray(face))) for face in faces], axis=0)

    if not INSTALLED:
        with pytest.raises(InputError, match="need an extra"):
            shown("happy")
        return
    happy, surprised = (dict(zip(DISTANCE_NAMES, shown(emotion), strict=True)) for emotion in ("happy", "surprise"))
    assert happy["mouth_width"] > surprised["mouth_width"] + 0.1
    assert happy["left_mouth_angle"] > surprised["left_mouth_angle"] + 0.1
    assert happy["right_mouth_angle"] > surprised["right_mouth_angle"] + 0.1
    assert happy["left_eye_opening"] < surprised["left_eye_opening"]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """The command, with points that lie further right on brighter faces."""

    def shifted(face: np.ndarray) -> np.ndarray:
        return on(len(face), right=face.mean() / 255 * len(face) / 4)

    monkeypatch.setattr(landmarks, "find_landmarks", shifted)

    def call(*words: Any) -> None:
        parser = argparse.ArgumentParser()
        add_to(parser.add_subparsers())
        args = parser.parse_args(["landmarks", *map(str, words)])
        args.call(args)

    return call


def save(path: Path, grey: int, size: int = 50) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (size, size), grey).save(path)
    return path


def test_every_picture_has_a_row_in_order_and_an_unreadable_one_its_reason(
    run: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save(Path("faces/b.png"), 255)
    save(Path("faces/a.png"), 0)
    Path("faces/c.txt").write_text("hello")
    save(Path("=1.png"), 0)
    run("faces", "=1.png", "-o", "out/features.csv")
    table = pd.read_csv("out/features.csv")
    assert table["source"].tolist() == ["faces/a.png", "faces/b.png", "faces/c.txt", "'=1.png"]
    assert table["status"].tolist() == ["ok", "ok", "not a picture", "ok"]
    coordinates = [f"{axis}_{k}" for k in range(68) for axis in "xy"]
    assert table.columns.tolist() == ["source", "status", *DISTANCE_NAMES, *coordinates]
    assert table.loc[2, DISTANCE_NAMES[0] :].isna().all()
    read = table.drop(index=2)
    np.testing.assert_allclose(read[list(DISTANCE_NAMES)], np.tile(measure_distances(FACE), (3, 1)), atol=2e-6)
    np.testing.assert_allclose(read["x_1"] - read["x_0"], (FACE[1, 0] - FACE[0, 0]) / 4, atol=2e-6)
    np.testing.assert_allclose(
        table["x_8"],
        [0.5 + 0.5 / MODEL_INPUT_PX, 0.75 + 0.5 / MODEL_INPUT_PX, np.nan, 0.5 + 0.5 / MODEL_INPUT_PX],
        atol=2e-6,
    )


def test_the_pipelines_faces_come_in_their_own_order_and_coordinates_do_not_depend_on_size(
    run: Callable[..., None], tmp_path: Path
) -> None:
    for size in (48, 64):
        faces = np.stack([np.full((size, size), grey, dtype=np.uint8) for grey in (255, 0, 51)])
        np.save(tmp_path / "faces.npy", faces)
        run(tmp_path / "faces.npy", "-o", tmp_path / "features.csv")
        table = pd.read_csv(tmp_path / "features.csv")
        assert table["source"].tolist() == [f"{tmp_path / 'faces.npy'}#{row}" for row in range(3)]
        np.testing.assert_allclose(table["x_8"], np.array([0.75, 0.5, 0.55]) + 0.5 / size, atol=2e-6)


def test_drawings_are_named_by_their_row(run: Callable[..., None], tmp_path: Path) -> None:
    faces = np.zeros((2, 48, 48), dtype=np.uint8)
    np.save(tmp_path / "faces.npy", faces)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"")
    run(broken, tmp_path / "faces.npy", "-o", tmp_path / "features.csv", "--draw", tmp_path / "deep/drawn")
    assert sorted(path.name for path in (tmp_path / "deep/drawn").iterdir()) == ["000001.png", "000002.png"]
    np.testing.assert_array_equal(
        np.asarray(Image.open(tmp_path / "deep/drawn/000001.png")), draw_landmarks(on(48), 48)
    )


def test_a_damaged_array_of_faces_is_an_error_before_anything_is_written(
    run: Callable[..., None], tmp_path: Path
) -> None:
    (tmp_path / "faces.npy").write_bytes(b"nothing")
    with pytest.raises(InputError, match="not an array"):
        run(save(tmp_path / "a.png", 0), tmp_path / "faces.npy", "-o", tmp_path / "f.csv", "--draw", tmp_path / "d")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "faces.npy"]


def test_the_command_is_one_of_fers(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["fer", "landmarks", "--help"])
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    assert "--draw" in capsys.readouterr().out
