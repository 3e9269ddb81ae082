"""Files and folders of a source, on disk or in archives, listed in an order that is the same on every machine.

An archive is a folder like any other. Hidden files and system files (`__MACOSX`, `Thumbs.db`, `._*`) are ignored.
Links below a source's folder are never followed; the folder itself may be a link.
"""

import csv
import io
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path, PurePosixPath

from fer.data.media import archives
from fer.data.media.archives import LINK_DETAIL, ArchiveMember, ArchiveNode, RefusedMember, is_archive
from fer.data.media.images import MAX_IMAGE_BYTES, UndecodableError
from fer.runtime.errors import InputError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")
MAX_LINE_BYTES = 100_000  # a line of fer2013.csv has up to 9,300, and `csv` refuses values above 131,072

_SYSTEM_FILES = ("__macosx", "thumbs.db", "desktop.ini")
_BAD_NAME_DETAIL = "not UTF-8, or with a carriage return, which would end a row of a table; rename the file"


@dataclass(frozen=True, slots=True)
class SkippedItem:
    """An image that is not used."""

    id: str
    reason: str  # the same words for the same kind of problem: reports count them
    detail: str  # the value found and the values allowed
    is_defect: bool = True  # False: a sound image that gives no face, such as a photo of a landscape


@dataclass(frozen=True, slots=True)
class Note:
    """A remark on the source for its report."""

    text: str


@dataclass(frozen=True, slots=True)
class File:
    """A file on disk or in an archive."""

    id: str  # path below the reader's root folder, with `/`
    path: Path  # path on disk; for a file in an archive, the path of the archive followed by the path inside it
    archive: Path | None = None
    member: ArchiveMember | None = None

    @property
    def name(self) -> str:
        return self.id.rpartition("/")[2]

    @property
    def stem(self) -> str:
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """The suffix in lower case, such as ".jpg"."""
        return PurePosixPath(self.name).suffix.lower()

    @property
    def parts(self) -> tuple[str, ...]:
        return PurePosixPath(self.id).parts

    def open(self) -> io.BufferedIOBase:
        if self.archive is None or self.member is None:
            return self.path.open("rb")
        return archives.open_archive(self.archive).open(self.member)

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder on disk, an archive, or a folder in an archive."""

    path: Path
    id: str = ""
    archive: Path | None = None
    tree: dict[str, ArchiveNode] | None = None  # the content, for an archive and its folders

    @property
    def name(self) -> str:
        return self.path.name

    def as_root(self) -> "Folder":
        """Return this folder as the root that the ids of its files are relative to."""
        return replace(self, id="")

    def folders(self) -> list["Folder"]:
        """Return the folders and archives directly in this folder, sorted by name."""
        return [entry for entry in self.entries() if isinstance(entry, Folder)]

    def files(self) -> list[File]:
        """Return the files directly in this folder, without archives, sorted by name."""
        return [entry for entry in self.entries() if isinstance(entry, File)]

    def folder(self, *paths: str) -> "Folder | None":
        """Return the folder, or else the archive, at the first of `paths` below this one at which there is one.

        Raises:
            InputError: A part of the path is a link.
        """
        for path in paths:
            folder = self
            for part in PurePosixPath(path).parts:
                names = (part, *(part + suffix for suffix in archives.ARCHIVE_SUFFIXES))
                inner = next((entry for entry in map(folder._entry, names) if isinstance(entry, Folder)), None)
                if inner is None:
                    break
                folder = inner
            else:
                return folder
        return None

    def inner_folder(self, name: str) -> "Folder | None":
        """Return the folder or archive at the path `name`; if it holds one of the same name, the inner one."""
        outer = self.folder(name)
        return outer and (outer.folder(name) or outer)

    def file(self, *paths: str) -> File | None:
        """Return the file at the first of `paths` below this folder at which there is one."""
        for path in paths:
            parent, _, name = path.rpartition("/")
            if (folder := self.folder(parent)) and isinstance(entry := folder._entry(name), File):
                return entry
        return None

    def entries(self) -> Iterator["File | Folder | SkippedItem"]:
        """Yield the entries directly in this folder, sorted by name; a link is a skipped item, whatever its target."""
        if self.tree is not None:
            for name, node in sorted(self.tree.items(), key=itemgetter(0)):
                if isinstance(node, RefusedMember) or not _is_system_file(name):
                    yield self._archive_entry(name, node)
            return
        with os.scandir(self.path) as scan:
            entries = sorted((entry.name, entry.is_symlink(), entry.is_dir(follow_symlinks=False)) for entry in scan)
        for name, is_link, is_folder in entries:
            if not _is_system_file(name):
                yield self._disk_entry(name, is_link, is_folder)

    def _entry(self, name: str) -> "File | Folder | SkippedItem | None":
        if self.tree is not None:
            return self._archive_entry(name, self.tree[name]) if name in self.tree else None
        path = self.path / name
        if path.is_symlink():
            raise InputError(f"{path}: is a link, and links are not followed; put a copy there")
        return self._disk_entry(name, False, path.is_dir()) if path.exists() else None

    def _disk_entry(self, name: str, is_link: bool, is_folder: bool) -> "File | Folder | SkippedItem":
        path, id, printable_id = self._locate(name)
        if is_link:
            return SkippedItem(printable_id, "linked folder" if path.is_dir() else "link", LINK_DETAIL)
        if is_folder:
            return Folder(path, id)
        if printable_id != id:
            return SkippedItem(printable_id, "file name", _BAD_NAME_DETAIL)
        if not path.is_file():
            return SkippedItem(printable_id, "special file", "only plain files are read")
        if is_archive(name):
            return Folder(path, id, path, archives.open_archive(path).tree)
        return File(id, path)

    def _archive_entry(self, name: str, node: ArchiveNode) -> "File | Folder | SkippedItem":
        path, id, printable_id = self._locate(name)
        match node:
            case dict():
                return Folder(path, id, self.archive, node)
            case RefusedMember(reason, detail):
                return SkippedItem(printable_id, reason, detail)
            case _ if printable_id != id:
                return SkippedItem(printable_id, "file name", _BAD_NAME_DETAIL)
            case _:
                return File(id, path, self.archive, node)

    def _locate(self, name: str) -> tuple[Path, str, str]:
        """Return the path of an entry, its id, and its id in printable characters."""
        id = f"{self.id}/{name}".removeprefix("/")
        printable_id = id.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace").replace("\r", "\\r")
        return self.path / name, id, printable_id

    def __str__(self) -> str:
        return str(self.path)


def walk_media(
    root: Folder | None, ignored_ids: Collection[str] = (), suffixes: Collection[str] = IMAGE_SUFFIXES
) -> Iterator[File | SkippedItem | Note]:
    """Yield every file at any depth below `root` that has one of `suffixes`; nothing if `root` is None.

    Links and refused archive members are yielded as skipped items. A note at the end counts files with other suffixes,
    without those in `ignored_ids`.

    Raises:
        InputError: A folder is a link, which would hide an unknown number of faces.
    """
    other_suffixes: Counter[str] = Counter()
    pending = [root] if root else []
    while pending:
        folder, inner = pending.pop(), []
        for entry in folder.entries():
            if isinstance(entry, Folder):
                inner.append(entry)
            elif isinstance(entry, SkippedItem) and entry.reason == "linked folder":
                raise InputError(f"{folder}/{entry.id}: is a link, and links are not followed; put a copy there")
            elif PurePosixPath(entry.id).suffix.lower() in suffixes:
                yield entry
            elif entry.id not in ignored_ids:
                other_suffixes[PurePosixPath(entry.id).suffix.lower() or "no suffix"] += 1
        pending += reversed(inner)
    if root and other_suffixes:
        kinds = ", ".join(f"{suffix} {count}" for suffix, count in sorted(other_suffixes.items()))
        place = f"in {root.id}/ " if root.id else ""
        yield Note(f"{other_suffixes.total()} files {place}are of another kind and were left out: {kinds}")


def read_image_bytes(file: File) -> bytes:
    """Return the bytes of an image, at most `MAX_IMAGE_BYTES` + 1 of them.

    Raises:
        UndecodableError: The archive is damaged at this file.
    """
    with _translate_archive_errors(), file.open() as content:
        return content.read(MAX_IMAGE_BYTES + 1)


@contextmanager
def local_path(file: File) -> Iterator[Path]:
    """Yield the path of a video; one in an archive is copied to a temporary file, since OpenCV reads only files."""
    if file.archive is None:
        yield file.path
        return
    with tempfile.NamedTemporaryFile(suffix=file.suffix) as copy:
        with _translate_archive_errors(), file.open() as content:
            shutil.copyfileobj(content, copy)
        copy.flush()
        yield Path(copy.name)


def read_lines(file: File) -> Iterator[tuple[int, str]]:
    """Yield (number from 1, text) of each line that is not blank; bytes that are not UTF-8 become `�`.

    Raises:
        InputError: The file is UTF-16, its lines are too long or end in \\r alone, or its archive is damaged.
    """
    fix = "save it as text with line ends \\n or \\r\\n"
    try:
        with file.open() as content:
            for number, line in enumerate(iter(lambda: content.readline(MAX_LINE_BYTES), b""), 1):
                if number == 1 and line.startswith((b"\xff\xfe", b"\xfe\xff")):
                    raise InputError(f"{file}: is UTF-16; save it as UTF-8")
                if len(line) == MAX_LINE_BYTES:
                    raise InputError(f"{file}: line {number} is longer than {MAX_LINE_BYTES:,} bytes; {fix}")
                text = line.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").strip()
                if "\r" in text:
                    raise InputError(f"{file}: line {number} has a carriage return inside; {fix}")
                if text:
                    yield number, text
    except archives.DAMAGE_ERRORS as error:
        raise InputError(f"{file}: the archive is damaged at this file ({error}); download it again") from error


def split_csv_line(line: str) -> list[str]:
    """Return the values of a line of CSV, without leading and trailing blanks."""
    return [value.strip() for value in next(csv.reader([line], skipinitialspace=True))]


@contextmanager
def _translate_archive_errors() -> Iterator[None]:
    try:
        yield
    except archives.DAMAGE_ERRORS as error:
        raise UndecodableError("damaged archive", " ".join(str(error).split()) or type(error).__name__) from error


def _is_system_file(name: str) -> bool:
    return name.startswith(".") or name.casefold() in _SYSTEM_FILES
