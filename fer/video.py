"""Frames of videos, sampled by time, one in memory at a time."""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from fer.faces import UndecodableError

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # silent: what is wrong is told in our own words

CELLS = 32  # each way, into which a frame is averaged to tell whether anything moved
MOVED = 6.0  # grey levels of one cell; noise and compression change a cell's mean by less than 2
COMPLETE = 0.9  # of the frames that the file says it has: some containers only estimate their number


@dataclass(frozen=True, slots=True)
class Frame:
    number: int  # in the file, from 0
    seconds: float  # from the beginning
    picture: UInt8[np.ndarray, "height width 3"]  # red, green, blue


def frames(path: Path, per_second: float) -> Iterator[Frame]:
    """The first frame of each of `per_second` parts of a second, upright; those between are not decoded.

    Time is what the file says of each frame; where it says nothing, it is counted from the frames per second.

    Raises:
        UndecodableError: the file is no video, or ends before its end; after the frames that could be read.
    """
    cv2.setNumThreads(1)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    video = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        rate = video.get(cv2.CAP_PROP_FPS)
        rate = rate if 1 <= rate <= 240 else 25.0
        number, seconds, part = -1, -1.0, -1
        while video.grab():
            number += 1
            told = video.get(cv2.CAP_PROP_POS_MSEC) / 1000
            seconds = told if math.isfinite(told) and told > seconds else max(number / rate, seconds)
            if math.floor(seconds * per_second + 1e-6) > part:
                read, picture = video.retrieve()
                if read:
                    part = math.floor(seconds * per_second + 1e-6)
                    yield Frame(number, seconds, cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
        claimed = video.get(cv2.CAP_PROP_FRAME_COUNT)
    finally:
        video.release()
    if part < 0:
        raise UndecodableError("unreadable video", "no frame of it can be decoded")
    if number + 1 < COMPLETE * claimed - 1:
        raise UndecodableError("damaged video", f"{number + 1} of {claimed:.0f} frames can be read")


def changed(before: UInt8[np.ndarray, "height width 3"], after: UInt8[np.ndarray, "height2 width2 3"]) -> bool:
    """Whether anything but noise differs between two frames."""
    if before.shape != after.shape:
        return True
    one, other = (cv2.resize(frame, (CELLS, CELLS), interpolation=cv2.INTER_AREA) for frame in (before, after))
    return bool(np.abs(one.astype(np.float32) - other).mean(axis=2).max() > MOVED)
