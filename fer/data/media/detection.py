"""Faces found in photographs, cut out as FER-2013's are, and turned until the eyes are level."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import get_ident
from typing import Protocol, runtime_checkable

import cv2
import cv2.data
import cv2.utils.logging
import numpy as np
from jaxtyping import UInt8

from fer.runtime.errors import InputError

ImageArray = UInt8[np.ndarray, "height width 3"]
GreyImage = UInt8[np.ndarray, "height width"]
FaceCrop = UInt8[np.ndarray, "size size"]
EyePositions = tuple[tuple[float, float], tuple[float, float]]

# FER-2013 was cut out by OpenCV's boxes (Goodfellow et al. 2013, "Challenges in representation learning").
# Enlarged, with their edges repeated, the cascade finds 2,398 of 3,000 faces: 48 / side of the box is 1.02 (quartiles
# .96, 1.09), and its middle lies 0.00 (-.02, .01) of its side below theirs.
HAAR_MARGIN = 1.02
# A tight box is taller than wide. In 1,486 photographs of LFW the cascade's side is 1.10 (quartiles 1.05, 1.15) of the
# root of the area of YuNet's box (2026may), and its middle lies .022 (-.002, .048) of that root higher.
TIGHT_MARGIN = 1.10 * HAAR_MARGIN
TIGHT_RISE = 0.022

MAX_SEARCH_PX = 1024  # longer pictures are searched reduced: 0.2 s for the cascade, 0.02 s for YuNet
# 1,500 photographs of LFW: steps of 1.1 and 5 neighbours find a face in 99.1 %, and .0013 a photograph are none (8 ms);
# 1.1 and 3: 99.6 %, .0047; 1.05 and 7: 99.6 %, .0027 in twice the time; 1.3 and 5: 94.9 %, none.
HAAR_STEP, HAAR_NEIGHBOURS = 1.1, 5
HAAR_MIN_PX = 24  # the cascade's own window
YUNET_MIN_SCORE = (
    0.7  # at 0.8 3 % of the faces that fill a picture of `SEARCH_PX` are lost; 0.9 is OpenCV's own default
)
# YuNet hardly sees that a small face is tilted: of 20 degrees it tells 3 where the face has 60 pixels, 8 at 115 and 17
# at 230; the median error of `eyes` is .8.
YUNET_MIN_EYES_PX = 200

# Of 1,500 FER-2013 faces 76 % have their eyes found; their median tilt falls from 4.5 degrees to .5, and that of faces
# turned by 20 degrees to 1. Fewer are found at a side of 128 pixels (by 9 %) and in the upper half alone (by 20 %).
EYE_SEARCH_PX, EYE_SEARCH_HEIGHT = 192, 0.6


@dataclass(frozen=True, slots=True)
class FaceBox:
    """Where a face is, framed as FER-2013's: its square becomes the face. In pixels; it may leave the picture."""

    x: float
    y: float
    width: float
    height: float
    score: float | None  # YuNet's, 0..1; of the Haar cascade, how many of its windows agreed; None: nobody looked
    eyes: EyePositions | None  # in the picture's pixels, the left one in the picture first


@runtime_checkable
class FaceDetector(Protocol):
    def detect(self, image: ImageArray) -> list[FaceBox]:
        """The faces in a picture (red, green, blue), the largest first; of equal ones the upper, then the left."""


def make_detector(model: str, min_face_px: int) -> FaceDetector:
    """OpenCV's Haar cascade for "haar", otherwise YuNet from the model file at the path `model`.

    Faces of less than `min_face_px` are not looked for, nor those below 24 (Haar) or about 10 (YuNet) pixels once the
    picture is reduced to `SEARCH_PX`. OpenCV is held to one thread: a process for each core is faster.

    Raises:
        InputError: OpenCV has no cascades, or the model file is missing or is no YuNet.
    """
    cv2.setNumThreads(1)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return _HaarDetector(min_face_px) if model == "haar" else _YuNetDetector(model, min_face_px)


def frame_tight_box(
    x: float, y: float, width: float, height: float, score: float, eyes: EyePositions | None
) -> FaceBox:
    """The box with FER-2013's framing for one drawn tightly from forehead to chin, as WIDER FACE's and YuNet's are."""
    root = math.sqrt(width * height)
    return _make_square_box((x + width / 2, y + height / 2 - TIGHT_RISE * root), TIGHT_MARGIN * root, score, eyes)


def crop_face(image: ImageArray, box: FaceBox, size: int, align: bool) -> UInt8[np.ndarray, "size size"]:
    """The face in a box, grey (ITU-R 601); beyond the picture its edge is repeated.

    With `align` it is turned about its middle until the eyes are level, or left where they can't be found.
    """
    side = math.sqrt(box.width * box.height)
    x, y = box.x + box.width / 2, box.y + box.height / 2
    reach = math.ceil(side * math.sqrt(0.5)) + 2  # a turned square's corner, and the neighbours it is mixed from
    height, width = image.shape[:2]
    left = min(max(0, math.floor(x) - reach), width - 1)
    top = min(max(0, math.floor(y) - reach), height - 1)
    region = image[top : max(1, math.ceil(y) + reach), left : max(1, math.ceil(x) + reach)]
    grey = cv2.cvtColor(np.ascontiguousarray(region), cv2.COLOR_RGB2GRAY)
    middle = (x - left, y - top)
    if not align:
        return _cut_square(grey, middle, side, size, 0.0)
    found = box.eyes or find_eyes(_cut_square(grey, middle, side, EYE_SEARCH_PX, 0.0))
    return _cut_square(grey, middle, side, size, _compute_tilt(found) if found else 0.0)


def find_eyes(face: UInt8[np.ndarray, "height width"]) -> EyePositions | None:
    """The middles of the eyes in a face's pixels, the left one in the picture first; None where they can't be found.

    Raises:
        InputError: OpenCV has no cascades.
    """
    height, width = face.shape
    method = cv2.INTER_AREA if min(face.shape) > EYE_SEARCH_PX else cv2.INTER_CUBIC
    upper = cv2.resize(face, (EYE_SEARCH_PX, EYE_SEARCH_PX), interpolation=method)[
        : int(EYE_SEARCH_HEIGHT * EYE_SEARCH_PX)
    ]
    least, most = int(0.14 * EYE_SEARCH_PX), int(0.42 * EYE_SEARCH_PX)
    cascade = _load_cascade("eye", get_ident())
    boxes, agreed = cascade.detectMultiScale2(upper, 1.05, 3, minSize=(least, least), maxSize=(most, most))
    middles = [
        ((x + side / 2) / EYE_SEARCH_PX, (y + side / 2) / EYE_SEARCH_PX, windows)
        for (x, y, side, _), windows in zip(np.asarray(boxes).tolist(), agreed, strict=True)
    ]
    pairs = [
        (min(n, m), ((x * width, y * height), (u * width, v * height)))
        for x, y, n in middles
        for u, v, m in middles
        if x < 0.5 <= u and 0.2 < math.hypot(u - x, v - y) < 0.6 and abs(math.atan2(v - y, u - x)) < math.radians(30)
    ]
    return max(pairs, key=lambda pair: pair[0])[1] if pairs else None


def align_face(face: UInt8[np.ndarray, "size size"]) -> UInt8[np.ndarray, "size size"] | None:
    """The face turned about its middle until the eyes are level, its edge repeated; None where they can't be found.

    Raises:
        InputError: OpenCV has no cascades.
    """
    found = find_eyes(face)
    size = len(face)
    return _cut_square(face, (size / 2, size / 2), float(size), size, _compute_tilt(found)) if found else None


class _HaarDetector:
    def __init__(self, min_face_px: int):
        self._cascade, self._min_face_px = _load_cascade("frontalface_default", get_ident()), min_face_px

    def detect(self, picture: ImageArray) -> list[FaceBox]:
        reduced, scale = _downscale(picture)
        grey = cv2.cvtColor(reduced, cv2.COLOR_RGB2GRAY)
        least = max(HAAR_MIN_PX, round(self._min_face_px * scale / HAAR_MARGIN))
        found, agreed = self._cascade.detectMultiScale2(grey, HAAR_STEP, HAAR_NEIGHBOURS, minSize=(least, least))
        return _sort_boxes(
            _make_square_box(
                ((x + side / 2) / scale, (y + side / 2) / scale), HAAR_MARGIN * side / scale, float(windows), None
            )
            for (x, y, side, _), windows in zip(np.asarray(found).tolist(), agreed, strict=True)
        )


class _YuNetDetector:
    """Wu, Peng and Yu 2023, "YuNet: a tiny millisecond-level face detector"."""

    def __init__(self, model: str, min_face_px: int):
        if not Path(model).is_file():
            raise InputError(f"{model}: no such file; a detector is haar, or the path of a YuNet model (.onnx)")
        self._min_face_px = min_face_px
        try:
            self._network = cv2.FaceDetectorYN.create(model, "", (64, 64), YUNET_MIN_SCORE)
            self._network.detect(np.zeros((64, 64, 3), np.uint8))
        except cv2.error as error:
            what = f"not a YuNet model that OpenCV {cv2.__version__} can use"
            raise InputError(f"{model}: {what}; take face_detection_yunet of the OpenCV zoo, or haar") from error

    def detect(self, picture: ImageArray) -> list[FaceBox]:
        reduced, scale = _downscale(picture)
        self._network.setInputSize((reduced.shape[1], reduced.shape[0]))
        _, found = self._network.detect(cv2.cvtColor(reduced, cv2.COLOR_RGB2BGR))
        boxes = []
        for *row, score in [] if found is None else found.tolist():
            x, y, width, height, *points = (value / scale for value in row)
            left, right = sorted(((points[0], points[1]), (points[2], points[3])))
            tells_tilt = math.sqrt(width * height) * scale >= YUNET_MIN_EYES_PX
            # It also finds faces far outside of pictures of a few pixels' height.
            if 0 <= x + width / 2 < picture.shape[1] and 0 <= y + height / 2 < picture.shape[0]:
                boxes.append(frame_tight_box(x, y, width, height, score, (left, right) if tells_tilt else None))
        return _sort_boxes(box for box in boxes if box.width >= self._min_face_px)


@lru_cache
def _load_cascade(name: str, thread: int) -> "cv2.CascadeClassifier":
    """A cascade of this thread's own: OpenCV's are not for several at once."""
    if not hasattr(cv2, "CascadeClassifier"):
        instead = "install opencv-python-headless<5, or set ingest.detector to a YuNet model and ingest.align to false"
        raise InputError(f"OpenCV {cv2.__version__} has no Haar cascades; {instead}")
    return cv2.CascadeClassifier(f"{cv2.data.haarcascades}haarcascade_{name}.xml")


def _downscale(picture: ImageArray) -> tuple[UInt8[np.ndarray, "height2 width2 3"], float]:
    """The picture with no side beyond `SEARCH_PX`, and its scale."""
    height, width = picture.shape[:2]
    scale = min(1.0, MAX_SEARCH_PX / max(height, width))
    if scale == 1.0:
        return picture, scale
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA), scale


def _make_square_box(middle: tuple[float, float], side: float, score: float, eyes: EyePositions | None) -> FaceBox:
    return FaceBox(middle[0] - side / 2, middle[1] - side / 2, side, side, score, eyes)


def _sort_boxes(boxes: Iterable[FaceBox]) -> list[FaceBox]:
    return sorted(boxes, key=lambda box: (-box.width, box.y, box.x))


def _compute_tilt(eyes: EyePositions) -> float:
    """Radians; positive where the right eye in the picture is lower."""
    (x, y), (u, v) = eyes
    return math.atan2(v - y, u - x)


def _cut_square(grey: GreyImage, middle: tuple[float, float], side: float, size: int, tilt: float) -> FaceCrop:
    """The tilted square about `middle`, upright.

    `warpAffine` alone looks at 16 pixels for each of its own, whatever lies between: stripes and noise of a large face
    would turn into patterns. So it draws a multiple of `size`, as fine as the picture, whose blocks are then averaged.
    """
    finer = max(1, math.ceil(side / size))
    step = side / (finer * size)
    across, down = step * math.cos(tilt), step * math.sin(tilt)
    first = (1 - finer * size) / 2  # the middle of the first pixel, from the middle of the square
    turn = np.array(
        [
            [across, -down, middle[0] - 0.5 + (across - down) * first],
            [down, across, middle[1] - 0.5 + (across + down) * first],
        ]
    )
    fine = cv2.warpAffine(
        grey,
        turn,
        (finer * size, finer * size),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return cv2.resize(fine, (size, size), interpolation=cv2.INTER_AREA)
