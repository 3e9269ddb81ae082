"""Archives (`.zip`, `.tar`, `.tar.gz` and `.tgz`) read in place, without unpacking their members to files.

Each member is checked. Links, passwords, names that leave the archive and members that unpack to over a hundred times
their size are refused, so that no archive can write outside its folder or fill the memory or the disk.
"""

import gzip
import io
import os
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from fer.runtime.errors import InputError

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")

# Exceptions that reading a damaged archive raises; ValueError comes from a malformed number or name.
DAMAGE_ERRORS = (
    zipfile.BadZipFile,
    tarfile.TarError,
    EOFError,
    zlib.error,
    gzip.BadGzipFile,
    NotImplementedError,
    ValueError,
)

LINK_DETAIL = "links are not followed; put a copy in its place"

# Images hardly shrink, text shrinks fourfold and a bomb a thousandfold.
_BOMB_RATIO = 100
_BOMB_BYTES = 1 << 20  # members below this size are never refused as bombs
_BLOCK_BYTES = 1 << 20
_MAX_DEPTH = 64  # folders above a member; no dataset has more than ten
_ALLOWED_COMPRESSION = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # LZMA may ask for gigabytes of memory


@dataclass(frozen=True, slots=True)
class RefusedMember:
    """A member that is not read, and why."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class ByteSpan:
    """The position of a tar member in the archive, in bytes."""

    start: int
    size: int


ArchiveMember = zipfile.ZipInfo | ByteSpan
ArchiveNode = dict[str, Any] | ArchiveMember | RefusedMember  # a folder is a dict of nodes by name


def is_archive(name: str) -> bool:
    return name.lower().endswith(ARCHIVE_SUFFIXES)


@lru_cache(maxsize=16)
def open_archive(path: Path) -> "Archive":
    """Return the archive with its index, which is read once.

    Raises:
        InputError: The archive is damaged, or its format is not the one of its suffix.
    """
    try:
        if path.suffix.lower() == ".zip":
            return Archive(zipfile.ZipFile(path))
        return Archive(path.open("rb") if path.suffix.lower() == ".tar" else _decompress_tar(path))
    except DAMAGE_ERRORS as error:
        cause = " ".join(str(error).split())
        raise InputError(f"{path}: not a readable archive ({cause}); download it again") from error


class Archive:
    """An open archive; `tree` maps names to members, and names of folders to dicts of the same kind."""

    def __init__(self, file: zipfile.ZipFile | IO[bytes]):
        self._file = file
        self.tree: dict[str, ArchiveNode] = {}
        duplicate_number = count(1)
        for name, node in _list_zip(file) if isinstance(file, zipfile.ZipFile) else _list_tar(file):
            parts = PurePosixPath(name.replace("\\", "/")).parts
            if not parts:
                continue
            if PurePosixPath(name).is_absolute() or ".." in parts or ":" in parts[0]:
                self.tree[name] = RefusedMember("unsafe name", "the path leaves the archive")
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
                duplicate = f"again {next(duplicate_number)}: {name}"
                self.tree[duplicate] = RefusedMember("name twice", "an earlier member has the same name")
            else:
                folder[parts[-1]] = node

    def open(self, member: ArchiveMember) -> io.BufferedIOBase:
        if isinstance(member, ByteSpan):
            return io.BufferedReader(_FileSlice(cast(IO[bytes], self._file), member))
        return cast(io.BufferedIOBase, cast(zipfile.ZipFile, self._file).open(member))

    def __del__(self) -> None:
        self._file.close()  # when reading its index fails, or `open_archive` evicts it from its cache


def _list_zip(file: zipfile.ZipFile) -> Iterator[tuple[str, ArchiveMember | RefusedMember]]:
    for info in file.infolist():
        member: ArchiveMember | RefusedMember = info
        if stat.S_ISLNK(info.external_attr >> 16):
            member = RefusedMember("link", LINK_DETAIL)
        elif info.flag_bits & 1:
            member = RefusedMember("password", "unpack the archive with its owner's password")
        elif info.compress_type not in _ALLOWED_COMPRESSION:
            member = RefusedMember("unusual packing", "repack the zip with Deflate compression")
        elif info.file_size > _BOMB_BYTES and info.file_size > _BOMB_RATIO * info.compress_size:
            member = RefusedMember("decompression bomb", f"{info.compress_size:,} bytes unpack to {info.file_size:,}")
        elif info.header_offset < 0:
            member = RefusedMember("damaged archive", "its index points before the first byte; download it again")
        if not info.filename.endswith("/"):
            yield info.filename, member


def _list_tar(file: IO[bytes]) -> Iterator[tuple[str, ArchiveMember | RefusedMember]]:
    with tarfile.open(fileobj=file, mode="r:") as tar:
        for info in tar:
            tar.members = []  # type: ignore[attr-defined]  # else tarfile keeps a kilobyte for each member
            if info.issym() or info.islnk():
                yield info.name, RefusedMember("link", LINK_DETAIL)
            elif info.isreg() and not info.issparse():
                yield info.name, ByteSpan(info.offset_data, info.size)
            elif not info.isdir():
                yield info.name, RefusedMember("special file", "only plain files are read")


class _FileSlice(io.RawIOBase):
    """A span of a file, read as a file of its own."""

    def __init__(self, file: IO[bytes], span: ByteSpan):
        self._file, self._position, self._end = file, span.start, span.start + span.size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        self._file.seek(self._position)
        data = self._file.read(min(len(buffer), self._end - self._position))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def _decompress_tar(path: Path) -> IO[bytes]:
    """Return the tar in a `.tar.gz` as an unnamed temporary file, since a compressed stream cannot be sought."""
    compressed_bytes = os.path.getsize(path)
    with ExitStack() as on_error:
        tar = on_error.enter_context(tempfile.TemporaryFile())
        with gzip.open(path) as stream:
            while block := stream.read(_BLOCK_BYTES):
                tar.write(block)
                if tar.tell() > _BOMB_BYTES + _BOMB_RATIO * compressed_bytes:
                    raise InputError(
                        f"{path}: unpacks to more than {_BOMB_RATIO} times its size, like a decompression bomb; "
                        "unpack it yourself if you trust its owner"
                    )
        tar.seek(0)
        on_error.pop_all()
    return tar
