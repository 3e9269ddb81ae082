"""The reader of photos and videos, and how it distinguishes photos from face crops."""

from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from PIL import Image

from fer.data.media.folders import File, Folder, Note
from fer.data.readers import photos, tree
from fer.data.readers.params import Ingest
from fer.data.readers.record import Record


def save_image(path: Path, width: int, height: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 256, (height, width), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return path


def test_every_face_in_a_photo_is_detected_and_a_video_is_a_group(tmp_path: Path, rules: Ingest) -> None:
    save_image(tmp_path / "beach/1.jpg", 40, 30)
    for name in ("beach/2.MP4", "3.mkv", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    *records, note = photos.read(Folder(tmp_path), rules)
    assert records == [
        Record("3.mkv", File("3.mkv", tmp_path / "3.mkv"), group="3.mkv", face_mode="all"),
        Record("beach/1.jpg", File("beach/1.jpg", tmp_path / "beach/1.jpg"), face_mode="all"),
        Record("beach/2.MP4", File("beach/2.MP4", tmp_path / "beach/2.MP4"), group="beach/2.MP4", face_mode="all"),
    ]
    assert note == Note("1 files are of another kind and were left out: .txt 1")


@pytest.mark.parametrize(
    ("width", "height", "is_photo"),
    [(48, 48, False), (256, 256, False), (100, 109, False), (257, 257, True), (100, 130, True), (1024, 768, True)],
)
def test_face_crops_are_small_squares(tmp_path: Path, width: int, height: int, is_photo: bool) -> None:
    for number in range(3):
        save_image(tmp_path / f"a/{number}.png", width, height)
    assert photos.matches(Folder(tmp_path)) == is_photo
    assert tree.matches(Folder(tmp_path))


def test_one_large_image_among_face_crops_does_not_match_but_a_video_does(tmp_path: Path) -> None:
    for number in range(3):
        save_image(tmp_path / f"{number}.png", 48, 48)
    save_image(tmp_path / "large.jpg", 640, 480)
    assert not photos.matches(Folder(tmp_path))
    (tmp_path / "deep/er").mkdir(parents=True)
    (tmp_path / "deep/er/film.AVI").write_bytes(b"")
    assert photos.matches(Folder(tmp_path))


def test_unreadable_images_are_ignored(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg", "c.png"):
        (tmp_path / name).write_bytes(b"not an image")
    assert not photos.matches(Folder(tmp_path))
    save_image(tmp_path / "d.jpg", 640, 480)
    assert photos.matches(Folder(tmp_path))


def test_decompression_bombs_and_large_files_are_not_read_whole(tmp_path: Path) -> None:
    def png_chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + crc32(kind + data).to_bytes(4, "big")

    header = png_chunk(b"IHDR", (1 << 16).to_bytes(4, "big") * 2 + b"\x08\0\0\0\0")
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", b""))
    assert photos.matches(Folder(tmp_path))
    with (tmp_path / "bomb.png").open("wb") as sparse:
        sparse.truncate(1 << 32)
    assert photos.matches(Folder(tmp_path))


def test_only_the_first_images_are_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(60):
        save_image(tmp_path / f"{number:03}.png", 8, 8)
    opened_ids = []
    open_file = File.open
    monkeypatch.setattr(File, "open", lambda file: opened_ids.append(file.id) or open_file(file))
    assert not photos.matches(Folder(tmp_path))
    assert opened_ids == [f"{number:03}.png" for number in range(40)]


def test_a_folder_without_images_does_not_match(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("none")
    assert not photos.matches(Folder(tmp_path))
    assert not tree.matches(Folder(tmp_path))
