"""Frames of videos and cameras, sampled by time, one in memory at a time."""

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

from fer.data.media.images import MAX_IMAGE_PIXELS, ImageArray, UndecodableError

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # silent: this module reports what is wrong

# Only these formats: FFmpeg would open the files that a playlist names, whatever the suffix of the playlist.
os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = (
    "format_whitelist;mov,matroska,webm,avi,mpeg,mpegts,mpegvideo,m4v,asf,mjpeg,jpeg_pipe"
)

DEFAULT_FRAME_RATE = 25.0  # frames per second, for files that state no plausible rate
# Containers without an index estimate the number of frames from the longest track, so that a few may be missing.
MIN_READABLE_SHARE = 0.9
# Frames are averaged to 48 x 48 cells, and differ if one cell differs by more than 4 grey levels. In videos of
# 640 x 480 with a still drawn face, noise of deviation 12 and MPEG-4 or MJPEG coding, cells differ by up to 4. Where an
# expression changes, all faces of 160 pixels exceed that, 95 % of 80 pixels (75 % with 32 cells) and half of 48.
DIFFERENCE_CELLS, DIFFERENCE_NOISE = 48, 4


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a video or a camera."""

    number: int  # in the file, from 0
    seconds: float  # from the beginning
    image: ImageArray
    frame_rate: float  # frames per second that the file states, or `DEFAULT_FRAME_RATE`


def read_frames(path: Path, frames_per_second: float | None) -> Iterator[Frame]:
    """Yield the first frame of each of `frames_per_second` parts of a second, or every frame for None, upright.

    Other frames are not decoded. Times are those in the file; if missing or decreasing, the frame rate gives them.

    Raises:
        UndecodableError: The file is not a video, its frames are too large, or frames are missing at its end.
    """
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    # An absolute path, since FFmpeg reads text before a colon as a protocol; one thread, since ingest runs one process
    # per core.
    video = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    try:
        width, height = video.get(cv2.CAP_PROP_FRAME_WIDTH), video.get(cv2.CAP_PROP_FRAME_HEIGHT)
        if width * height > MAX_IMAGE_PIXELS:
            raise UndecodableError("too many pixels", f"{width:.0f} x {height:.0f}; at most {MAX_IMAGE_PIXELS:,}")
        stated_rate = video.get(cv2.CAP_PROP_FPS)
        rate = float(stated_rate) if 1 <= stated_rate <= 240 else DEFAULT_FRAME_RATE
        n_read, n_regular, seconds, last_interval = 0, 0, -1 / rate, -math.inf
        while video.grab():
            stamp = video.get(cv2.CAP_PROP_POS_MSEC) / 1000
            n_regular += math.isclose((stamp - seconds) * rate, 1, abs_tol=0.1)
            seconds = stamp if seconds < stamp < math.inf else seconds + 1 / rate
            # The tolerance makes a rounded time such as 0.9999 the second that it stands for.
            interval = n_read if frames_per_second is None else math.floor(seconds * frames_per_second + 1e-3)
            if interval > last_interval:
                is_decoded, image = video.retrieve()
                if is_decoded:
                    last_interval = interval
                    yield Frame(n_read, seconds, cv2.cvtColor(image, cv2.COLOR_BGR2RGB), rate)
            n_read += 1
        stated_count = video.get(cv2.CAP_PROP_FRAME_COUNT)
    finally:
        video.release()
    if last_interval == -math.inf:
        raise UndecodableError("unreadable video", "no frame can be decoded")
    # For irregular frames the stated number is estimated from the duration, so only the duration shows missing frames.
    count_by_duration = seconds * stated_rate + 1
    if n_read < MIN_READABLE_SHARE * stated_count and (
        count_by_duration < MIN_READABLE_SHARE * stated_count or n_regular > MIN_READABLE_SHARE * n_read
    ):
        raise UndecodableError("damaged video", f"{n_read} of {stated_count:.0f} frames can be read")


def read_camera(index: int, frames_per_second: float | None) -> Iterator[Frame]:
    """Yield frames of a camera, like `read_frames`, until Ctrl-C or until it is unplugged; for the main thread only.

    Raises:
        UndecodableError: The camera does not open or gives no image.
    """
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    video = cv2.VideoCapture(index)
    is_stopped = threading.Event()
    old_handler = signal.signal(signal.SIGINT, lambda *_: is_stopped.set())
    start, last_interval, n_read = time.monotonic(), -math.inf, 0
    try:
        if not video.isOpened():
            raise UndecodableError("no camera", f"camera {index} does not open")
        while not is_stopped.is_set() and video.grab():
            seconds = time.monotonic() - start
            interval = n_read if frames_per_second is None else math.floor(seconds * frames_per_second)
            is_decoded, image = video.retrieve() if interval > last_interval else (False, None)
            if is_decoded and image is not None:
                last_interval = interval
                yield Frame(n_read, seconds, cv2.cvtColor(image, cv2.COLOR_BGR2RGB), video.get(cv2.CAP_PROP_FPS))
            n_read += 1
        if last_interval == -math.inf:
            raise UndecodableError("no camera", f"camera {index} gives no image")
    finally:
        signal.signal(signal.SIGINT, old_handler)
        video.release()


def frames_differ(image: ImageArray, next_image: UInt8[np.ndarray, "height2 width2 3"]) -> bool:
    """Return whether two frames differ by more than noise, even in a small part."""
    if image.shape != next_image.shape:
        return True
    cells, next_cells = (
        cv2.resize(
            cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), (DIFFERENCE_CELLS, DIFFERENCE_CELLS), interpolation=cv2.INTER_AREA
        )
        for frame in (image, next_image)
    )
    return int(cv2.absdiff(cells, next_cells).max()) > DIFFERENCE_NOISE
