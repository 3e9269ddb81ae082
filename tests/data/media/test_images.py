"""Decoding of images to faces, and the file of faces."""

import errno
import io
import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fer.core.store import concatenate_faces, open_face_writer, open_faces
from fer.data.media.images import UndecodableError, decode_face, decode_image, parse_pixels, resize_face
from fer.runtime.errors import InputError

RAMP = np.linspace(0, 255, 48 * 48).reshape(48, 48).astype(np.uint8)


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decode(tmp_path: Path, content: bytes, size: int = 48) -> np.ndarray:
    path = tmp_path / "image"
    path.write_bytes(content)
    return decode_face(path, size)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_a_lossless_grey_image_of_the_right_size_is_unchanged(tmp_path: Path, kind: str) -> None:
    assert (decode(tmp_path, encode(Image.fromarray(RAMP), kind)) == RAMP).all()


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_a_lossy_image_is_nearly_unchanged(tmp_path: Path, kind: str) -> None:
    face = decode(tmp_path, encode(Image.fromarray(RAMP), kind, quality=95))
    assert np.abs(face.astype(int) - RAMP).max() < 12


def test_colours_become_grey_by_itu_r_601(tmp_path: Path) -> None:
    for colour, grey in (((255, 0, 0), 76), ((0, 255, 0), 150), ((0, 0, 255), 29)):
        assert (decode(tmp_path, encode(Image.new("RGB", (48, 48), colour), "PNG")) == grey).all()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "CMYK", "YCbCr"])
def test_every_pixel_mode_gives_the_same_face(tmp_path: Path, mode: str) -> None:
    grey = Image.fromarray(RAMP)
    image = grey.quantize(256) if mode == "P" else grey.convert("RGB").convert(mode)
    kind = "JPEG" if mode == "YCbCr" else "TIFF" if mode == "CMYK" else "PNG"
    assert np.abs(decode(tmp_path, encode(image, kind)).astype(int) - RAMP).max() < 8


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    sixteen_bit = Image.fromarray(RAMP.astype(np.uint16) * 257)
    for kind in ("PNG", "TIFF"):
        assert (decode(tmp_path, encode(sixteen_bit, kind)) == RAMP).all()


def test_one_bit_becomes_black_and_white(tmp_path: Path) -> None:
    assert set(np.unique(decode(tmp_path, encode(Image.fromarray(RAMP > 127), "PNG")))) == {0, 255}


def test_transparent_pixels_become_white(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (48, 48), (255, 0, 0, 0))
    assert (decode(tmp_path, encode(clear, "PNG")) == 255).all()
    palette = Image.new("P", (48, 48), 0)
    assert (decode(tmp_path, encode(palette, "PNG", transparency=0)) == 255).all()


def test_an_image_rotated_by_exif_becomes_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees clockwise to display
    content = encode(Image.fromarray(np.rot90(RAMP)), "PNG", exif=exif)
    assert (decode(tmp_path, content) == RAMP).all()


def test_the_centre_square_is_cropped(tmp_path: Path) -> None:
    for axis in (0, 1):
        wide = np.concatenate([RAMP * 0, RAMP, RAMP * 0], axis=axis)
        assert (decode(tmp_path, encode(Image.fromarray(wide), "PNG")) == RAMP).all()


def test_downscaling_averages_fine_stripes_to_grey() -> None:
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), (480, 240))
    assert np.abs(resize_face(stripes, 48).astype(int) - 127).max() <= 6


def test_resizing_to_the_same_size_changes_nothing_and_any_shape_becomes_a_square() -> None:
    assert (resize_face(RAMP, 48) == RAMP).all()
    assert resize_face(np.full((30, 70), 9, dtype=np.uint8), 48).shape == (48, 48)
    assert (resize_face(np.full((30, 70), 9, dtype=np.uint8), 48) == 9).all()


def test_an_animation_gives_its_first_frame(tmp_path: Path) -> None:
    first, second = Image.fromarray(RAMP), Image.new("L", (48, 48))
    for kind in ("TIFF", "PNG"):
        assert (decode(tmp_path, encode(first, kind, save_all=True, append_images=[second])) == RAMP).all()


def make_bomb(width: int, height: int) -> bytes:
    """Return a PNG whose header states a large size."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"<html>not found</html>", "not a picture"),
        (encode(Image.fromarray(RAMP), "GIF"), "not a picture"),
        (encode(Image.fromarray(RAMP), "JPEG")[:-200], "damaged picture"),
        (encode(Image.fromarray(RAMP), "PNG")[:-100], "damaged picture"),
        (make_bomb(10_000, 5_001), "too many pixels"),
        (make_bomb(20_000, 20_000), "too many pixels"),
        (encode(Image.fromarray(RAMP.astype(np.float32)), "TIFF"), "unusual pixels"),
        (encode(Image.fromarray(RAMP.astype(np.int32) - 9), "TIFF"), "unusual pixels"),
    ],
    ids=["empty", "html", "gif", "cut jpeg", "cut png", "50 MP", "400 MP", "float", "negative"],
)
def test_undecodable_images_are_reported_with_a_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(UndecodableError) as error:
        decode(tmp_path, content)
    assert error.value.reason == reason
    assert error.value.detail
    assert "\n" not in error.value.detail


def test_a_missing_file_is_not_undecodable(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        decode_face(tmp_path / "none.jpg", 48)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from(["JPEG", "PNG", "BMP", "WEBP", "TIFF"]), st.data())
def test_damaged_bytes_give_a_face_or_an_undecodable_error(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    content = bytearray(encode(Image.fromarray(RAMP[:9, :9]), kind))
    for position in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=8)):
        content[position] = data.draw(st.integers(0, 255))
    try:
        face = decode(tmp_path, bytes(content))
    except UndecodableError:
        return
    assert face.shape == (48, 48)
    assert face.dtype == np.uint8


@given(count=st.integers(0, 12), size=st.integers(1, 9))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_appended_faces_give_the_same_bytes_as_numpy_save(tmp_path: Path, count: int, size: int) -> None:
    faces = np.random.default_rng(count).integers(0, 256, (count, size, size), dtype=np.uint8)
    with open_face_writer(tmp_path / "faces.npy", size) as append:
        for face in faces:
            append(face)
    np.save(tmp_path / "numpy.npy", faces)
    assert (tmp_path / "faces.npy").read_bytes() == (tmp_path / "numpy.npy").read_bytes()


def test_appending_needs_constant_memory(tmp_path: Path) -> None:
    tracemalloc.start()
    with open_face_writer(tmp_path / "faces.npy", 48) as append:
        for _ in range(2000):
            append(RAMP)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "faces.npy").stat().st_size > 2000 * RAMP.size
    assert peak < 1_000_000


def test_a_failed_append_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "faces.npy"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="a face must be uint8"), open_face_writer(path, 48) as append:
        [append(face) for face in (RAMP, RAMP[:40, :40])]
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_appending_faces_of_another_size_is_an_error(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match=r"uint8 \(40, 40\), not uint8 \(48, 48\)"),
        open_face_writer(tmp_path / "f.npy", 40) as append,
    ):
        append(RAMP)


def test_opened_faces_are_memory_mapped_and_read_only(tmp_path: Path) -> None:
    np.save(tmp_path / "faces.npy", RAMP[None])
    faces = open_faces(tmp_path / "faces.npy")
    assert isinstance(faces, np.memmap)
    assert (faces == RAMP).all()
    with pytest.raises(ValueError, match="read-only"):
        faces[0, 0, 0] = 1


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 48, 47), np.uint8), r"holds uint8 \(2, 48, 47\), but faces are uint8 \(n, size, size\)"),
        (np.zeros((48, 48), np.uint8), r"holds uint8 \(48, 48\)"),
        (np.zeros((2, 48, 48), np.float32), "holds float32"),
        (np.array([{"a": 1}]), "not an array"),
    ],
)
def test_an_array_that_holds_no_faces_is_an_error(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / "faces.npy", array, allow_pickle=True)
    with pytest.raises(InputError, match=message):
        open_faces(tmp_path / "faces.npy")


@pytest.mark.parametrize("n_bytes", [0, 5, 64, 128, 1000])
def test_a_truncated_file_of_faces_is_an_error(tmp_path: Path, n_bytes: int) -> None:
    np.save(tmp_path / "faces.npy", RAMP[None])
    (tmp_path / "faces.npy").write_bytes((tmp_path / "faces.npy").read_bytes()[:n_bytes])
    with pytest.raises(InputError, match="not an array"):
        open_faces(tmp_path / "faces.npy")


def test_an_npz_file_or_a_missing_file_of_faces_is_an_error(tmp_path: Path) -> None:
    np.savez(tmp_path / "faces.npz", RAMP)
    with pytest.raises(InputError, match=r"faces\.npz: not an array"):
        open_faces(tmp_path / "faces.npz")
    with pytest.raises(InputError, match="no such file"):
        open_faces(tmp_path / "faces.npy")


def test_concatenated_faces_are_in_one_file_in_order(tmp_path: Path) -> None:
    faces = np.random.default_rng(0).integers(0, 256, (5, 4, 4), dtype=np.uint8)
    np.save(tmp_path / "a.npy", faces[:2])
    np.save(tmp_path / "b.npy", faces[2:])
    assert (concatenate_faces([tmp_path / "a.npy", tmp_path / "b.npy"], tmp_path / "all.npy") == faces).all()
    np.save(tmp_path / "numpy.npy", faces)
    assert (tmp_path / "all.npy").read_bytes() == (tmp_path / "numpy.npy").read_bytes()


def test_concatenating_faces_of_two_sizes_is_an_error(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 4, 4), np.uint8))
    np.save(tmp_path / "b.npy", np.zeros((2, 5, 5), np.uint8))
    with pytest.raises(InputError, match=r"b\.npy: its faces are 5 pixels wide, but those in .*a\.npy are 4"):
        concatenate_faces([tmp_path / "a.npy", tmp_path / "b.npy"], tmp_path / "all.npy")


def test_bytes_and_file_give_the_same_face(tmp_path: Path) -> None:
    path = tmp_path / "face.png"
    Image.fromarray(RAMP).save(path)
    assert (decode_face(path, 32) == decode_face(path.read_bytes(), 32)).all()


def test_decoding_a_jpeg_at_a_smaller_scale_gives_nearly_the_same_face(tmp_path: Path) -> None:
    gradient = np.add.outer(np.arange(800), np.arange(1200)) * 255 // 2000
    colour = np.stack([gradient, gradient[::-1], gradient[:, ::-1]], axis=2).astype(np.uint8)
    Image.fromarray(colour).save(tmp_path / "photo.jpg", quality=95)
    Image.fromarray(colour).save(tmp_path / "photo.png")
    difference = decode_face(tmp_path / "photo.jpg", 48).astype(int) - decode_face(tmp_path / "photo.png", 48)
    assert abs(difference).max() <= 4


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "LA", "CMYK", "1", "I;16"])
def test_an_image_of_any_mode_is_decoded_to_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("image.jpg" if mode == "CMYK" else "image.png")
    grey = np.tile(np.repeat(np.uint8([0, 255]), 20), (30, 1))
    image = Image.fromarray(grey.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(grey).convert(mode)
    image.save(path)
    colour = decode_image(path)
    assert colour.shape == (30, 40, 3)
    assert abs(colour.astype(int) - grey[:, :, None]).max() <= 3


def test_a_decoded_image_keeps_its_colours_and_is_upright(tmp_path: Path) -> None:
    image = np.zeros((10, 20, 3), dtype=np.uint8)
    image[:, :10] = (200, 100, 50)
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees clockwise to display
    Image.fromarray(image).save(tmp_path / "a.png", exif=exif)
    colour = decode_image(tmp_path / "a.png")
    assert colour.shape == (20, 10, 3)
    assert (colour[0, 0] == (200, 100, 50)).all()


@given(st.lists(st.integers(0, 255), min_size=9, max_size=9))
def test_pixels_written_as_text_are_parsed(values: list[int]) -> None:
    assert parse_pixels(" ".join(map(str, values)), 3).ravel().tolist() == values


@given(st.text(max_size=40))
def test_text_that_is_not_pixels_is_reported(text: str) -> None:
    reason = None
    try:
        assert parse_pixels(text, 1).shape == (1, 1)
    except UndecodableError as error:
        reason = error.reason
    assert reason in (None, "pixel value", "number of pixels")


def test_an_image_with_a_very_long_side_is_refused(tmp_path: Path) -> None:
    for size in ((70_000, 1), (1, 70_000)):
        with pytest.raises(UndecodableError, match="too many pixels: 70,000 on one side"):
            decode(tmp_path, encode(Image.new("L", size), "PNG"))


def test_an_out_of_memory_error_is_not_reported_as_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object, **__: object) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    np.save(tmp_path / "faces.npy", np.zeros((1, 4, 4), dtype=np.uint8))
    monkeypatch.setattr(np, "load", load)
    with pytest.raises(MemoryError, match=r"to map .*faces\.npy"):
        open_faces(tmp_path / "faces.npy")
