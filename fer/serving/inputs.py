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
from fer.data.media.folders import PICTURES, VIDEOS, File, Folder, from_archive, on_disk
from fer.data.media.images import UndecodableError
from fer.data.media.issues import Dropped, Note
from fer.data.media.video import Frame, camera, frames
from fer.runtime.errors import InputError

KINDS = (*PICTURES, *VIDEOS)
_DIGITS = 5  # cameras have fewer


@dataclass(frozen=True, slots=True)
class Input:
    """A picture to look at, or why there is none."""

    source: str
    picture: Path | bytes | Image.Image | UInt8[np.ndarray, "height width 3"] | UndecodableError | None
    name: str = ""  # of a file: its path below what the user named
    frame: int | None = None  # of a video, from 0
    seconds: float | None = None  # of a video, from its beginning
    rate: float | None = None  # frames per second of a video


def given(images: object, inputs: "Inputs") -> Iterator[Input]:
    """What a program hands over: a path, an array (h, w), (h, w, 3) or (h, w, 4), a PIL image, or an iterable of such.

    Arrays are uint8, grey or red, green, blue. Pictures without a name are called #0, #1, … by their place.

    Raises:
        InputError: something else is among them.
    """
    single = isinstance(images, str | os.PathLike | Image.Image) or _is_picture(images)
    if not single and not isinstance(images, Iterable):
        raise InputError(
            f"{type(images).__name__}: no picture; allowed are paths, arrays, PIL images and lists of them"
        )
    for place, image in enumerate([images] if single else cast(Iterable[object], images)):
        match image:
            case str() | os.PathLike():
                yield from inputs.named(os.fspath(cast(str, image)))
            case Image.Image():
                yield Input(f"#{place}", image)
            case np.ndarray() if _is_picture(image) and image.dtype == np.uint8:
                yield Input(f"#{place}", Image.fromarray(image))
            case np.ndarray():
                raise InputError(f"#{place}: an array {image.dtype} {image.shape}; allowed uint8 (h, w), (h, w, 3)")
            case _:
                raise InputError(f"#{place}: {type(image).__name__}; allowed are paths, arrays and PIL images")


def _is_picture(image: object) -> bool:
    if not isinstance(image, np.ndarray) or not image.size:
        return False
    return image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (3, 4))


class Inputs:
    """All that is to be looked at in files, folders, archives, patterns, videos and cameras, in order."""

    def __init__(self, per_second: float | None = None) -> None:
        """`per_second` frames of a video are taken, or all."""
        self.per_second = per_second
        self.notes: list[str] = []  # what was left out, since it is neither picture nor video

    def named(self, argument: str) -> Iterator[Input]:
        """The pictures of one argument; at least one, or the reason why there is none."""
        path = Path(argument)
        if os.path.isdir(argument):
            yield from self._or_nothing(argument, self._folder(path))
        elif os.path.exists(argument):
            yield from self._file(path, path.name)
        elif argument.isdecimal() and len(argument) < _DIGITS:
            yield from _told(argument, argument, camera(int(argument), self.per_second))
        elif glob.has_magic(argument) and "\0" not in argument:  # which no name has
            matches = sorted(glob.glob(argument, recursive=True))
            found = (item for match in matches for item in self.named(match))
            yield from self._or_nothing(argument, found)
        else:
            yield Input(_readable(argument), UndecodableError("missing", "no file, folder or pattern of that name"))

    def _or_nothing(self, argument: str, found: Iterator[Input]) -> Iterator[Input]:
        nothing = True
        for item in found:
            nothing = False
            yield item
        if nothing:
            yield Input(_readable(argument), UndecodableError("missing", "no pictures or videos there"))

    def _folder(self, root: Path) -> Iterator[Input]:
        unread: list[OSError] = []
        others: Counter[str] = Counter()
        for folder, inner, names in os.walk(root, onerror=unread.append):
            inner[:] = sorted(name for name in inner if not name.startswith("."))
            for path in (Path(folder, name) for name in inner):
                if path.is_symlink():
                    yield Input(_readable(path), UndecodableError("link", "linked folders are not entered; name it"))
            for path in (Path(folder, name) for name in sorted(names) if not name.startswith(".")):
                if path.suffix.lower() in KINDS or archives.is_archive(path.name):
                    yield from self._file(path, path.relative_to(root).as_posix())
                else:
                    others[path.suffix.lower() or "no suffix"] += 1
        for error in unread:
            yield Input(_readable(error.filename), UndecodableError("unreadable folder", str(error.strerror)))
        if others:
            kinds = ", ".join(f"{suffix} {count:,}" for suffix, count in sorted(others.items()))
            self.notes.append(f"{_readable(root)}: {others.total():,} files of other kinds were left out: {kinds}")

    def _file(self, path: Path, name: str) -> Iterator[Input]:
        if path.exists() and not path.is_file():  # reading a pipe would wait for ever
            yield Input(_readable(path), UndecodableError("special file", "only plain files are read"))
        elif archives.is_archive(name):
            yield from self._or_nothing(str(path), self._archive(path, name))
        elif path.suffix.lower() in VIDEOS:
            yield from self._video(File(name, path), name)
        else:
            yield Input(_readable(path), path, name)

    def _archive(self, path: Path, name: str) -> Iterator[Input]:
        try:
            tree = archives.opened(path).tree
        except (InputError, OSError) as error:
            yield Input(_readable(path), UndecodableError("damaged archive", str(error)))
            return
        for item in folders.pictures(Folder(path, archive=path, tree=tree), suffixes=KINDS):
            match item:
                case Note(text):
                    self.notes.append(f"{_readable(path)}: {text}")
                case Dropped(id, reason, detail):
                    yield Input(_readable(path / id), UndecodableError(reason, detail))
                case File() if item.suffix in VIDEOS:
                    yield from self._video(item, f"{name}/{item.id}")
                case File():
                    try:
                        yield Input(_readable(item.path), from_archive(item), f"{name}/{item.id}")
                    except UndecodableError as error:
                        yield Input(_readable(item.path), error)

    def _video(self, file: File, name: str) -> Iterator[Input]:
        def shown() -> Iterator[Frame]:
            with on_disk(file) as path:
                yield from frames(path, self.per_second)

        return _told(_readable(file.path), name, shown())


def _told(source: str, name: str, shown: Iterator[Frame]) -> Iterator[Input]:
    """The frames, and in the end why there are no more, if that is wrong."""
    try:
        for frame in shown:
            yield Input(source, frame.picture, name, frame.number, frame.seconds, frame.rate)
    except UndecodableError as error:
        yield Input(source, error)
    except OSError as error:
        yield Input(source, UndecodableError("unreadable video", error.strerror or str(error)))


def _readable(path: Path | str) -> str:
    """The path with what is not UTF-8 written out, and carriage returns: Python's csv leaves them bare."""
    return os.fsencode(path).decode("utf-8", "backslashreplace").replace("\r", "\\r")
