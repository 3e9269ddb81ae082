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

from fer.core.files import replacing
from fer.core.labels import EMOTIONS
from fer.data.media.detection import Box
from fer.data.media.images import UndecodableError, decode_colour
from fer.data.media.video import COMMON_RATE
from fer.reporting.plots.plots import INK, PALETTE, STYLE
from fer.runtime.errors import InputError
from fer.serving.outputs import Prediction, Seen
from fer.serving.statuses import FAILED

Picture = UInt8[np.ndarray, "height width 3"]
Corners = tuple[int, int, int, int]  # left, top, right, bottom: the pixels themselves

# angry, disgust, fear, happy, sad, surprise, neutral, contempt: Okabe & Ito's eight
COLOUR = dict(zip(EMOTIONS, (*(PALETTE[k] for k in (1, 2, 3, 5, 0, 4)), "#F2F2F2", "#F0E442"), strict=True))
LEAST_PX = 320  # smaller pictures are enlarged, or nobody could read the labels
LETTERS = 1 / 36  # height of a line, as a share of the longer side
LETTERS_LEAST_PX = 13
LONGEST = 60.0  # seconds for which a frame is shown, whatever a damaged video says
NAME_BYTES = 200  # of 255 that a disk allows: more comes before and after it
JPEG_PX = 65_500  # the longest side that the format has


def annotated(picture: Picture, faces: Sequence[Prediction]) -> UInt8[np.ndarray, "height2 width2 3"]:
    """The picture, with boxes and labels; small ones are enlarged.

    A prediction that is accepted has a solid label in its emotion's colour; one that abstains a dark label, with a
    question mark.
    """
    scale = math.ceil(LEAST_PX / max(picture.shape[:2]))
    height, width = (scale * side for side in picture.shape[:2])
    image = Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC)
    letters = max(LETTERS_LEAST_PX, round(LETTERS * max(width, height)))
    corners = [_corners(face.box, scale) for face in faces]
    for draw in (_outline, _label):  # the labels above all boxes
        for face, corner in zip(faces, corners, strict=True):
            draw(ImageDraw.Draw(image), face, corner, letters)
    return np.asarray(image)


def _corners(box: Box, scale: int) -> Corners:
    left, top, side = round(scale * box.x), round(scale * box.y), max(1, round(scale * box.width))
    return left, top, left + side - 1, top + side - 1


def _outline(pen: ImageDraw.ImageDraw, face: Prediction, corners: Corners, letters: int) -> None:
    line = max(3, letters // 5)
    left, top, right, bottom = corners
    pen.rectangle((left - 1, top - 1, right + 1, bottom + 1), None, INK, line + 2)
    pen.rectangle(corners, None, COLOUR[face.label] if face.accepted else "white", line if face.accepted else 1)


def _label(pen: ImageDraw.ImageDraw, face: Prediction, corners: Corners, letters: int) -> None:
    """Above the box, or below, or in it, wherever there is room."""
    text = f"{face.label}{'' if face.accepted else '?'} {face.confidence:.0%}"
    font, fill = _font(letters), COLOUR[face.label] if face.accepted else INK
    width, height = math.ceil(font.getlength(text)) + letters, round(1.5 * letters)
    left, top, _, bottom = corners
    last_x, last_y = (room - taken for room, taken in zip(pen.im.size, (width, height), strict=True))
    y = next((y for y in (top - height, bottom + 1, top) if 0 <= y <= last_y), max(0, last_y))
    x = max(0, min(left, last_x))
    pen.rectangle((x, y, x + width - 1, y + height - 1), fill)
    pen.text((x + letters / 2, y + height / 2), text, _ink_on(fill), font, anchor="lm")


@contextmanager
def annotating(folder: Path | None, per_second: float | None) -> Iterator[Callable[[Seen], None]]:
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
    video: _Video | None = None

    def annotate(seen: Seen) -> None:
        nonlocal video
        if video and (seen.input.frame is None or seen.input.source != video.source or seen.input.frame <= video.last):
            video.close()
            video = None
        picture, frame, seconds = seen.input.picture, seen.input.frame, seen.input.seconds
        if seen.status in FAILED or picture is None or isinstance(picture, UndecodableError):
            return
        drawn = annotated(picture if isinstance(picture, np.ndarray) else decode_colour(picture), seen.faces)
        if frame is None or seconds is None:
            with replacing(_new(folder, seen.input.name, ".jpg", taken)) as part:
                copy = Image.fromarray(drawn)
                copy.thumbnail((JPEG_PX, JPEG_PX))
                copy.save(part, "JPEG", quality=92, subsampling=0)
            return
        if video is None:
            rate = min(filter(None, (per_second, seen.input.rate or COMMON_RATE)))
            video = _Video(_new(folder, seen.input.name, ".mp4", taken), seen.input.source, rate, drawn)
        video.add(drawn, frame, seconds)

    try:
        yield annotate
        if video:
            video.close()
    except BaseException:
        if video:
            video.discard()
        raise


class _Video:
    """A video being written; it takes its place when it is closed."""

    def __init__(self, path: Path, source: str, rate: float, first: Picture) -> None:
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

    def add(self, picture: Picture, number: int, seconds: float) -> None:
        """Show the picture from this second on: times may be irregular, those of the written video are not."""
        self._seconds += min(seconds - self._told, LONGEST)
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


def _new(folder: Path, name: str, suffix: str, taken: set[Path]) -> Path:
    """A path for the copy of `name` that no other copy has; names that are too long for a disk are cut."""
    stem = folder.joinpath(*(_cut(part) for part in PurePosixPath(name).with_suffix("").parts))
    names = (f"{stem}{again}.annotated{suffix}" for again in chain([""], (f"-{k}" for k in count(2))))
    path = next(path for path in map(Path, names) if path not in taken)
    taken.add(path)
    return path


def _cut(name: str) -> str:
    return os.fsdecode(os.fsencode(name)[:NAME_BYTES])


def _ink_on(colour: str) -> str:
    return INK if np.dot(ImageColor.getrgb(colour), (0.299, 0.587, 0.114)) > 140 else "white"


@cache
def _font(px: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(findfont(FontProperties(family=STYLE["font.family"], weight="bold")), px)
