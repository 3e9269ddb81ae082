"""Pictures and videos with a box around each face and what it is taken for."""

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

Corners = tuple[int, int, int, int]  # left, top, right, bottom: the pixels themselves

# angry, disgust, fear, happy, sad, surprise, neutral, contempt: Okabe & Ito's eight
EMOTION_COLOURS = dict(zip(EMOTIONS, (*(PALETTE[k] for k in (1, 2, 3, 5, 0, 4)), "#F2F2F2", "#F0E442"), strict=True))
MIN_IMAGE_PX = 320  # smaller pictures are enlarged, or nobody could read the labels
TEXT_HEIGHT_SHARE = 1 / 36  # height of a line, as a share of the longer side
MIN_TEXT_PX = 13
MAX_FRAME_SECONDS = 60.0  # seconds for which a frame is shown, whatever a damaged video says
MAX_NAME_BYTES = 200  # of 255 that a disk allows: more comes before and after it
MAX_JPEG_PX = 65_500  # the longest side that the format has


def annotate_image(pixels: ImageArray, faces: Sequence[FacePrediction]) -> UInt8[np.ndarray, "height2 width2 3"]:
    """The picture, with boxes and labels; small ones are enlarged.

    A prediction that is accepted has a solid label in its emotion's colour; one that abstains a dark label, with a
    question mark.
    """
    scale = math.ceil(MIN_IMAGE_PX / max(pixels.shape[:2]))
    height, width = (scale * side for side in pixels.shape[:2])
    image = Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)
    letters = max(MIN_TEXT_PX, round(TEXT_HEIGHT_SHARE * max(width, height)))
    corners = [_corners(face.box, scale) for face in faces]
    for draw in (_draw_outline, _draw_label):  # the labels above all boxes
        for face, corner in zip(faces, corners, strict=True):
            draw(ImageDraw.Draw(image), face, corner, letters)
    return np.asarray(image)


def _corners(box: FaceBox, scale: int) -> Corners:
    left, top, side = round(scale * box.x), round(scale * box.y), max(1, round(scale * box.width))
    return left, top, left + side - 1, top + side - 1


def _draw_outline(pen: ImageDraw.ImageDraw, face: FacePrediction, corners: Corners, letters: int) -> None:
    line = max(3, letters // 5)
    left, top, right, bottom = corners
    pen.rectangle((left - 1, top - 1, right + 1, bottom + 1), None, INK, line + 2)
    pen.rectangle(
        corners, None, EMOTION_COLOURS[face.label] if face.accepted else "white", line if face.accepted else 1
    )


def _draw_label(pen: ImageDraw.ImageDraw, face: FacePrediction, corners: Corners, letters: int) -> None:
    """Above the box, or below, or in it, wherever there is room."""
    text = f"{face.label}{'' if face.accepted else '?'} {face.confidence:.0%}"
    font, fill = _font(letters), EMOTION_COLOURS[face.label] if face.accepted else INK
    width, height = math.ceil(font.getlength(text)) + letters, round(1.5 * letters)
    left, top, _, bottom = corners
    last_x, last_y = (room - taken for room, taken in zip(pen.im.size, (width, height), strict=True))
    y = next((y for y in (top - height, bottom + 1, top) if 0 <= y <= last_y), max(0, last_y))
    x = max(0, min(left, last_x))
    pen.rectangle((x, y, x + width - 1, y + height - 1), fill)
    pen.text((x + letters / 2, y + height / 2), text, _text_colour(fill), font, anchor="lm")


@contextmanager
def annotation_writer(folder: Path | None, frames_per_second: float | None) -> Iterator[Callable[[ImageResult], None]]:
    """Yield a function that writes an annotated copy of each picture that was kept into `folder`, if there is one.

    A copy of photo.png is photo.annotated.jpg, so that no original is replaced; the frames of a video come together
    in an mp4 that keeps their times.

    Raises:
        InputError: a video can't be written.
    """
    if folder is None:
        yield lambda seen: None
        return
    folder.mkdir(parents=True, exist_ok=True)
    taken: set[Path] = set()
    video: _VideoFile | None = None

    def annotate(seen: ImageResult) -> None:
        nonlocal video
        if video and (seen.input.frame is None or seen.input.source != video.source or seen.input.frame <= video.last):
            video.close()
            video = None
        picture, frame, seconds = seen.input.image, seen.input.frame, seen.input.seconds
        if seen.status in FAILED_STATUSES or picture is None or isinstance(picture, UndecodableError):
            return
        drawn = annotate_image(picture if isinstance(picture, np.ndarray) else decode_image(picture), seen.faces)
        if frame is None or seconds is None:
            with atomic_write(_unused_path(folder, seen.input.name, ".jpg", taken)) as part:
                copy = Image.fromarray(drawn)
                copy.thumbnail((MAX_JPEG_PX, MAX_JPEG_PX))
                copy.save(part, "JPEG", quality=92, subsampling=0)
            return
        if video is None:
            rate = min(filter(None, (frames_per_second, seen.input.frame_rate or DEFAULT_FRAME_RATE)))
            video = _VideoFile(_unused_path(folder, seen.input.name, ".mp4", taken), seen.input.source, rate, drawn)
        video.add(drawn, frame, seconds)

    try:
        yield annotate
        if video:
            video.close()
    except BaseException:
        if video:
            video.discard()
        raise


class _VideoFile:
    """A video being written; it takes its place when it is closed."""

    def __init__(self, path: Path, source: str, rate: float, first: ImageArray) -> None:
        self.source, self.last = source, -1  # the frame that came last
        self._path, self._part = path, path.with_name(f".{path.stem}.{os.getpid()}.part.mp4")
        self._rate, self._written = rate, 0
        self._seconds = self._told = 0.0
        self._height, self._width = first.shape[:2]
        self._shown = first
        path.parent.mkdir(parents=True, exist_ok=True)
        code = cv2.VideoWriter.fourcc(*"mp4v")
        self._writer = cv2.VideoWriter(str(self._part), cv2.CAP_FFMPEG, code, rate, (self._width, self._height))
        if not self._writer.isOpened():
            raise InputError(f"{path}: a video of {self._width} x {self._height} pixels can't be written there")

    def add(self, picture: ImageArray, number: int, seconds: float) -> None:
        """Show the picture from this second on: times may be irregular, those of the written video are not."""
        self._seconds += min(seconds - self._told, MAX_FRAME_SECONDS)
        self._told = seconds
        self._hold(round(self._seconds * self._rate))
        self._shown, self.last = picture, number

    def close(self) -> None:
        self._hold(self._written + 1)
        self._writer.release()
        if int(cv2.VideoCapture(str(self._part)).get(cv2.CAP_PROP_FRAME_COUNT)) != self._written:
            raise OSError(errno.EIO, "was not written whole; is the disk full?", str(self._path))  # no word of OpenCV's
        os.replace(self._part, self._path)

    def discard(self) -> None:
        self._writer.release()
        self._part.unlink(missing_ok=True)

    def _hold(self, until: int) -> None:
        """The picture shown, up to this frame of the written video."""
        frame = cv2.cvtColor(self._shown, cv2.COLOR_RGB2BGR)
        for _ in range(self._written, until):
            self._writer.write(frame)
        self._written = max(self._written, until)


def _unused_path(folder: Path, name: str, suffix: str, taken: set[Path]) -> Path:
    """A path for the copy of `name` that no other copy has; names that are too long for a disk are cut."""
    stem = folder.joinpath(*(_truncate_name(part) for part in PurePosixPath(name).with_suffix("").parts))
    names = (f"{stem}{again}.annotated{suffix}" for again in chain([""], (f"-{k}" for k in count(2))))
    path = next(path for path in map(Path, names) if path not in taken)
    taken.add(path)
    return path


def _truncate_name(name: str) -> str:
    return os.fsdecode(os.fsencode(name)[:MAX_NAME_BYTES])


def _text_colour(colour: str) -> str:
    return INK if np.dot(ImageColor.getrgb(colour), (0.299, 0.587, 0.114)) > 140 else "white"


@cache
def _font(px: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(findfont(FontProperties(family=STYLE["font.family"], weight="bold")), px)
