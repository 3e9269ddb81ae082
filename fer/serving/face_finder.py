"""The faces in a picture, cut out as those were that the networks learnt from."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import get_ident
from typing import Literal

import cv2
import numpy as np
from PIL import Image

from fer.data.media.detection import FaceBox, FaceDetector, align_face, crop_face, make_detector
from fer.data.media.images import FaceCrop, ImageArray, decode_face, decode_image, read_image_size, resize_face

FaceMode = Literal["auto", "whole", "detect"]

MAX_CROP_PX = 120  # the largest side in which faces come cut out: FER-2013 48, RAF-DB 100, ArcFace 112, drawn ones 120
SQUARE_TOLERANCE = 0.1  # by which the sides of such a square may differ
MIN_FACE_PX = 32  # smaller ones are not looked for


@dataclass(frozen=True, slots=True)
class FaceFinderSettings:
    """How pictures are looked at."""

    size: int  # of a face that is cut out, in pixels
    align: bool  # turn it until its eyes are level
    faces: FaceMode = "auto"
    detector: str = "haar"


@dataclass(frozen=True, slots=True)
class DetectedFace:
    box: FaceBox
    face: FaceCrop


def find_faces(image: Path | bytes | Image.Image | ImageArray, settings: FaceFinderSettings) -> list[DetectedFace]:
    """The faces in a picture, the largest first, or the picture as the one face that it is.

    With "whole" it is one, its centre square; with "detect" faces are looked for; with "auto" it is one if it is square
    and has no more than `FACE_PX` pixels a side.

    Raises:
        UndecodableError: it can't be read.
        InputError: the detector can't be had.
    """
    if isinstance(image, Image.Image):
        image = decode_image(image)
    height, width = image.shape[:2] if isinstance(image, np.ndarray) else read_image_size(image)[::-1]
    if settings.faces == "whole" or (settings.faces == "auto" and _is_face_crop(width, height)):
        side = float(min(width, height))
        box = FaceBox((width - side) // 2, (height - side) // 2, side, side, score=None, eyes=None)
        return [DetectedFace(box, _crop_whole_image(image, settings))]
    pixels = image if isinstance(image, np.ndarray) else decode_image(image)
    boxes = _detector_of_thread(settings.detector, get_ident()).detect(pixels)
    return [DetectedFace(box, crop_face(pixels, box, settings.size, settings.align)) for box in boxes]


def _is_face_crop(width: int, height: int) -> bool:
    return max(width, height) <= MAX_CROP_PX and abs(width - height) <= SQUARE_TOLERANCE * max(width, height)


def _crop_whole_image(image: Path | bytes | ImageArray, settings: FaceFinderSettings) -> FaceCrop:
    """As ingest takes faces that were cut out."""
    if isinstance(image, np.ndarray):
        face = resize_face(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), settings.size)
    else:
        face = decode_face(image, settings.size)
    turned = align_face(face) if settings.align else None
    return face if turned is None else turned


@lru_cache
def _detector_of_thread(kind: str, thread: int) -> FaceDetector:
    """A detector for one thread: OpenCV's are not for several at once."""
    return make_detector(kind, MIN_FACE_PX)
