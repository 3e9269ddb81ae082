"""Archives are folders, and nothing in them can leave them or fill the memory."""

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
from fer.data.media.folders import File, Folder, read_lines, walk_media
from fer.data.media.issues import SkippedItem
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


def inside(root: Path) -> Folder:
    (only,) = Folder(root).folders()
    return only.as_root()


def contents(folder: Folder) -> dict[str, bytes]:
    found = {}
    for entry in walk_media(folder, suffixes=(".jpg", ".png", ".txt")):
        assert isinstance(entry, File)
        with entry.open() as file:
            found[entry.id] = file.read()
    return found


@pytest.mark.parametrize("name", WRITERS)
def test_an_archive_reads_like_the_folder_it_was_made_of(tmp_path: Path, name: str) -> None:
    (tmp_path / "packed").mkdir()
    WRITERS[name](tmp_path / "packed" / name, CONTENT)
    packed = inside(tmp_path / "packed")
    plain = Folder(write_folder(tmp_path / "plain", CONTENT))
    assert contents(packed) == contents(plain) == CONTENT
    assert list(contents(packed)) == list(contents(plain))
    assert list(read_lines(packed.file("list.txt"))) == [(1, "x"), (2, "y")]
    assert packed.folder("a/b").file("two.png").id == "a/b/two.png"
    assert packed.folder("no") is None
    assert packed.file("a") is None
    assert [folder.id for folder in packed.folders()] == ["a"]


def test_an_archive_is_found_by_the_name_of_the_folder_that_it_holds(tmp_path: Path) -> None:
    write_zip(tmp_path / "aligned.zip", CONTENT)
    assert Folder(tmp_path).folder("aligned/a").file("one.jpg").id == "aligned.zip/a/one.jpg"
    write_folder(tmp_path / "aligned", {"a/one.jpg": b"unpacked"})
    assert Folder(tmp_path).folder("aligned/a").file("one.jpg").id == "aligned/a/one.jpg"


UNSAFE = ["../up.jpg", "a/../../up.jpg", "/etc/up.jpg", "..\\up.jpg", "C:\\up.jpg"]


@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_names_that_lead_out_are_counted_and_not_read(tmp_path: Path, write: Callable[..., Path]) -> None:
    suffix = ".zip" if write is write_zip else ".tar"
    write(tmp_path / f"x{suffix}", dict.fromkeys(UNSAFE, b"1") | {"good.jpg": b"1"})
    found = list(walk_media(inside(tmp_path)))
    assert [entry.id for entry in found if isinstance(entry, File)] == ["good.jpg"]
    assert [entry.reason for entry in found if isinstance(entry, SkippedItem)] == ["unsafe name"] * len(UNSAFE)


def test_links_and_special_files_of_a_tar_are_not_followed(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for name, kind in (
            ("soft.jpg", tarfile.SYMTYPE),
            ("hard.jpg", tarfile.LNKTYPE),
            ("pipe.jpg", tarfile.FIFOTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    found = {entry.id: entry.reason for entry in walk_media(inside(tmp_path)) if isinstance(entry, SkippedItem)}
    assert found == {"soft.jpg": "link", "hard.jpg": "link", "pipe.jpg": "special file"}


def test_a_link_in_a_zip_is_not_followed(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        info = zipfile.ZipInfo("link.jpg")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    (entry,) = walk_media(inside(tmp_path))
    assert (entry.id, entry.reason) == ("link.jpg", "link")


def test_a_member_with_a_password_says_so(tmp_path: Path) -> None:
    data = bytearray(write_zip(tmp_path / "x.zip", {"one.jpg": b"1"}).read_bytes())
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flags of the member and of its entry
        struct.pack_into("<H", data, data.index(signature) + at, 1)
    (tmp_path / "x.zip").write_bytes(data)
    (entry,) = walk_media(inside(tmp_path))
    assert entry.reason == "password"


def test_a_member_that_unpacks_to_a_thousand_times_its_size_is_a_bomb(tmp_path: Path) -> None:
    write_zip(tmp_path / "x.zip", {"bomb.jpg": bytes(4 << 20), "plain.jpg": os.urandom(4 << 20)})
    bomb, plain = walk_media(inside(tmp_path))
    assert (bomb.id, bomb.reason) == ("bomb.jpg", "decompression bomb")
    assert plain.id == "plain.jpg"


def test_a_compressed_tar_that_is_a_bomb_stops_before_it_fills_the_disk(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "x.tar.gz", "wb") as file:
        for _ in range(64):
            file.write(bytes(1 << 20))
    with pytest.raises(InputError, match="more than 100 times its size"):
        Folder(tmp_path).folders()


def test_a_name_that_occurs_twice_gives_one_face_and_is_counted(tmp_path: Path) -> None:
    write_tar(tmp_path / "x.tar", {"one.jpg": b"1"})
    with tarfile.open(tmp_path / "x.tar", "a") as archive:
        for _ in range(2):
            archive.addfile(tarfile.TarInfo("one.jpg"), io.BytesIO())
    found = list(walk_media(inside(tmp_path)))
    assert [entry.id for entry in found if isinstance(entry, File)] == ["one.jpg"]
    assert [entry.reason for entry in found if isinstance(entry, SkippedItem)] == ["name twice"] * 2


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz"])
@pytest.mark.parametrize("data", [b"", b"not an archive" * 100])
def test_what_is_no_archive_is_said_to_be_none(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match="not a readable archive"):
        Folder(tmp_path).folders()


@given(cut=st.integers(1, 400), name=st.sampled_from(["x.zip", "x.tar", "x.tar.gz"]))
def test_a_truncated_archive_gives_what_it_has_or_says_what_it_is(
    tmp_path_factory: pytest.TempPathFactory, cut: int, name: str
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    path = WRITERS[name](folder / name, {"one.jpg": os.urandom(300), "two.jpg": os.urandom(300)})
    path.write_bytes(path.read_bytes()[:-cut])
    archives.open_archive.cache_clear()
    try:
        found = contents(inside(folder))
    except (InputError, zipfile.BadZipFile, EOFError):
        return
    assert found.keys() <= {"one.jpg", "two.jpg"}


def test_an_archive_in_an_archive_is_left_out_and_counted(tmp_path: Path) -> None:
    inner = write_zip(tmp_path / "inner.zip", CONTENT).read_bytes()
    (tmp_path / "inner.zip").unlink()
    write_zip(tmp_path / "x.zip", {"inner.zip": inner, "one.jpg": b"1"})
    one, note = walk_media(inside(tmp_path))
    assert one.id == "one.jpg"
    assert ".zip 1" in note.text


def test_a_list_in_a_damaged_archive_is_told(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "x.zip", {"list.txt": os.urandom(2000).hex().encode()})
    data = bytearray(path.read_bytes())
    data[200] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(InputError, match="the archive is damaged at this file"):
        list(read_lines(inside(tmp_path).file("list.txt")))


def test_a_name_that_is_no_text_damages_the_archive(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "x.zip", {"é.jpg": b"1"})
    path.write_bytes(path.read_bytes().replace("é".encode(), b"\xff\xfe"))
    with pytest.raises(InputError, match="not a readable archive"):
        Folder(tmp_path).folders()


def test_a_number_that_is_none_damages_the_archive(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("a.jpg")
        info.pax_headers = {"GNU.sparse.map": "a,b", "GNU.sparse.size": "x"}
        archive.addfile(info)
    with pytest.raises(InputError, match="not a readable archive"):
        Folder(tmp_path).folders()


@pytest.mark.parametrize("name", ["x.zip", "x.tar"])
def test_a_member_in_thousands_of_folders_is_left_out(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name, {"a/" * 5000 + "deep.jpg": b"1", "one.jpg": b"1"})
    refused, one = sorted(walk_media(inside(tmp_path), suffixes=(".jpg", "")), key=lambda entry: entry.id)
    assert (one.id, refused.reason) == ("one.jpg", "too deep")


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_member_that_is_packed_unusually_is_left_out(tmp_path: Path, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", method) as archive:
        archive.writestr("one.jpg", b"1")
    (entry,) = walk_media(inside(tmp_path))
    assert entry.reason == "unusual packing"


def test_a_zip_that_lost_its_beginning_has_no_member_there(tmp_path: Path) -> None:
    data = write_zip(tmp_path / "x.zip", {"one.jpg": b"1", "two.jpg": b"2"}).read_bytes()
    (tmp_path / "x.zip").write_bytes(data[10:])
    one, two = walk_media(inside(tmp_path))
    assert (one.reason, two.id) == ("damaged archive", "two.jpg")


def test_a_member_without_a_name_is_none(tmp_path: Path) -> None:
    data = write_zip(tmp_path / "x.zip", {"a.jpg": b"1", "two.jpg": b"2"}).read_bytes()
    (tmp_path / "x.zip").write_bytes(data.replace(b"a.jpg", b"\0.jpg"))  # names end at a NUL
    assert [entry.id for entry in walk_media(inside(tmp_path))] == ["two.jpg"]
