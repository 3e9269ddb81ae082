"""The 68 landmarks of a face, eight distances between them, and a picture of them.

Needs the extra `landmarks`: dlib (Boost licence), and its model of 68 points (Kazemi and Sullivan, One Millisecond Face
Alignment with an Ensemble of Regression Trees, CVPR 2014) from the package face_recognition_models. The model is given
away under CC0, but it was trained on iBUG 300-W, which excludes commercial use: take what it finds for research only.

Points are in the order of iBUG 300-W, left being the left of the picture: 0-16 the jaw from the left ear over the chin
(8) to the right; 17-21 and 22-26 the brows, 27-30 the ridge of the nose and 31-35 its base, each from left to right;
36-41 and 42-47 the eyes, 48-59 the outer and 60-67 the inner lips, each from its left corner over the top and back.
"""

import importlib
import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from fer.data.media.images import resize_face
from fer.runtime.errors import InputError

DISTANCE_NAMES = (
    "chin_over_mouth",
    "mouth_width",
    "lip_gap",
    "left_mouth_angle",
    "right_mouth_angle",
    "left_eye_opening",
    "right_eye_opening",
    "brow_distance",
)
MODEL_INPUT_PX = 240  # of the picture that the model looks at; it finds whole pixels, of which a small face has too few

# In shares of the side. dlib's own detector finds 453 of 600 faces of FER-2013, on average from (0.08, 0.13) to
# (0.92, 0.98), but told a slightly higher box the model goes wrong half as often. The detector's box is 3.2 times as
# wide as the points within the jaw are spread (quartiles 3.0 to 3.4), and centred on them.
INITIAL_BOX = np.array([[0.08, 0.10], [0.92, 0.94]])
WIDTH_OVER_SPREAD = 3.2
BOX_SHIFTS = 0.04 * np.array([(0, 0), (-1, -1), (1, -1), (-1, 1), (1, 1)])

LANDMARK_LINES = (  # and whether each is closed
    (range(17), False),
    (range(17, 22), False),
    (range(22, 27), False),
    (range(27, 31), False),
    (range(31, 36), False),
    (range(36, 42), True),
    (range(42, 48), True),
    (range(48, 60), True),
    (range(60, 68), True),
)
SUPERSAMPLING = 4  # lines are drawn on a picture so much larger, and averaged


def find_landmarks(face: UInt8[np.ndarray, "height width"]) -> Float[np.ndarray, "68 2"]:
    """x and y of each landmark in pixels of the face; (0, 0) is the middle of its first pixel.

    The face fills the picture, of which the centre square is looked at. There are points whatever the picture shows,
    and some can lie outside. They are found twice: in the usual box of a face, then as the median over boxes that fit
    the points of the first look. On 198 LFW faces cut out like those of FER-2013, at 48 pixels, they are 2.3 % of the
    distance of the eyes away from what the model finds on the photographs (median), and on 1 % of the faces more than
    10 % away (on 4 % after the first look).

    Raises:
        InputError: the extra is not installed.
    """
    large = resize_face(face, MODEL_INPUT_PX)
    first = _fit_landmarks(large, INITIAL_BOX * MODEL_INPUT_PX)
    inner = first[17:]
    centre = inner.mean(axis=0)
    width = WIDTH_OVER_SPREAD * np.sqrt(((inner - centre) ** 2).sum(axis=1).mean())
    box = centre + width / 2 * np.array([[-1], [1]])
    found: Float[np.ndarray, "68 2"] = np.median(
        [_fit_landmarks(large, box + shift * MODEL_INPUT_PX) for shift in BOX_SHIFTS], axis=0
    )
    side = min(face.shape)
    left_out = (np.array(face.shape[::-1]) - side) // 2
    return (found + 0.5) * side / MODEL_INPUT_PX - 0.5 + left_out


def measure_distances(points: Float[np.ndarray, "68 2"]) -> Float[np.ndarray, " 8"]:
    """The eight measures named in `DISTANCES`; neither place, size nor tilt of the face changes them.

    The report lists them without formulas, so these are ours. The unit is the distance between the middles of the eyes:
    width of the chin (6 to 10) over that of the mouth; width of the mouth (48 to 54); gap between the lips (62 to 66);
    rise of each corner of the mouth, in radians from the line of the eyes, seen from the middle of the gap: positive in
    a smile, 0 in a level mouth; mean height of the gap between each eye's lids; distance between the inner ends of the
    brows (21 to 22).
    """
    left_eye, right_eye = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    across = right_eye - left_eye
    down = np.array([-across[1], across[0]])
    level = points @ np.stack([across, down], axis=1) / (across @ across)
    left_corner, right_corner = level[[48, 54]] - level[[62, 66]].mean(axis=0)

    def between(a: int, b: int) -> np.float64:
        return np.hypot(*(level[a] - level[b]))

    return np.array(
        [
            between(6, 10) / between(48, 54),
            between(48, 54),
            between(62, 66),
            np.arctan2(-left_corner[1], -left_corner[0]),
            np.arctan2(-right_corner[1], right_corner[0]),
            (between(37, 41) + between(38, 40)) / 2,
            (between(43, 47) + between(44, 46)) / 2,
            between(21, 22),
        ]
    )


def draw_landmarks(points: Float[np.ndarray, "68 2"], size: int) -> UInt8[np.ndarray, "size size"]:
    """Jaw, brows, nose, eyes and lips as white lines on black; `points` are in pixels of a face of `size`.

    The lines are a 48th of the side wide, and antialiased.
    """
    image = Image.new("L", (SUPERSAMPLING * size, SUPERSAMPLING * size))
    pen = ImageDraw.Draw(image)
    fine = (points + 0.5) * SUPERSAMPLING - 0.5
    for line, closed in LANDMARK_LINES:
        rows = [*line, *line[:2]] if closed else list(line)  # two more, so that the last corner is round as well
        pen.line(fine[rows].ravel().tolist(), fill=255, width=max(1, round(SUPERSAMPLING * size / 48)), joint="curve")
    return np.asarray(image.reduce(SUPERSAMPLING))


def _fit_landmarks(picture: UInt8[np.ndarray, "side side"], box: Float[np.ndarray, "2 2"]) -> Float[np.ndarray, "68 2"]:
    """The points that the model finds when it is told where the face is."""
    dlib, predictor = _load_model()
    left, top, right, bottom = box.round().astype(int).ravel().tolist()
    found = predictor(np.ascontiguousarray(picture), dlib.rectangle(left, top, right - 1, bottom - 1))
    return np.array([(point.x, point.y) for point in found.parts()], dtype=np.float64)


@cache
def _load_model() -> tuple[Any, Any]:
    """The module dlib and its model of 68 points."""
    # only looked for: to import this package takes pkg_resources, which setuptools has given up
    package = importlib.util.find_spec("face_recognition_models")
    if package is None or package.origin is None or importlib.util.find_spec("dlib") is None:
        raise InputError("landmarks need an extra: pip install 'fer-pseudo-labels[landmarks]'")
    dlib = importlib.import_module("dlib")
    file = Path(package.origin).parent / "models" / "shape_predictor_68_face_landmarks.dat"
    return dlib, dlib.shape_predictor(str(file))
