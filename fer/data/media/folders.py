"""What lies in a source: its folders, its pictures, the lines of its lists; in an order no machine changes.

An archive is a folder like any other. Hidden files and litter (`__MACOSX`, `Thumbs.db`, `._*`) count as not there.
Links below a source's folder are never followed; the folder itself may be one.
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
from fer.data.media.archives import DAMAGE_ERRORS, ArchiveMember, ArchiveNode, RefusedMember, is_archive
from fer.data.media.images import MAX_IMAGE_BYTES, UndecodableError
from fer.data.media.issues import Note, SkippedItem
from fer.runtime.errors import InputError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")
MAX_LINE_BYTES = 100_000  # bytes; a line of fer2013.csv has up to 9,300, and `csv` takes no value beyond 131,072

_SYSTEM_FILES = ("__macosx", "thumbs.db", "desktop.ini")
_BAD_NAME_DETAIL = "not UTF-8, or with a carriage return, which ends a row of a table; rename it"
_LINK_DETAIL = "links are not followed; put a copy in its place"


@dataclass(frozen=True, slots=True)
class File:
    """A file on disk or in an archive."""

    id: str  # its path below the folder that the reader was given, with `/`
    path: Path  # on disk; in an archive, the archive's path continued by that inside it
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
        """In small letters."""
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
    """A folder on disk, or an archive, or a folder in one."""

    path: Path
    id: str = ""
    archive: Path | None = None
    tree: dict[str, ArchiveNode] | None = None  # of a folder in an archive

    @property
    def name(self) -> str:
        return self.path.name

    def as_root(self) -> "Folder":
        """The same folder, with the paths of what it holds counted from here."""
        return replace(self, id="")

    def folders(self) -> list["Folder"]:
        """Those right in it, archives among them, sorted by name."""
        return [entry for entry in self.entries() if isinstance(entry, Folder)]

    def files(self) -> list[File]:
        """Those right in it, archives excepted, sorted by name."""
        return [entry for entry in self.entries() if isinstance(entry, File)]

    def folder(self, name: str) -> "Folder | None":
        """The folder at the path `name` below this one; where there is only an archive of that name, the archive.

        Raises:
            InputError: a part of the path is a link.
        """
        found = self
        for part in PurePosixPath(name).parts:
            names = (part, *(part + suffix for suffix in archives.ARCHIVE_SUFFIXES))
            inner = next((entry for entry in map(found._entry, names) if isinstance(entry, Folder)), None)
            if inner is None:
                return None
            found = inner
        return found

    def inner_folder(self, name: str) -> "Folder | None":
        """The folder or archive at the path `name`; of two of one name, one in the other, the inner one."""
        outer = self.folder(name)
        return outer and (outer.folder(name) or outer)

    def file(self, name: str) -> File | None:
        """The file at the path `name` below this folder.

        Raises:
            InputError: a part of the path is a link.
        """
        above, _, last = name.rpartition("/")
        folder = self.folder(above)
        entry = folder._entry(last) if folder else None
        return entry if isinstance(entry, File) else None

    def entries(self) -> Iterator["File | Folder | SkippedItem"]:
        """All that lies right in it, sorted by name; a link is dropped, whatever it leads to."""
        if self.tree is not None:
            for name, node in sorted(self.tree.items(), key=itemgetter(0)):
                if isinstance(node, RefusedMember) or not _is_system_file(name):
                    yield self._in_archive(name, node)
            return
        with os.scandir(self.path) as found:
            names = sorted((entry.name, entry.is_symlink(), entry.is_dir(follow_symlinks=False)) for entry in found)
        for name, is_link, is_folder in names:
            if not _is_system_file(name):
                yield self._on_disk(name, is_link, is_folder)

    def _entry(self, name: str) -> "File | Folder | SkippedItem | None":
        if self.tree is not None:
            return self._in_archive(name, self.tree[name]) if name in self.tree else None
        path = self.path / name
        if path.is_symlink():
            raise InputError(f"{path}: is a link, and links are not followed; put a copy there")
        return self._on_disk(name, False, path.is_dir()) if path.exists() else None

    def _on_disk(self, name: str, is_link: bool, is_folder: bool) -> "File | Folder | SkippedItem":
        path, id = self.path / name, f"{self.id}/{name}".removeprefix("/")
        readable = os.fsencode(id).decode("utf-8", "backslashreplace").replace("\r", "\\r")
        if is_link:
            return SkippedItem(readable, "linked folder" if path.is_dir() else "link", _LINK_DETAIL)
        if is_folder:
            return Folder(path, id)
        if readable != id:
            return SkippedItem(readable, "file name", _BAD_NAME_DETAIL)
        if not path.is_file():
            return SkippedItem(readable, "special file", "only plain files are read")
        if is_archive(name):
            return Folder(path, id, path, archives.open_archive(path).tree)
        return File(id, path)

    def _in_archive(self, name: str, node: ArchiveNode) -> "File | Folder | SkippedItem":
        path, id = self.path / name, f"{self.id}/{name}".removeprefix("/")
        readable = id.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace").replace("\r", "\\r")
        match node:
            case dict():
                return Folder(path, id, self.archive, node)
            case RefusedMember(reason, detail):
                return SkippedItem(readable, reason, detail)
            case _ if readable != id:
                return SkippedItem(readable, "file name", _BAD_NAME_DETAIL)
            case _:
                return File(id, path, self.archive, node)

    def __str__(self) -> str:
        return str(self.path)


def walk_media(
    root: Folder | None, ignored_ids: Collection[str] = (), suffixes: Collection[str] = IMAGE_SUFFIXES
) -> Iterator[File | SkippedItem | Note]:
    """Every file at any depth that has one of `suffixes`; none without a `root`.

    What links and archives don't give is dropped; files of other kinds are counted in a note, but for the ids `ignored_ids`.

    Raises:
        InputError: a folder is a link, so that nobody knows how many faces are missing.
    """
    others: Counter[str] = Counter()

    left = [root] if root else []
    while left:
        folder, inner = left.pop(), []
        for entry in folder.entries():
            if isinstance(entry, Folder):
                inner.append(entry)
            elif isinstance(entry, SkippedItem) and entry.reason == "linked folder":
                raise InputError(f"{folder}/{entry.id}: is a link, and links are not followed; put a copy there")
            elif PurePosixPath(entry.id).suffix.lower() in suffixes:
                yield entry
            elif entry.id not in ignored_ids:
                others[PurePosixPath(entry.id).suffix.lower() or "no suffix"] += 1
        left += reversed(inner)
    if root and others:
        kinds = ", ".join(f"{suffix} {count}" for suffix, count in sorted(others.items()))
        where = f"in {root.id}/ " if root.id else ""
        yield Note(f"{others.total()} files {where}are of another kind and were left out: {kinds}")


def read_lines(file: File) -> Iterator[tuple[int, str]]:
    """(number from 1, text) of each line that isn't blank; bytes that aren't UTF-8 become `�`, which no value contains.

    Raises:
        InputError: the file is UTF-16, its lines are too long or end in \\r alone, or its archive is damaged.
    """
    ends = "save it as text with line ends \\n or \\r\\n"
    number = 0
    with file.open() as content:
        while line := _read_line(file, content):
            number += 1
            if number == 1 and line.startswith((b"\xff\xfe", b"\xfe\xff")):
                raise InputError(f"{file}: is UTF-16; save it as UTF-8")
            if len(line) == MAX_LINE_BYTES:
                raise InputError(f"{file}: line {number} is longer than {MAX_LINE_BYTES:,} bytes; {ends}")
            text = line.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").strip()
            if "\r" in text:
                raise InputError(f"{file}: line {number} has a carriage return inside; {ends}")
            if text:
                yield number, text


def _read_line(file: File, content: io.BufferedIOBase) -> bytes:
    try:
        return content.readline(MAX_LINE_BYTES)
    except archives.DAMAGE_ERRORS as error:
        raise InputError(f"{file}: the archive is damaged there ({error}); download it again") from error


def split_csv_line(line: str) -> list[str]:
    """The values of a line of CSV, without their outer blanks."""
    return [value.strip() for value in next(csv.reader([line], skipinitialspace=True))]


def _is_system_file(name: str) -> bool:
    return name.startswith(".") or name.casefold() in _SYSTEM_FILES


def read_image_bytes(file: File) -> bytes:
    """A picture's bytes, one more than `MAX_BYTES` at most.

    Raises:
        UndecodableError: the archive is damaged there.
    """
    with _translate_archive_errors(), file.open() as content:
        return content.read(MAX_IMAGE_BYTES + 1)


@contextmanager
def _translate_archive_errors() -> Iterator[None]:
    try:
        yield
    except DAMAGE_ERRORS as error:
        raise UndecodableError("damaged archive", " ".join(str(error).split()) or type(error).__name__) from error


@contextmanager
def local_path(file: File) -> Iterator[Path]:
    """A video's path; one in an archive is copied out, since OpenCV reads only files.

    Raises:
        UndecodableError: the archive is damaged there.
    """
    if file.archive is None:
        yield file.path
        return
    with tempfile.NamedTemporaryFile(suffix=file.suffix) as copy:
        with _translate_archive_errors(), file.open() as content:
            shutil.copyfileobj(content, copy)
        copy.flush()
        yield Path(copy.name)
