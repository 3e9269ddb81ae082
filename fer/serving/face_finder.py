"""Face finding: crop the faces of an image in the same way as the training faces."""

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

MAX_CROP_PX = 120  # largest face crop of a dataset: FER-2013 48, RAF-DB 100, ArcFace 112, synthetic 120
SQUARE_TOLERANCE = 0.1  # relative difference of the sides of a face crop
MIN_FACE_PX = 32  # smaller faces are not detected


@dataclass(frozen=True, slots=True)
class FaceFinderSettings:
    """Settings of face detection and cropping."""

    size: int  # of a face crop, in pixels
    align: bool  # rotate the face until its eyes are level
    faces: FaceMode = "auto"
    detector: str = "haar"


@dataclass(frozen=True, slots=True)
class DetectedFace:
    box: FaceBox
    face: FaceCrop


def find_faces(image: Path | bytes | Image.Image | ImageArray, settings: FaceFinderSettings) -> list[DetectedFace]:
    """Return the faces in an image, the largest first.

    In mode "whole" the centre square of the image is the face, in mode "detect" faces are detected. Mode "auto" treats
    a roughly square image of at most `MAX_CROP_PX` pixels a side as "whole" and any other image as "detect".

    Raises:
        UndecodableError: The image is unreadable.
        InputError: The detector is not available.
    """
    if isinstance(image, Image.Image):
        image = decode_image(image)
    height, width = image.shape[:2] if isinstance(image, np.ndarray) else read_image_size(image)[::-1]
    if settings.faces == "whole" or (settings.faces == "auto" and _is_face_crop(width, height)):
        side = float(min(width, height))
        box = FaceBox((width - side) // 2, (height - side) // 2, side, side, score=None, eyes=None)
        return [DetectedFace(box, _crop_whole_image(image, settings))]
    pixels = image if isinstance(image, np.ndarray) else decode_image(image)
    boxes = _thread_detector(settings.detector, get_ident()).detect(pixels)
    return [DetectedFace(box, crop_face(pixels, box, settings.size, settings.align)) for box in boxes]


def _is_face_crop(width: int, height: int) -> bool:
    return max(width, height) <= MAX_CROP_PX and abs(width - height) <= SQUARE_TOLERANCE * max(width, height)


def _crop_whole_image(image: Path | bytes | ImageArray, settings: FaceFinderSettings) -> FaceCrop:
    """Return the centre square as ingest crops it."""
    if isinstance(image, np.ndarray):
        face = resize_face(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), settings.size)
    else:
        face = decode_face(image, settings.size)
    aligned_face = align_face(face) if settings.align else None
    return face if aligned_face is None else aligned_face


@lru_cache
def _thread_detector(kind: str, thread: int) -> FaceDetector:
    """Return the detector of one thread, since OpenCV's detectors are not thread-safe."""
    return make_detector(kind, MIN_FACE_PX)
