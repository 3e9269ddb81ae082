"""Archives read where they lie: `.zip`, `.tar`, `.tar.gz` and `.tgz`. Nothing of them is written anywhere by name.

A name that leaves the archive, a link, a member with a password and one that unpacks to a hundred times its size are
refused one by one. So no archive can write outside its place or fill the memory or the disk.
"""

import gzip
import io
import os
import stat
import tarfile
import tempfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from fer.runtime.errors import InputError

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")

# What reading a damaged archive raises; the last one where a number or a name is none.
DAMAGE_ERRORS = (
    zipfile.BadZipFile,
    tarfile.TarError,
    EOFError,
    zlib.error,
    gzip.BadGzipFile,
    NotImplementedError,
    ValueError,
)

# Pictures hardly shrink and text does so fourfold; a bomb does so a thousandfold.
_BOMB_RATIO = 100
_BOMB_BYTES = 1 << 20  # below this size no ratio matters
_BLOCK_BYTES = 1 << 20
_MAX_DEPTH = 64  # folders above a member; no owner has more than ten
_ALLOWED_COMPRESSION = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # LZMA may ask for gigabytes of memory


@dataclass(frozen=True, slots=True)
class RefusedMember:
    """A member that is not read."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class ByteSpan:
    """Where a member of a tar lies, in bytes."""

    start: int
    size: int


ArchiveMember = zipfile.ZipInfo | ByteSpan
ArchiveNode = dict[str, Any] | ArchiveMember | RefusedMember  # of a folder, the nodes in it


def is_archive(name: str) -> bool:
    return name.lower().endswith(ARCHIVE_SUFFIXES)


@lru_cache(maxsize=16)
def open_archive(path: Path) -> "Archive":
    """The archive, its index read once.

    Raises:
        InputError: it is damaged, or not what its name says.
    """
    try:
        archive: Archive
        if path.suffix.lower() == ".zip":
            archive = _Zip(zipfile.ZipFile(path))
        else:
            archive = _Tar(path.open("rb") if path.suffix.lower() == ".tar" else _decompress_tar(path))
        with ExitStack() as on_error:
            on_error.callback(archive.close)
            archive.build_tree()
            on_error.pop_all()
        return archive
    except DAMAGE_ERRORS as error:
        why = " ".join(str(error).split())
        raise InputError(f"{path}: not a readable archive ({why}); download it again") from error


class Archive(ABC):
    """`tree` holds the folders as dicts and the files as members, by name."""

    tree: dict[str, ArchiveNode]

    def __init__(self, file: zipfile.ZipFile | IO[bytes]):
        self._file = file

    @abstractmethod
    def open(self, member: ArchiveMember) -> io.BufferedIOBase: ...

    @abstractmethod
    def iter_members(self) -> Iterator[tuple[str, ArchiveMember | RefusedMember]]:
        """All but folders, each with its path."""

    def close(self) -> None:
        self._file.close()

    def __del__(self) -> None:
        self.close()  # when `opened` lets go of it

    def build_tree(self) -> None:
        self.tree = {}
        repeated = count(1)
        for name, node in self.iter_members():
            parts = PurePosixPath(name.replace("\\", "/")).parts
            if not parts:
                continue
            if PurePosixPath(name).is_absolute() or ".." in parts or ":" in parts[0]:
                self.tree[name] = RefusedMember("unsafe name", "leads out of the archive")
                continue
            if len(parts) > _MAX_DEPTH:
                self.tree[f"{name[:100]}…"] = RefusedMember(
                    "too deep", f"in {len(parts) - 1} folders; allowed {_MAX_DEPTH - 1}"
                )
                continue
            folder: ArchiveNode | None = self.tree
            for part in parts[:-1]:
                folder = folder.setdefault(part, {}) if isinstance(folder, dict) else None
            if not isinstance(folder, dict) or parts[-1] in folder:
                self.tree[f"again {next(repeated)}: {name}"] = RefusedMember("name twice", "the archive has it already")
            else:
                folder[parts[-1]] = node


class _Zip(Archive):
    _file: zipfile.ZipFile

    def iter_members(self) -> Iterator[tuple[str, ArchiveMember | RefusedMember]]:
        found = ((info.filename, self._node(info)) for info in self._file.infolist())
        return ((name, node) for name, node in found if not name.endswith("/"))

    def open(self, member: ArchiveMember) -> io.BufferedIOBase:
        return cast(io.BufferedIOBase, self._file.open(cast(zipfile.ZipInfo, member)))

    @staticmethod
    def _node(info: zipfile.ZipInfo) -> ArchiveMember | RefusedMember:
        if stat.S_ISLNK(info.external_attr >> 16):
            return RefusedMember("link", "links are not followed; put a copy in its place")
        if info.flag_bits & 1:
            return RefusedMember("password", "unpack the archive with the password that its owner gave you")
        if info.compress_type not in _ALLOWED_COMPRESSION:
            return RefusedMember("unusual packing", "pack the zip again with the usual method, Deflate")
        if info.file_size > _BOMB_BYTES and info.file_size > _BOMB_RATIO * info.compress_size:
            return RefusedMember("decompression bomb", f"{info.compress_size:,} bytes unpack to {info.file_size:,}")
        if info.header_offset < 0:
            return RefusedMember("damaged archive", "its index leads to before its beginning; download it again")
        return info


class _Tar(Archive):
    _file: IO[bytes]

    def iter_members(self) -> Iterator[tuple[str, ArchiveMember | RefusedMember]]:
        with tarfile.open(fileobj=self._file, mode="r:") as tar:
            for info in tar:
                tar.members = []  # type: ignore[attr-defined]  # else it keeps all of them, a kilobyte each
                if info.isdir():
                    continue
                if info.issym() or info.islnk():
                    node: ArchiveMember | RefusedMember = RefusedMember(
                        "link", "links are not followed; put a copy in its place"
                    )
                elif not info.isreg() or info.issparse():
                    node = RefusedMember("special file", "only plain files are read")
                else:
                    node = ByteSpan(info.offset_data, info.size)
                yield info.name, node

    def open(self, member: ArchiveMember) -> io.BufferedIOBase:
        return io.BufferedReader(_FileSlice(self._file, cast(ByteSpan, member)))


class _FileSlice(io.RawIOBase):
    """A part of a file as a file."""

    def __init__(self, whole: IO[bytes], span: ByteSpan):
        self._whole, self._at, self._end = whole, span.start, span.start + span.size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        self._whole.seek(self._at)
        data = self._whole.read(min(len(buffer), self._end - self._at))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _decompress_tar(path: Path) -> IO[bytes]:
    """The tar in a `.tar.gz`, in a file without a name: a compressed stream can only be read from its beginning."""
    packed = os.path.getsize(path)
    with ExitStack() as on_error:
        plain = on_error.enter_context(tempfile.TemporaryFile())
        with gzip.open(path) as stream:
            while block := stream.read(_BLOCK_BYTES):
                plain.write(block)
                if plain.tell() > _BOMB_BYTES + _BOMB_RATIO * packed:
                    raise InputError(
                        f"{path}: unpacks to more than {_BOMB_RATIO} times its size; a decompression bomb?"
                    )
        plain.seek(0)
        on_error.pop_all()
    return plain
