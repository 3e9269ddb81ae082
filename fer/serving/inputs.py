"""What there is to look at: pictures, those in folders and archives, the frames of videos and cameras."""

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from fer.data.media import archives, folders
from fer.data.media.folders import IMAGE_SUFFIXES, VIDEO_SUFFIXES, File, Folder, local_path, read_image_bytes
from fer.data.media.images import UndecodableError
from fer.data.media.issues import Note, SkippedItem
from fer.data.media.video import Frame, read_camera, read_frames
from fer.runtime.errors import InputError

INPUT_SUFFIXES = (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)
_MAX_CAMERA_DIGITS = 5  # cameras have fewer


@dataclass(frozen=True, slots=True)
class ImageInput:
    """A picture to look at, or why there is none."""

    source: str
    image: Path | bytes | Image.Image | UInt8[np.ndarray, "height width 3"] | UndecodableError | None
    name: str = ""  # of a file: its path below what the user named
    frame: int | None = None  # of a video, from 0
    seconds: float | None = None  # of a video, from its beginning
    frame_rate: float | None = None  # frames per second of a video


def inputs_from_images(images: object, loader: "InputLoader") -> Iterator[ImageInput]:
    """What a program hands over: a path, an array (h, w), (h, w, 3) or (h, w, 4), a PIL image, or an iterable of such.

    Arrays are uint8, grey or red, green, blue. Pictures without a name are called #0, #1, … by their place.

    Raises:
        InputError: something else is among them.
    """
    single = isinstance(images, str | os.PathLike | Image.Image) or _is_image_array(images)
    if not single and not isinstance(images, Iterable):
        raise InputError(
            f"{type(images).__name__}: no picture; allowed are paths, arrays, PIL images and lists of them"
        )
    for place, image in enumerate([images] if single else cast(Iterable[object], images)):
        match image:
            case str() | os.PathLike():
                yield from loader.load(os.fspath(cast(str, image)))
            case Image.Image():
                yield ImageInput(f"#{place}", image)
            case np.ndarray() if _is_image_array(image) and image.dtype == np.uint8:
                yield ImageInput(f"#{place}", Image.fromarray(image))
            case np.ndarray():
                raise InputError(f"#{place}: an array {image.dtype} {image.shape}; allowed uint8 (h, w), (h, w, 3)")
            case _:
                raise InputError(f"#{place}: {type(image).__name__}; allowed are paths, arrays and PIL images")


def _is_image_array(image: object) -> bool:
    if not isinstance(image, np.ndarray) or not image.size:
        return False
    return image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (3, 4))


class InputLoader:
    """All that is to be looked at in files, folders, archives, patterns, videos and cameras, in order."""

    def __init__(self, frames_per_second: float | None = None) -> None:
        """`frames_per_second` frames of a video are taken, or all."""
        self.frames_per_second = frames_per_second
        self.notes: list[str] = []  # what was left out, since it is neither picture nor video

    def load(self, argument: str) -> Iterator[ImageInput]:
        """The pictures of one argument; at least one, or the reason why there is none."""
        path = Path(argument)
        if os.path.isdir(argument):
            yield from self._or_nothing(argument, self._folder(path))
        elif os.path.exists(argument):
            yield from self._file(path, path.name)
        elif argument.isdecimal() and len(argument) < _MAX_CAMERA_DIGITS:
            yield from _frame_inputs(argument, argument, read_camera(int(argument), self.frames_per_second))
        elif glob.has_magic(argument) and "\0" not in argument:  # which no name has
            matches = sorted(glob.glob(argument, recursive=True))
            found = (item for match in matches for item in self.load(match))
            yield from self._or_nothing(argument, found)
        else:
            yield ImageInput(
                _printable_path(argument), UndecodableError("missing", "no file, folder or pattern of that name")
            )

    def _or_nothing(self, argument: str, found: Iterator[ImageInput]) -> Iterator[ImageInput]:
        nothing = True
        for item in found:
            nothing = False
            yield item
        if nothing:
            yield ImageInput(_printable_path(argument), UndecodableError("missing", "no pictures or videos there"))

    def _folder(self, root: Path) -> Iterator[ImageInput]:
        unread: list[OSError] = []
        others: Counter[str] = Counter()
        for folder, inner, names in os.walk(root, onerror=unread.append):
            inner[:] = sorted(name for name in inner if not name.startswith("."))
            for path in (Path(folder, name) for name in inner):
                if path.is_symlink():
                    yield ImageInput(
                        _printable_path(path), UndecodableError("link", "linked folders are not entered; name it")
                    )
            for path in (Path(folder, name) for name in sorted(names) if not name.startswith(".")):
                if path.suffix.lower() in INPUT_SUFFIXES or archives.is_archive(path.name):
                    yield from self._file(path, path.relative_to(root).as_posix())
                else:
                    others[path.suffix.lower() or "no suffix"] += 1
        for error in unread:
            yield ImageInput(
                _printable_path(error.filename), UndecodableError("unreadable folder", str(error.strerror))
            )
        if others:
            kinds = ", ".join(f"{suffix} {count:,}" for suffix, count in sorted(others.items()))
            self.notes.append(
                f"{_printable_path(root)}: {others.total():,} files of other kinds were left out: {kinds}"
            )

    def _file(self, path: Path, name: str) -> Iterator[ImageInput]:
        if path.exists() and not path.is_file():  # reading a pipe would wait for ever
            yield ImageInput(_printable_path(path), UndecodableError("special file", "only plain files are read"))
        elif archives.is_archive(name):
            yield from self._or_nothing(str(path), self._archive(path, name))
        elif path.suffix.lower() in VIDEO_SUFFIXES:
            yield from self._video(File(name, path), name)
        else:
            yield ImageInput(_printable_path(path), path, name)

    def _archive(self, path: Path, name: str) -> Iterator[ImageInput]:
        try:
            tree = archives.open_archive(path).tree
        except (InputError, OSError) as error:
            yield ImageInput(_printable_path(path), UndecodableError("damaged archive", str(error)))
            return
        for item in folders.walk_media(Folder(path, archive=path, tree=tree), suffixes=INPUT_SUFFIXES):
            match item:
                case Note(text):
                    self.notes.append(f"{_printable_path(path)}: {text}")
                case SkippedItem(id, reason, detail):
                    yield ImageInput(_printable_path(path / id), UndecodableError(reason, detail))
                case File() if item.suffix in VIDEO_SUFFIXES:
                    yield from self._video(item, f"{name}/{item.id}")
                case File():
                    try:
                        yield ImageInput(_printable_path(item.path), read_image_bytes(item), f"{name}/{item.id}")
                    except UndecodableError as error:
                        yield ImageInput(_printable_path(item.path), error)

    def _video(self, file: File, name: str) -> Iterator[ImageInput]:
        def shown() -> Iterator[Frame]:
            with local_path(file) as path:
                yield from read_frames(path, self.frames_per_second)

        return _frame_inputs(_printable_path(file.path), name, shown())


def _frame_inputs(source: str, name: str, shown: Iterator[Frame]) -> Iterator[ImageInput]:
    """The frames, and in the end why there are no more, if that is wrong."""
    try:
        for frame in shown:
            yield ImageInput(source, frame.image, name, frame.number, frame.seconds, frame.frame_rate)
    except UndecodableError as error:
        yield ImageInput(source, error)
    except OSError as error:
        yield ImageInput(source, UndecodableError("unreadable video", error.strerror or str(error)))


def _printable_path(path: Path | str) -> str:
    """The path with what is not UTF-8 written out, and carriage returns: Python's csv leaves them bare."""
    return os.fsencode(path).decode("utf-8", "backslashreplace").replace("\r", "\\r")
