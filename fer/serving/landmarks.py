"""The 68 landmarks of a face, eight distances between them, and a drawing of them.

Needs the extra `landmarks`: dlib (Boost licence) and its 68-point model (Kazemi and Sullivan, One Millisecond Face
Alignment with an Ensemble of Regression Trees, CVPR 2014) from the package face_recognition_models. The model itself is
under CC0, but its training set, iBUG 300-W, excludes commercial use: use the landmarks for research only.

Points are in the order of iBUG 300-W, where left is the left of the image: 0-16 the jaw from the left ear over the chin
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
MODEL_INPUT_PX = 240  # the model returns whole pixels, which are too coarse for a small face

# In shares of the side. dlib's own detector finds 453 of 600 faces of FER-2013, on average from (0.08, 0.13) to
# (0.92, 0.98), but the model fails half as often with a slightly higher box. The detector's box is 3.2 times as wide as
# the spread of the points within the jaw (quartiles 3.0 to 3.4), and centred on them.
INITIAL_BOX = np.array([[0.08, 0.10], [0.92, 0.94]])
WIDTH_OVER_SPREAD = 3.2
BOX_SHIFTS = 0.04 * np.array([(0, 0), (-1, -1), (1, -1), (-1, 1), (1, 1)])

LANDMARK_LINES = (  # points of each line, and whether it is closed
    *((points, False) for points in (range(17), range(17, 22), range(22, 27), range(27, 31), range(31, 36))),
    *((points, True) for points in (range(36, 42), range(42, 48), range(48, 60), range(60, 68))),
)
SUPERSAMPLING = 4  # scale at which lines are drawn before averaging


def find_landmarks(face: UInt8[np.ndarray, "height width"]) -> Float[np.ndarray, "68 2"]:
    """Return x and y of each landmark in pixels of the face, where (0, 0) is the centre of the first pixel.

    The centre square of the image must be a face: the model returns points for any image, and some can lie outside.
    The model is applied first to a typical face box, then to several boxes that fit the first points, whose median is
    returned. On 198 LFW faces, cropped like those of FER-2013 to 48 pixels, the median distance to the landmarks of the
    full photographs is 2.3 % of the eye distance. It is above 10 % for 1 % of the faces (4 % for the first points).

    Raises:
        InputError: The extra is not installed.
    """
    large = resize_face(face, MODEL_INPUT_PX)
    inner = _fit_landmarks(large, INITIAL_BOX * MODEL_INPUT_PX)[17:]
    centre = inner.mean(axis=0)
    width = WIDTH_OVER_SPREAD * np.sqrt(((inner - centre) ** 2).sum(axis=1).mean())
    box = centre + width / 2 * np.array([[-1], [1]])
    points: Float[np.ndarray, "68 2"] = np.median(
        [_fit_landmarks(large, box + shift * MODEL_INPUT_PX) for shift in BOX_SHIFTS], axis=0
    )
    side = min(face.shape)
    offset = (np.array(face.shape[::-1]) - side) // 2  # of the centre square
    return (points + 0.5) * side / MODEL_INPUT_PX - 0.5 + offset


def measure_distances(points: Float[np.ndarray, "68 2"]) -> Float[np.ndarray, " 8"]:
    """Return the eight measures named in `DISTANCE_NAMES`, invariant to position, size and tilt of the face.

    The unit is the distance between the centres of the eyes. The measures are the width of the chin (6 to 10) over that
    of the mouth; the width of the mouth (48 to 54); the gap between the lips (62 to 66); the angle of each mouth corner
    above the line of the eyes, in radians, from the centre of the gap (positive in a smile, 0 in a level mouth); the
    mean gap between each eye's lids; and the distance between the inner ends of the brows (21 to 22).
    """
    left_eye, right_eye = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    x_axis = right_eye - left_eye
    y_axis = np.array([-x_axis[1], x_axis[0]])
    level = points @ np.stack([x_axis, y_axis], axis=1) / (x_axis @ x_axis)
    left_corner, right_corner = level[[48, 54]] - level[[62, 66]].mean(axis=0)

    def distance(a: int, b: int) -> np.float64:
        return np.hypot(*(level[a] - level[b]))

    return np.array(
        [
            distance(6, 10) / distance(48, 54),
            distance(48, 54),
            distance(62, 66),
            np.arctan2(-left_corner[1], -left_corner[0]),
            np.arctan2(-right_corner[1], right_corner[0]),
            (distance(37, 41) + distance(38, 40)) / 2,
            (distance(43, 47) + distance(44, 46)) / 2,
            distance(21, 22),
        ]
    )


def draw_landmarks(points: Float[np.ndarray, "68 2"], size: int) -> UInt8[np.ndarray, "size size"]:
    """Draw jaw, brows, nose, eyes and lips as antialiased white lines on black, a 48th of the side wide.

    `points` are in pixels of a face of `size`.
    """
    image = Image.new("L", (SUPERSAMPLING * size, SUPERSAMPLING * size))
    pen = ImageDraw.Draw(image)
    scaled = (points + 0.5) * SUPERSAMPLING - 0.5
    for line, closed in LANDMARK_LINES:
        rows = [*line, *line[:2]] if closed else list(line)  # two more points, so that the last corner is round as well
        pen.line(scaled[rows].ravel().tolist(), fill=255, width=max(1, round(SUPERSAMPLING * size / 48)), joint="curve")
    return np.asarray(image.reduce(SUPERSAMPLING))


def _fit_landmarks(image: UInt8[np.ndarray, "side side"], box: Float[np.ndarray, "2 2"]) -> Float[np.ndarray, "68 2"]:
    """Return the points that the model fits to the face in `box` (left, top; right, bottom)."""
    dlib, predictor = _load_model()
    x0, y0, x1, y1 = box.round().astype(int).ravel().tolist()
    shape = predictor(np.ascontiguousarray(image), dlib.rectangle(x0, y0, x1 - 1, y1 - 1))
    return np.array([(point.x, point.y) for point in shape.parts()], dtype=np.float64)


@cache
def _load_model() -> tuple[Any, Any]:
    """Return the module dlib and its 68-point model."""
    # Importing this package would need pkg_resources, which setuptools has removed.
    package = importlib.util.find_spec("face_recognition_models")
    if package is None or package.origin is None or importlib.util.find_spec("dlib") is None:
        raise InputError("landmarks need an extra; run pip install 'fer-pseudo-labels[landmarks]'")
    dlib = importlib.import_module("dlib")
    path = Path(package.origin).parent / "models" / "shape_predictor_68_face_landmarks.dat"
    return dlib, dlib.shape_predictor(str(path))
