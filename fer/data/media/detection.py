"""Detection of faces in photos, cropping with the framing of FER-2013, and alignment by the eyes."""

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

from fer.data.media.images import FaceCrop, GreyImage, ImageArray
from fer.runtime.errors import InputError

EyePositions = tuple[tuple[float, float], tuple[float, float]]

# The faces of FER-2013 were cropped to the boxes of an OpenCV cascade (Goodfellow et al. 2013, "Challenges in
# representation learning"). On enlarged FER-2013 faces, with their edges repeated, the cascade detects 2,398 of 3,000:
# 48 / side of the box is 1.02 (quartiles .96, 1.09), and its centre lies 0.00 (-.02, .01) of its side below theirs.
HAAR_MARGIN = 1.02
# A tight box is taller than wide. In 1,486 photos of LFW the cascade's side is 1.10 (quartiles 1.05, 1.15) times the
# root of the area of YuNet's box (2026may), and its centre lies .022 (-.002, .048) of that root higher.
TIGHT_MARGIN = 1.10 * HAAR_MARGIN
TIGHT_RISE = 0.022

MAX_SEARCH_PX = 1024  # longer images are downscaled for the search: 0.2 s for the cascade, 0.02 s for YuNet
# On 1,500 photos of LFW, steps of 1.1 and 5 neighbours find a face in 99.1 %, with .0013 false faces a photo (8 ms);
# 1.1 and 3: 99.6 %, .0047; 1.05 and 7: 99.6 %, .0027 in twice the time; 1.3 and 5: 94.9 %, none.
HAAR_STEP, HAAR_NEIGHBOURS = 1.1, 5
HAAR_MIN_PX = 24  # the cascade's own window
# OpenCV's default is 0.9; even at 0.8, 3 % of the faces that fill an image of `MAX_SEARCH_PX` are lost.
YUNET_MIN_SCORE = 0.7
# YuNet underestimates the tilt of small faces: of 20 degrees it reports 3 for a face of 60 pixels, 8 at 115 and 17 at
# 230. The median error of `find_eyes` is .8 degrees.
YUNET_MIN_EYES_PX = 200

# The eyes of 76 % of 1,500 FER-2013 faces are found. The median tilt falls from 4.5 degrees to .5, and that of faces
# turned by 20 degrees to 1. A side of 128 pixels finds 9 % fewer, a search in the upper half alone 20 % fewer.
EYE_SEARCH_PX, EYE_SEARCH_HEIGHT = 192, 0.6


@dataclass(frozen=True, slots=True)
class FaceBox:
    """The box of a face in pixels of the image, with the framing of FER-2013; it may exceed the image."""

    x: float
    y: float
    width: float
    height: float
    score: float | None  # YuNet: 0..1; Haar cascade: number of agreeing windows; None: no detector was used
    eyes: EyePositions | None  # pixels of the image; first the eye on the left of the image


@runtime_checkable
class FaceDetector(Protocol):
    """A detector of faces; one detector must not be used by several threads at once."""

    def detect(self, image: ImageArray) -> list[FaceBox]:
        """Return the faces of an image, sorted by size (largest first), then from top to bottom and left to right."""


def make_detector(model: str, min_face_px: int) -> FaceDetector:
    """Return OpenCV's Haar cascade for "haar", otherwise the YuNet detector of the model file at the path `model`.

    Faces below `min_face_px` are not searched for, nor those below 24 (Haar) or about 10 (YuNet) pixels after the image
    is downscaled to `MAX_SEARCH_PX`. OpenCV is limited to one thread, since one process per core is faster.

    Raises:
        InputError: OpenCV has no cascades, or the model file is missing or is not a YuNet model.
    """
    cv2.setNumThreads(1)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return _HaarDetector(min_face_px) if model == "haar" else _YuNetDetector(model, min_face_px)


def frame_tight_box(
    x: float, y: float, width: float, height: float, score: float, eyes: EyePositions | None
) -> FaceBox:
    """Return the box with the framing of FER-2013 for a tight box (forehead to chin), as in WIDER FACE and YuNet."""
    root = math.sqrt(width * height)
    return _make_square_box((x + width / 2, y + height / 2 - TIGHT_RISE * root), TIGHT_MARGIN * root, score, eyes)


def crop_face(image: ImageArray, box: FaceBox, size: int, align: bool) -> FaceCrop:
    """Return the face in a box, grey (ITU-R 601); beyond the image its edge is repeated.

    With `align` the face is turned about its centre until the eyes are level, if they are found.
    """
    side = math.sqrt(box.width * box.height)
    x, y = box.x + box.width / 2, box.y + box.height / 2
    radius = math.ceil(side * math.sqrt(0.5)) + 2  # to the corner of a turned square, plus pixels for interpolation
    height, width = image.shape[:2]
    x_min = min(max(0, math.floor(x) - radius), width - 1)
    y_min = min(max(0, math.floor(y) - radius), height - 1)
    region = image[y_min : max(1, math.ceil(y) + radius), x_min : max(1, math.ceil(x) + radius)]
    grey = cv2.cvtColor(np.ascontiguousarray(region), cv2.COLOR_RGB2GRAY)
    centre = (x - x_min, y - y_min)
    if not align:
        return _cut_square(grey, centre, side, size, 0.0)
    eyes = box.eyes or find_eyes(_cut_square(grey, centre, side, EYE_SEARCH_PX, 0.0))
    return _cut_square(grey, centre, side, size, _compute_tilt(eyes) if eyes else 0.0)


def find_eyes(face: GreyImage) -> EyePositions | None:
    """Return the centres of the eyes in pixels of the face, the left of the image first; None if they are not found."""
    height, width = face.shape
    method = cv2.INTER_AREA if min(face.shape) > EYE_SEARCH_PX else cv2.INTER_CUBIC
    resized = cv2.resize(face, (EYE_SEARCH_PX, EYE_SEARCH_PX), interpolation=method)
    upper_part = resized[: int(EYE_SEARCH_HEIGHT * EYE_SEARCH_PX)]
    min_side, max_side = int(0.14 * EYE_SEARCH_PX), int(0.42 * EYE_SEARCH_PX)
    cascade = _load_cascade("eye", get_ident())
    boxes, scores = cascade.detectMultiScale2(
        upper_part, 1.05, 3, minSize=(min_side, min_side), maxSize=(max_side, max_side)
    )
    centres = [
        ((x + side / 2) / EYE_SEARCH_PX, (y + side / 2) / EYE_SEARCH_PX, score)
        for (x, y, side, _), score in zip(np.asarray(boxes).tolist(), scores, strict=True)
    ]
    pairs = [
        (min(n, m), ((x * width, y * height), (u * width, v * height)))
        for x, y, n in centres
        for u, v, m in centres
        if x < 0.5 <= u and 0.2 < math.hypot(u - x, v - y) < 0.6 and abs(math.atan2(v - y, u - x)) < math.radians(30)
    ]
    return max(pairs, key=lambda pair: pair[0])[1] if pairs else None


def align_face(face: FaceCrop) -> FaceCrop | None:
    """Return the face turned about its centre until the eyes are level, edge repeated; None if no eyes are found."""
    eyes = find_eyes(face)
    size = len(face)
    return _cut_square(face, (size / 2, size / 2), float(size), size, _compute_tilt(eyes)) if eyes else None


class _HaarDetector:
    def __init__(self, min_face_px: int):
        self._cascade, self._min_face_px = _load_cascade("frontalface_default", get_ident()), min_face_px

    def detect(self, image: ImageArray) -> list[FaceBox]:
        reduced, scale = _downscale(image)
        grey = cv2.cvtColor(reduced, cv2.COLOR_RGB2GRAY)
        min_side = max(HAAR_MIN_PX, round(self._min_face_px * scale / HAAR_MARGIN))
        squares, scores = self._cascade.detectMultiScale2(
            grey, HAAR_STEP, HAAR_NEIGHBOURS, minSize=(min_side, min_side)
        )
        return _sort_boxes(
            _make_square_box(
                ((x + side / 2) / scale, (y + side / 2) / scale), HAAR_MARGIN * side / scale, float(score), None
            )
            for (x, y, side, _), score in zip(np.asarray(squares).tolist(), scores, strict=True)
        )


class _YuNetDetector:
    """The detector of Wu, Peng and Yu 2023, "YuNet: a tiny millisecond-level face detector"."""

    def __init__(self, model: str, min_face_px: int):
        if not Path(model).is_file():
            raise InputError(f"{model}: no such file; a detector is haar, or the path of a YuNet model (.onnx)")
        self._min_face_px = min_face_px
        try:
            self._network = cv2.FaceDetectorYN.create(model, "", (64, 64), YUNET_MIN_SCORE)
            self._network.detect(np.zeros((64, 64, 3), np.uint8))
        except cv2.error as error:
            raise InputError(
                f"{model}: not a YuNet model that OpenCV {cv2.__version__} can use; "
                "use face_detection_yunet of the OpenCV zoo, or haar"
            ) from error

    def detect(self, image: ImageArray) -> list[FaceBox]:
        reduced, scale = _downscale(image)
        self._network.setInputSize((reduced.shape[1], reduced.shape[0]))
        _, rows = self._network.detect(cv2.cvtColor(reduced, cv2.COLOR_RGB2BGR))
        boxes = []
        for *row, score in [] if rows is None else rows.tolist():
            x, y, width, height, *points = (value / scale for value in row)
            eyes = sorted(((points[0], points[1]), (points[2], points[3])))
            has_reliable_eyes = math.sqrt(width * height) * scale >= YUNET_MIN_EYES_PX
            # YuNet also reports faces far outside of images that are a few pixels high.
            if 0 <= x + width / 2 < image.shape[1] and 0 <= y + height / 2 < image.shape[0]:
                boxes.append(
                    frame_tight_box(x, y, width, height, score, (eyes[0], eyes[1]) if has_reliable_eyes else None)
                )
        return _sort_boxes(box for box in boxes if box.width >= self._min_face_px)


@lru_cache
def _load_cascade(name: str, thread: int) -> "cv2.CascadeClassifier":
    """Return a cascade for one thread alone: OpenCV's cascades are not thread-safe."""
    if not hasattr(cv2, "CascadeClassifier"):
        fix = "install opencv-python-headless<5, or set ingest.detector to a YuNet model and ingest.align to false"
        raise InputError(f"OpenCV {cv2.__version__} has no Haar cascades; {fix}")
    return cv2.CascadeClassifier(f"{cv2.data.haarcascades}haarcascade_{name}.xml")


def _downscale(image: ImageArray) -> tuple[UInt8[np.ndarray, "height2 width2 3"], float]:
    """Return the image with no side above `MAX_SEARCH_PX`, and its scale."""
    height, width = image.shape[:2]
    scale = min(1.0, MAX_SEARCH_PX / max(height, width))
    if scale == 1.0:
        return image, scale
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), scale


def _make_square_box(centre: tuple[float, float], side: float, score: float, eyes: EyePositions | None) -> FaceBox:
    return FaceBox(centre[0] - side / 2, centre[1] - side / 2, side, side, score, eyes)


def _sort_boxes(boxes: Iterable[FaceBox]) -> list[FaceBox]:
    return sorted(boxes, key=lambda box: (-box.width, box.y, box.x))


def _compute_tilt(eyes: EyePositions) -> float:
    """Return the tilt in radians, positive if the eye on the right of the image is lower."""
    (x, y), (u, v) = eyes
    return math.atan2(v - y, u - x)


def _cut_square(grey: GreyImage, centre: tuple[float, float], side: float, size: int, tilt: float) -> FaceCrop:
    """Return the tilted square about `centre`, upright, scaled to `size` pixels.

    `warpAffine` interpolates between 16 pixels at any scale, so that downscaling with it would alias stripes and noise
    into patterns. It is therefore used at the resolution of the image, and blocks of its result are averaged.
    """
    multiple = max(1, math.ceil(side / size))
    step = side / (multiple * size)
    x_step, y_step = step * math.cos(tilt), step * math.sin(tilt)
    first = (1 - multiple * size) / 2  # centre of the first pixel, from the centre of the square
    matrix = np.array(
        [
            [x_step, -y_step, centre[0] - 0.5 + (x_step - y_step) * first],
            [y_step, x_step, centre[1] - 0.5 + (x_step + y_step) * first],
        ]
    )
    square = cv2.warpAffine(
        grey,
        matrix,
        (multiple * size, multiple * size),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA)
