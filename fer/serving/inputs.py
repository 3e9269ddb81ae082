"""Inputs of prediction: images, those in folders and archives, and the frames of videos and cameras."""

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from fer.data.media import archives, folders
from fer.data.media.folders import (
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    File,
    Folder,
    Note,
    SkippedItem,
    local_path,
    read_image_bytes,
)
from fer.data.media.images import UndecodableError
from fer.data.media.video import Frame, read_camera, read_frames
from fer.runtime.errors import InputError

INPUT_SUFFIXES = (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)
_MAX_CAMERA_DIGITS = 5  # longer numbers are not cameras

# One image of a program: a path, uint8 pixels (h, w), (h, w, 3) or (h, w, 4), or a PIL image.
ImageLike = str | os.PathLike[str] | UInt8[np.ndarray, "_ _"] | UInt8[np.ndarray, "_ _ _"] | Image.Image
_ALLOWED_IMAGES = "allowed: a path, a uint8 array (h, w) or (h, w, 3), a PIL image"


@dataclass(frozen=True, slots=True)
class ImageInput:
    """An image to predict, or the reason why it is missing."""

    source: str
    image: Path | bytes | Image.Image | UInt8[np.ndarray, "height width 3"] | UndecodableError | None
    name: str = ""  # of a file: its path relative to the argument that contains it
    frame: int | None = None  # number in a video, from 0
    seconds: float | None = None  # from the beginning of a video
    frame_rate: float | None = None  # frames per second of a video


def inputs_from_images(images: object, loader: "InputLoader") -> Iterator[ImageInput]:
    """Yield the inputs in one `ImageLike` or an iterable of them, where paths can also be folders, videos and so on.

    Images without a name are named #0, #1, … by their position.

    Raises:
        InputError: An item is not an `ImageLike`.
    """
    single = isinstance(images, str | bytes | os.PathLike | Image.Image) or (
        isinstance(images, np.ndarray) and (images.ndim == 0 or _has_image_shape(images))
    )
    if single:
        images = (images,)
    elif not isinstance(images, Iterable):
        raise InputError(f"{type(images).__name__} is not an image; {_ALLOWED_IMAGES}, or an iterable of these")
    for position, image in enumerate(images):
        if isinstance(image, str | os.PathLike):
            yield from loader.load(os.fsdecode(image))
        else:
            yield input_from_image(image, f"#{position}")


def input_from_image(image: object, name: str) -> ImageInput:
    """Return the input of one image, which is called `name` unless it is a path.

    Raises:
        InputError: The image is not an `ImageLike`, or its path is not a file.
    """
    if isinstance(image, str | os.PathLike):
        path = Path(os.fsdecode(image))
        if not path.is_file():
            raise InputError(f"{_printable_path(path)}: not a file; name one image file")
        return ImageInput(_printable_path(path), path)
    if isinstance(image, Image.Image):
        return ImageInput(name, image)
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.size and _has_image_shape(image):
        return ImageInput(name, Image.fromarray(image))
    kind = f"array {image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
    raise InputError(f"{name}: {kind} is not an image; {_ALLOWED_IMAGES}")


def _has_image_shape(array: np.ndarray) -> bool:
    return array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))


class InputLoader:
    """A reader of the images in files, folders, archives, patterns, videos and cameras."""

    def __init__(self, frames_per_second: float | None = None) -> None:
        """Set the frame rate at which videos are sampled; None reads every frame."""
        self.frames_per_second = frames_per_second
        self.notes: list[str] = []  # counts of skipped files that are neither images nor videos

    def load(self, argument: str) -> Iterator[ImageInput]:
        """Yield the images of one argument, or one input with the reason why there are none."""
        path = Path(argument)
        if os.path.isdir(argument):
            yield from self._require_any(argument, self._load_folder(path))
        elif os.path.exists(argument):
            yield from self._load_file(path, path.name)
        elif argument.isdecimal() and len(argument) < _MAX_CAMERA_DIGITS:
            yield from _frame_inputs(argument, argument, read_camera(int(argument), self.frames_per_second))
        elif glob.has_magic(argument) and "\0" not in argument:  # glob fails on null characters
            matches = sorted(glob.glob(argument, recursive=True))
            items = (item for match in matches for item in self.load(match))
            yield from self._require_any(argument, items)
        else:
            yield _failed_input(argument, "missing", "no such file or folder, no match for the pattern, and no camera")

    def _require_any(self, argument: str, items: Iterator[ImageInput]) -> Iterator[ImageInput]:
        """Yield the items, or an input that reports that there are none."""
        is_empty = True
        for item in items:
            is_empty = False
            yield item
        if is_empty:
            yield _failed_input(argument, "missing", "contains no images or videos")

    def _load_folder(self, root: Path) -> Iterator[ImageInput]:
        errors: list[OSError] = []
        skipped: Counter[str] = Counter()
        for folder, subfolders, names in os.walk(root, onerror=errors.append):
            subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
            for path in (Path(folder, name) for name in subfolders):
                if path.is_symlink():
                    yield _failed_input(path, "link", "linked folders are not read; name the folder itself")
            for path in (Path(folder, name) for name in sorted(names) if not name.startswith(".")):
                if path.suffix.lower() in INPUT_SUFFIXES or archives.is_archive(path.name):
                    yield from self._load_file(path, path.relative_to(root).as_posix())
                else:
                    skipped[path.suffix.lower() or "no suffix"] += 1
        for error in errors:
            yield _failed_input(error.filename, "unreadable folder", str(error.strerror))
        if skipped:
            counts = ", ".join(f"{suffix} {count:,}" for suffix, count in sorted(skipped.items()))
            self.notes.append(
                f"{_printable_path(root)}: skipped {skipped.total():,} files, neither images nor videos: {counts}"
            )

    def _load_file(self, path: Path, name: str) -> Iterator[ImageInput]:
        if path.exists() and not path.is_file():  # reading a pipe would block
            yield _failed_input(path, "special file", "only plain files are read")
        elif archives.is_archive(name):
            yield from self._require_any(str(path), self._load_archive(path, name))
        elif path.suffix.lower() in VIDEO_SUFFIXES:
            yield from self._load_video(File(name, path), name)
        else:
            yield ImageInput(_printable_path(path), path, name)

    def _load_archive(self, path: Path, name: str) -> Iterator[ImageInput]:
        try:
            tree = archives.open_archive(path).tree
        except (InputError, OSError) as error:
            yield _failed_input(path, "damaged archive", str(error))
            return
        for item in folders.walk_media(Folder(path, archive=path, tree=tree), suffixes=INPUT_SUFFIXES):
            match item:
                case Note(text):
                    self.notes.append(f"{_printable_path(path)}: {text}")
                case SkippedItem(id, reason, detail):
                    yield ImageInput(_printable_path(path / id), UndecodableError(reason, detail))
                case File() if item.suffix in VIDEO_SUFFIXES:
                    yield from self._load_video(item, f"{name}/{item.id}")
                case File():
                    try:
                        yield ImageInput(_printable_path(item.path), read_image_bytes(item), f"{name}/{item.id}")
                    except UndecodableError as error:
                        yield ImageInput(_printable_path(item.path), error)

    def _load_video(self, file: File, name: str) -> Iterator[ImageInput]:
        def frames() -> Iterator[Frame]:
            with local_path(file) as path:
                yield from read_frames(path, self.frames_per_second)

        return _frame_inputs(_printable_path(file.path), name, frames())


def _frame_inputs(source: str, name: str, frames: Iterator[Frame]) -> Iterator[ImageInput]:
    """Yield the frames, and an input with the error if a frame is unreadable."""
    try:
        for frame in frames:
            yield ImageInput(source, frame.image, name, frame.number, frame.seconds, frame.frame_rate)
    except UndecodableError as error:
        yield ImageInput(source, error)
    except OSError as error:
        yield ImageInput(source, UndecodableError("unreadable video", error.strerror or str(error)))


def _failed_input(path: Path | str, reason: str, detail: str) -> ImageInput:
    return ImageInput(_printable_path(path), UndecodableError(reason, detail))


def _printable_path(path: Path | str) -> str:
    """Return the path with invalid UTF-8 and carriage returns escaped; Python's csv does not quote the latter."""
    return os.fsencode(path).decode("utf-8", "backslashreplace").replace("\r", "\\r")
