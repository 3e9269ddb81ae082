"""Archives: they read like folders, and no member can leave them or fill the memory."""

import gzip
import io
import os
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer.data.media import archives
from fer.data.media.folders import File, Folder, SkippedItem, read_lines, walk_media
from fer.runtime.errors import InputError

CONTENT = {"a/one.jpg": b"1", "a/b/two.png": b"22", "list.txt": b"x\r\ny", "three.JPG": b""}


def write_zip(path: Path, content: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def write_tar(path: Path, content: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
        for name, data in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def write_folder(path: Path, content: dict[str, bytes]) -> Path:
    for name, data in content.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


WRITERS = {"x.zip": write_zip, "x.ZIP": write_zip, "x.tar": write_tar, "x.tar.gz": write_tar, "x.tgz": write_tar}


def archive_root(root: Path) -> Folder:
    (only,) = Folder(root).folders()
    return only.as_root()


def read_contents(folder: Folder) -> dict[str, bytes]:
    content = {}
    for entry in walk_media(folder, suffixes=(".jpg", ".png", ".txt")):
        assert isinstance(entry, File)
        with entry.open() as file:
            content[entry.id] = file.read()
    return content


@pytest.mark.parametrize("name", WRITERS)
def test_an_archive_reads_like_the_folder_it_was_made_of(tmp_path: Path, name: str) -> None:
    (tmp_path / "packed").mkdir()
    WRITERS[name](tmp_path / "packed" / name, CONTENT)
    packed = archive_root(tmp_path / "packed")
    plain = Folder(write_folder(tmp_path / "plain", CONTENT))
    assert read_contents(packed) == read_contents(plain) == CONTENT
    assert list(read_contents(packed)) == list(read_contents(plain))
    assert list(read_lines(packed.file("list.txt"))) == [(1, "x"), (2, "y")]
    assert packed.folder("a/b").file("two.png").id == "a/b/two.png"
    assert packed.folder("no") is None
    assert packed.file("a") is None
    assert [folder.id for folder in packed.folders()] == ["a"]


def test_an_archive_is_found_by_its_name_without_suffix_but_a_folder_is_preferred(tmp_path: Path) -> None:
    write_zip(tmp_path / "aligned.zip", CONTENT)
    assert Folder(tmp_path).folder("aligned/a").file("one.jpg").id == "aligned.zip/a/one.jpg"
    write_folder(tmp_path / "aligned", {"a/one.jpg": b"unpacked"})
    assert Folder(tmp_path).folder("aligned/a").file("one.jpg").id == "aligned/a/one.jpg"


UNSAFE = ["../up.jpg", "a/../../up.jpg", "/etc/up.jpg", "..\\up.jpg", "C:\\up.jpg"]


@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_members_whose_path_leaves_the_archive_are_skipped(tmp_path: Path, write: Callable[..., Path]) -> None:
    suffix = ".zip" if write is write_zip else ".tar"
    write(tmp_path / f"x{suffix}", dict.fromkeys(UNSAFE, b"1") | {"good.jpg": b"1"})
    entries = list(walk_media(archive_root(tmp_path)))
    assert [entry.id for entry in entries if isinstance(entry, File)] == ["good.jpg"]
    assert [entry.reason for entry in entries if isinstance(entry, SkippedItem)] == ["unsafe name"] * len(UNSAFE)


def test_links_and_special_files_in_a_tar_are_skipped(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for name, kind in (
            ("soft.jpg", tarfile.SYMTYPE),
            ("hard.jpg", tarfile.LNKTYPE),
            ("pipe.jpg", tarfile.FIFOTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    reasons = {entry.id: entry.reason for entry in walk_media(archive_root(tmp_path)) if isinstance(entry, SkippedItem)}
    assert reasons == {"soft.jpg": "link", "hard.jpg": "link", "pipe.jpg": "special file"}


def test_a_link_in_a_zip_is_skipped(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        info = zipfile.ZipInfo("link.jpg")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    (entry,) = walk_media(archive_root(tmp_path))
    assert (entry.id, entry.reason) == ("link.jpg", "link")


def test_a_member_with_a_password_is_skipped(tmp_path: Path) -> None:
    data = bytearray(write_zip(tmp_path / "x.zip", {"one.jpg": b"1"}).read_bytes())
    for signature, offset in (
        (b"PK\x03\x04", 6),
        (b"PK\x01\x02", 8),
    ):  # the flags in the member's header and in the index
        struct.pack_into("<H", data, data.index(signature) + offset, 1)
    (tmp_path / "x.zip").write_bytes(data)
    (entry,) = walk_media(archive_root(tmp_path))
    assert entry.reason == "password"


def test_a_member_that_unpacks_to_a_thousand_times_its_size_is_skipped(tmp_path: Path) -> None:
    write_zip(tmp_path / "x.zip", {"bomb.jpg": bytes(4 << 20), "plain.jpg": os.urandom(4 << 20)})
    bomb, plain = walk_media(archive_root(tmp_path))
    assert (bomb.id, bomb.reason) == ("bomb.jpg", "decompression bomb")
    assert plain.id == "plain.jpg"


def test_unpacking_a_compressed_bomb_stops_early(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "x.tar.gz", "wb") as file:
        for _ in range(64):
            file.write(bytes(1 << 20))
    with pytest.raises(InputError, match="more than 100 times its size"):
        Folder(tmp_path).folders()


def test_members_with_a_duplicate_name_are_skipped(tmp_path: Path) -> None:
    write_tar(tmp_path / "x.tar", {"one.jpg": b"1"})
    with tarfile.open(tmp_path / "x.tar", "a") as archive:
        for _ in range(2):
            archive.addfile(tarfile.TarInfo("one.jpg"), io.BytesIO())
    entries = list(walk_media(archive_root(tmp_path)))
    assert [entry.id for entry in entries if isinstance(entry, File)] == ["one.jpg"]
    assert [entry.reason for entry in entries if isinstance(entry, SkippedItem)] == ["name twice"] * 2


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz"])
@pytest.mark.parametrize("data", [b"", b"not an archive" * 100])
def test_a_file_that_is_not_an_archive_is_reported(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match="not a readable archive"):
        Folder(tmp_path).folders()


@given(cut=st.integers(1, 400), name=st.sampled_from(["x.zip", "x.tar", "x.tar.gz"]))
def test_a_truncated_archive_yields_intact_members_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, cut: int, name: str
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    path = WRITERS[name](folder / name, {"one.jpg": os.urandom(300), "two.jpg": os.urandom(300)})
    path.write_bytes(path.read_bytes()[:-cut])
    archives.open_archive.cache_clear()
    try:
        content = read_contents(archive_root(folder))
    except (InputError, zipfile.BadZipFile, EOFError):
        return
    assert content.keys() <= {"one.jpg", "two.jpg"}


def test_an_archive_inside_an_archive_is_counted_in_the_note(tmp_path: Path) -> None:
    inner = write_zip(tmp_path / "inner.zip", CONTENT).read_bytes()
    (tmp_path / "inner.zip").unlink()
    write_zip(tmp_path / "x.zip", {"inner.zip": inner, "one.jpg": b"1"})
    file, note = walk_media(archive_root(tmp_path))
    assert file.id == "one.jpg"
    assert ".zip 1" in note.text


def test_a_text_file_in_a_damaged_archive_is_reported(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "x.zip", {"list.txt": os.urandom(2000).hex().encode()})
    data = bytearray(path.read_bytes())
    data[200] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(InputError, match="the archive is damaged at this file"):
        list(read_lines(archive_root(tmp_path).file("list.txt")))


def test_an_undecodable_name_is_reported_as_a_damaged_archive(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "x.zip", {"é.jpg": b"1"})
    path.write_bytes(path.read_bytes().replace("é".encode(), b"\xff\xfe"))
    with pytest.raises(InputError, match="not a readable archive"):
        Folder(tmp_path).folders()


def test_a_malformed_number_is_reported_as_a_damaged_archive(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("a.jpg")
        info.pax_headers = {"GNU.sparse.map": "a,b", "GNU.sparse.size": "x"}
        archive.addfile(info)
    with pytest.raises(InputError, match="not a readable archive"):
        Folder(tmp_path).folders()


@pytest.mark.parametrize("name", ["x.zip", "x.tar"])
def test_a_member_in_thousands_of_folders_is_skipped(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name, {"a/" * 5000 + "deep.jpg": b"1", "one.jpg": b"1"})
    skipped, file = sorted(walk_media(archive_root(tmp_path), suffixes=(".jpg", "")), key=lambda entry: entry.id)
    assert (file.id, skipped.reason) == ("one.jpg", "too deep")


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_member_with_unusual_compression_is_skipped(tmp_path: Path, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", method) as archive:
        archive.writestr("one.jpg", b"1")
    (entry,) = walk_media(archive_root(tmp_path))
    assert entry.reason == "unusual packing"


def test_a_member_before_the_start_of_a_truncated_zip_is_skipped(tmp_path: Path) -> None:
    data = write_zip(tmp_path / "x.zip", {"one.jpg": b"1", "two.jpg": b"2"}).read_bytes()
    (tmp_path / "x.zip").write_bytes(data[10:])
    skipped, file = walk_media(archive_root(tmp_path))
    assert (skipped.reason, file.id) == ("damaged archive", "two.jpg")


def test_a_member_without_a_name_is_ignored(tmp_path: Path) -> None:
    data = write_zip(tmp_path / "x.zip", {"a.jpg": b"1", "two.jpg": b"2"}).read_bytes()
    (tmp_path / "x.zip").write_bytes(data.replace(b"a.jpg", b"\0.jpg"))  # names end at a NUL
    assert [entry.id for entry in walk_media(archive_root(tmp_path))] == ["two.jpg"]
