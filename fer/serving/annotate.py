"""Annotated copies of images and videos, with a box and a label for each face."""

import errno
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import chain, count
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from jaxtyping import UInt8
from matplotlib.font_manager import FontProperties, findfont
from PIL import Image, ImageColor, ImageDraw, ImageFont

from fer.core.files import atomic_write
from fer.core.labels import EMOTIONS
from fer.data.media.detection import FaceBox
from fer.data.media.images import ImageArray, UndecodableError, decode_image
from fer.data.media.video import DEFAULT_FRAME_RATE
from fer.reporting.plots.plots import INK, PALETTE, STYLE
from fer.runtime.errors import InputError
from fer.serving.outputs import FacePrediction, ImageResult
from fer.serving.statuses import FAILED_STATUSES

Corners = tuple[int, int, int, int]  # left, top, right, bottom; all inclusive

# angry, disgust, fear, happy, sad, surprise, neutral, contempt: the colours of Okabe & Ito, with a light grey for black
EMOTION_COLOURS = dict(zip(EMOTIONS, (*(PALETTE[k] for k in (1, 2, 3, 5, 0, 4)), "#F2F2F2", "#F0E442"), strict=True))
MIN_IMAGE_PX = 320  # smaller images are enlarged to make the labels readable
TEXT_HEIGHT_SHARE = 1 / 36  # font size as a share of the longer side
MIN_TEXT_PX = 13
MAX_FRAME_SECONDS = 60.0  # limits the duration of a frame in a damaged video
MAX_NAME_BYTES = 200  # of the 255 that file systems allow, since a prefix and a suffix are added
MAX_JPEG_PX = 65_500  # longest side in the format


def annotate_image(pixels: ImageArray, faces: Sequence[FacePrediction]) -> UInt8[np.ndarray, "height2 width2 3"]:
    """Return the image with a box and a label for each face, enlarged if it is small.

    The label of an accepted prediction has its emotion's colour, that of an abstention is dark with a question mark.
    """
    scale = math.ceil(MIN_IMAGE_PX / max(pixels.shape[:2]))
    height, width = (scale * side for side in pixels.shape[:2])
    image = Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)
    text_px = max(MIN_TEXT_PX, round(TEXT_HEIGHT_SHARE * max(width, height)))
    corners = [_corners(face.box, scale) for face in faces]
    for draw in (_draw_outline, _draw_label):  # labels cover all boxes
        for face, corner in zip(faces, corners, strict=True):
            draw(ImageDraw.Draw(image), face, corner, text_px)
    return np.asarray(image)


def _corners(box: FaceBox, scale: int) -> Corners:
    x, y, side = round(scale * box.x), round(scale * box.y), max(1, round(scale * box.width))
    return x, y, x + side - 1, y + side - 1


def _draw_outline(pen: ImageDraw.ImageDraw, face: FacePrediction, corners: Corners, text_px: int) -> None:
    line = max(3, text_px // 5)
    x0, y0, x1, y1 = corners
    pen.rectangle((x0 - 1, y0 - 1, x1 + 1, y1 + 1), None, INK, line + 2)
    colour, line = (EMOTION_COLOURS[face.label], line) if face.accepted else ("white", 1)
    pen.rectangle(corners, None, colour, line)


def _draw_label(pen: ImageDraw.ImageDraw, face: FacePrediction, corners: Corners, text_px: int) -> None:
    """Draw the label above the box, or else below or inside it, where there is room."""
    text = f"{face.label}{'' if face.accepted else '?'} {face.confidence:.0%}"
    font, fill = _font(text_px), EMOTION_COLOURS[face.label] if face.accepted else INK
    width, height = math.ceil(font.getlength(text)) + text_px, round(1.5 * text_px)
    x0, y0, _, y1 = corners
    max_x, max_y = pen.im.size[0] - width, pen.im.size[1] - height
    y = next((y for y in (y0 - height, y1 + 1, y0) if 0 <= y <= max_y), max(0, max_y))
    x = max(0, min(x0, max_x))
    pen.rectangle((x, y, x + width - 1, y + height - 1), fill)
    pen.text((x + text_px / 2, y + height / 2), text, _text_colour(fill), font, anchor="lm")


@contextmanager
def annotation_writer(folder: Path, frames_per_second: float | None) -> Iterator[Callable[[ImageResult], None]]:
    """Yield a function that writes an annotated copy of each image into `folder`.

    The copy of photo.png is photo.annotated.jpg, so no original is replaced. The frames of a video are written to one
    mp4 that keeps their times. `frames_per_second` is the rate at which videos were sampled, None for every frame.

    Raises:
        InputError: A video can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    used_paths: set[Path] = set()
    video: _VideoFile | None = None

    def annotate(result: ImageResult) -> None:
        nonlocal video
        item = result.input
        if video and (item.frame is None or item.source != video.source or item.frame <= video.last_frame):
            video.close()
            video = None
        if result.status in FAILED_STATUSES or item.image is None or isinstance(item.image, UndecodableError):
            return
        image = item.image if isinstance(item.image, np.ndarray) else decode_image(item.image)
        pixels = annotate_image(image, result.faces)
        if item.frame is None or item.seconds is None:
            with atomic_write(_unused_path(folder, item.name, ".jpg", used_paths)) as part:
                copy = Image.fromarray(pixels)
                copy.thumbnail((MAX_JPEG_PX, MAX_JPEG_PX))
                copy.save(part, "JPEG", quality=92, subsampling=0)
            return
        if video is None:
            rate = min(filter(None, (frames_per_second, item.frame_rate or DEFAULT_FRAME_RATE)))
            path = _unused_path(folder, item.name, ".mp4", used_paths)
            video = _VideoFile(path, item.source, rate, pixels)
        video.add(pixels, item.frame, item.seconds)

    try:
        yield annotate
        if video:
            video.close()
    except BaseException:
        if video:
            video.discard()
        raise


class _VideoFile:
    """A video file that appears at its path when it is closed."""

    def __init__(self, path: Path, source: str, rate: float, first: ImageArray) -> None:
        self.source, self.last_frame = source, -1
        self._path, self._part = path, path.with_name(f".{path.stem}.{os.getpid()}.part.mp4")
        self._rate, self._frames_written = rate, 0
        self._seconds = self._last_seconds = 0.0  # in the copy and in the original
        self._height, self._width = first.shape[:2]
        self._image = first
        path.parent.mkdir(parents=True, exist_ok=True)
        code = cv2.VideoWriter.fourcc(*"mp4v")
        self._writer = cv2.VideoWriter(str(self._part), cv2.CAP_FFMPEG, code, rate, (self._width, self._height))
        if not self._writer.isOpened():
            raise InputError(f"{path}: can't write a video of {self._width} x {self._height} pixels there")

    def add(self, image: ImageArray, frame: int, seconds: float) -> None:
        """Repeat the previous image up to `seconds`, since times can be irregular, and show `image` from then on."""
        self._seconds += min(seconds - self._last_seconds, MAX_FRAME_SECONDS)
        self._last_seconds = seconds
        self._repeat_image(round(self._seconds * self._rate))
        self._image, self.last_frame = image, frame

    def close(self) -> None:
        self._repeat_image(self._frames_written + 1)
        self._writer.release()
        if int(cv2.VideoCapture(str(self._part)).get(cv2.CAP_PROP_FRAME_COUNT)) != self._frames_written:
            # OpenCV itself reports no error.
            raise OSError(errno.EIO, "was not written completely; check for a full disk", str(self._path))
        os.replace(self._part, self._path)

    def discard(self) -> None:
        self._writer.release()
        self._part.unlink(missing_ok=True)

    def _repeat_image(self, end: int) -> None:
        """Write the current image up to frame `end` of the copy."""
        pixels = cv2.cvtColor(self._image, cv2.COLOR_RGB2BGR)
        for _ in range(self._frames_written, end):
            self._writer.write(pixels)
        self._frames_written = max(self._frames_written, end)


def _unused_path(folder: Path, name: str, suffix: str, used_paths: set[Path]) -> Path:
    """Return a path for the copy of `name` that no other copy has, with overlong names truncated."""
    stem = folder.joinpath(*(_truncate_name(part) for part in PurePosixPath(name).with_suffix("").parts))
    names = (f"{stem}{number}.annotated{suffix}" for number in chain([""], (f"-{k}" for k in count(2))))
    path = next(path for path in map(Path, names) if path not in used_paths)
    used_paths.add(path)
    return path


def _truncate_name(name: str) -> str:
    return os.fsdecode(os.fsencode(name)[:MAX_NAME_BYTES])


def _text_colour(colour: str) -> str:
    return INK if np.dot(ImageColor.getrgb(colour), (0.299, 0.587, 0.114)) > 140 else "white"


@cache
def _font(px: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(findfont(FontProperties(family=STYLE["font.family"], weight="bold")), px)
