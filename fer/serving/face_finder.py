"""The faces in a picture, cut out as those were that the networks learnt from."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import get_ident
from typing import Literal

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from fer.data.media.detection import Box, Detector, crop, detector, levelled
from fer.data.media.images import decode, decode_colour, dimensions, shrink

Faces = Literal["auto", "whole", "detect"]
Picture = UInt8[np.ndarray, "height width 3"]
Square = UInt8[np.ndarray, "size size"]

FACE_PX = 120  # the largest side in which faces come cut out: FER-2013 48, RAF-DB 100, ArcFace 112, drawn ones 120
OBLONG = 0.1  # by which the sides of such a square may differ
MIN_FACE_PX = 32  # smaller ones are not looked for


@dataclass(frozen=True, slots=True)
class Rules:
    """How pictures are looked at."""

    size: int  # of a face that is cut out, in pixels
    align: bool  # turn it until its eyes are level
    faces: Faces = "auto"
    detector: str = "haar"


@dataclass(frozen=True, slots=True)
class Found:
    box: Box
    face: Square


def find(picture: Path | bytes | Image.Image | Picture, rules: Rules) -> list[Found]:
    """The faces in a picture, the largest first, or the picture as the one face that it is.

    With "whole" it is one, its centre square; with "detect" faces are looked for; with "auto" it is one if it is square
    and has no more than `FACE_PX` pixels a side.

    Raises:
        UndecodableError: it can't be read.
        InputError: the detector can't be had.
    """
    if isinstance(picture, Image.Image):
        picture = decode_colour(picture)
    height, width = picture.shape[:2] if isinstance(picture, np.ndarray) else dimensions(picture)[::-1]
    if rules.faces == "whole" or (rules.faces == "auto" and _is_face(width, height)):
        side = float(min(width, height))
        box = Box((width - side) // 2, (height - side) // 2, side, side, score=None, eyes=None)
        return [Found(box, _whole(picture, rules))]
    pixels = picture if isinstance(picture, np.ndarray) else decode_colour(picture)
    boxes = _detector(rules.detector, get_ident()).find(pixels)
    return [Found(box, crop(pixels, box, rules.size, rules.align)) for box in boxes]


def _is_face(width: int, height: int) -> bool:
    return max(width, height) <= FACE_PX and abs(width - height) <= OBLONG * max(width, height)


def _whole(picture: Path | bytes | Picture, rules: Rules) -> Square:
    """As ingest takes faces that were cut out."""
    if isinstance(picture, np.ndarray):
        face = shrink(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), rules.size)
    else:
        face = decode(picture, rules.size)
    turned = levelled(face) if rules.align else None
    return face if turned is None else turned


@lru_cache
def _detector(kind: str, thread: int) -> Detector:
    """A detector for one thread: OpenCV's are not for several at once."""
    return detector(kind, MIN_FACE_PX)
