"""Frames of videos, sampled by time, one in memory at a time."""

import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import cv2.utils.logging
import numpy as np
from jaxtyping import UInt8

from fer.data.media.images import MAX_IMAGE_PIXELS, UndecodableError

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # silent: what is wrong is told in our own words

# Nor are lists of files followed, whatever they call themselves: FFmpeg would open what they name.
os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = (
    "format_whitelist;mov,matroska,webm,avi,mpeg,mpegts,mpegvideo,m4v,asf,mjpeg,jpeg_pipe"
)

DEFAULT_FRAME_RATE = 25.0  # frames per second, where a file says none that a camera could have
MIN_READABLE_SHARE = (
    0.9  # share of the frames: containers without an index estimate their number from the longest track
)
# Cells each way into which a frame is averaged, and grey levels by which one of them must differ. Videos of 640 x 480
# with a drawn face: still, with noise of deviation 12 and coded as MPEG-4 or MJPEG, they differ by up to 4; where the
# expression changes, all faces of 160 pixels differ by more, 95 % of 80 pixels (75 % with 32 cells) and half of 48.
DIFFERENCE_CELLS, DIFFERENCE_NOISE = 48, 4


@dataclass(frozen=True, slots=True)
class Frame:
    number: int  # in the file, from 0
    seconds: float  # from the beginning
    image: UInt8[np.ndarray, "height width 3"]  # red, green, blue
    frame_rate: float  # frames per second that the file tells


def read_frames(path: Path, frames_per_second: float | None) -> Iterator[Frame]:
    """The first frame of each of `frames_per_second` parts of a second, or every one, upright; others are not converted.

    Time is what the file says of each frame; where that is nothing or runs backwards, it goes on by the frame rate.

    Raises:
        UndecodableError: the file is no video, its frames are too large, or it lacks some after those that it gave.
    """
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    # Absolute, or a colon would end the name of a protocol; one thread, since ingest runs a process for each core.
    video = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    try:
        width, height = video.get(cv2.CAP_PROP_FRAME_WIDTH), video.get(cv2.CAP_PROP_FRAME_HEIGHT)
        if width * height > MAX_IMAGE_PIXELS:
            raise UndecodableError("too many pixels", f"{width:.0f} x {height:.0f}; at most {MAX_IMAGE_PIXELS:,}")
        told = video.get(cv2.CAP_PROP_FPS)
        rate = float(told) if 1 <= told <= 240 else DEFAULT_FRAME_RATE
        read, regular, seconds, part = 0, 0, -1 / rate, -math.inf
        while video.grab():
            stamp = video.get(cv2.CAP_PROP_POS_MSEC) / 1000
            regular += math.isclose((stamp - seconds) * rate, 1, abs_tol=0.1)
            seconds = stamp if seconds < stamp < math.inf else seconds + 1 / rate
            # 0.9999 is a second that was rounded
            now = read if frames_per_second is None else math.floor(seconds * frames_per_second + 1e-3)
            if now > part:
                decoded, picture = video.retrieve()
                if decoded:
                    part = now
                    yield Frame(read, seconds, cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), rate)
            read += 1
        claimed = video.get(cv2.CAP_PROP_FRAME_COUNT)
    finally:
        video.release()
    if part == -math.inf:
        raise UndecodableError("unreadable video", "no frame of it can be decoded")
    # Where frames come irregularly their number is an estimate from the time, so time then tells what is missing.
    lasted = seconds * told + 1
    if read < MIN_READABLE_SHARE * claimed and (
        lasted < MIN_READABLE_SHARE * claimed or regular > MIN_READABLE_SHARE * read
    ):
        raise UndecodableError("damaged video", f"{read} of {claimed:.0f} frames can be read")


def read_camera(index: int, frames_per_second: float | None) -> Iterator[Frame]:
    """What a camera sees, like `frames`, until Ctrl-C or until it is unplugged. For the main thread.

    Raises:
        UndecodableError: no such camera opens, or it gives no picture.
    """
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    video = cv2.VideoCapture(index)
    stopped = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: stopped.set())
    began, part, read = time.monotonic(), -math.inf, 0
    try:
        if not video.isOpened():
            raise UndecodableError("no camera", f"none opens as number {index}")
        while not stopped.is_set() and video.grab():
            seconds = time.monotonic() - began
            now = read if frames_per_second is None else math.floor(seconds * frames_per_second)
            decoded, picture = video.retrieve() if now > part else (False, None)
            if decoded and picture is not None:
                part = now
                yield Frame(read, seconds, cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), video.get(cv2.CAP_PROP_FPS))
            read += 1
        if part == -math.inf:
            raise UndecodableError("no camera", f"number {index} gives no picture")
    finally:
        signal.signal(signal.SIGINT, before)
        video.release()


def frames_differ(before: UInt8[np.ndarray, "height width 3"], after: UInt8[np.ndarray, "height2 width2 3"]) -> bool:
    """Whether more than noise differs between two frames, be it in a small part of them."""
    if before.shape != after.shape:
        return True
    one, other = (
        cv2.resize(
            cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), (DIFFERENCE_CELLS, DIFFERENCE_CELLS), interpolation=cv2.INTER_AREA
        )
        for frame in (before, after)
    )
    return int(cv2.absdiff(one, other).max()) > DIFFERENCE_NOISE
