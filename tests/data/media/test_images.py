"""Pictures become faces, and faces a file."""

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


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(tmp_path: Path, content: bytes, size: int = 48) -> np.ndarray:
    path = tmp_path / "picture"
    path.write_bytes(content)
    return decode_face(path, size)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_a_lossless_grey_picture_of_the_right_size_is_taken_as_it_is(tmp_path: Path, kind: str) -> None:
    assert (decoded(tmp_path, encoded(Image.fromarray(RAMP), kind)) == RAMP).all()


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_a_lossy_picture_is_nearly_the_same(tmp_path: Path, kind: str) -> None:
    face = decoded(tmp_path, encoded(Image.fromarray(RAMP), kind, quality=95))
    assert np.abs(face.astype(int) - RAMP).max() < 12


def test_colours_become_grey_by_itu_r_601(tmp_path: Path) -> None:
    for colour, grey in (((255, 0, 0), 76), ((0, 255, 0), 150), ((0, 0, 255), 29)):
        assert (decoded(tmp_path, encoded(Image.new("RGB", (48, 48), colour), "PNG")) == grey).all()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "CMYK", "YCbCr"])
def test_every_mode_of_pixels_shows_the_same_face(tmp_path: Path, mode: str) -> None:
    grey = Image.fromarray(RAMP)
    image = grey.quantize(256) if mode == "P" else grey.convert("RGB").convert(mode)
    kind = "JPEG" if mode == "YCbCr" else "TIFF" if mode == "CMYK" else "PNG"
    assert np.abs(decoded(tmp_path, encoded(image, kind)).astype(int) - RAMP).max() < 8


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    deep = Image.fromarray(RAMP.astype(np.uint16) * 257)
    for kind in ("PNG", "TIFF"):
        assert (decoded(tmp_path, encoded(deep, kind)) == RAMP).all()


def test_one_bit_becomes_black_and_white(tmp_path: Path) -> None:
    assert set(np.unique(decoded(tmp_path, encoded(Image.fromarray(RAMP > 127), "PNG")))) == {0, 255}


def test_what_is_transparent_is_white_whatever_lies_under_it(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (48, 48), (255, 0, 0, 0))
    assert (decoded(tmp_path, encoded(clear, "PNG")) == 255).all()
    palette = Image.new("P", (48, 48), 0)
    assert (decoded(tmp_path, encoded(palette, "PNG", transparency=0)) == 255).all()


def test_a_photograph_taken_sideways_is_put_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to look at it
    content = encoded(Image.fromarray(np.rot90(RAMP)), "PNG", exif=exif)
    assert (decoded(tmp_path, content) == RAMP).all()


def test_the_centre_square_is_kept(tmp_path: Path) -> None:
    for axis in (0, 1):
        wide = np.concatenate([RAMP * 0, RAMP, RAMP * 0], axis=axis)
        assert (decoded(tmp_path, encoded(Image.fromarray(wide), "PNG")) == RAMP).all()


def test_shrinking_averages_so_that_fine_stripes_turn_grey() -> None:
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), (480, 240))
    assert np.abs(resize_face(stripes, 48).astype(int) - 127).max() <= 6


def test_shrinking_to_the_same_size_changes_nothing_and_any_shape_becomes_a_square() -> None:
    assert (resize_face(RAMP, 48) == RAMP).all()
    assert resize_face(np.full((30, 70), 9, dtype=np.uint8), 48).shape == (48, 48)
    assert (resize_face(np.full((30, 70), 9, dtype=np.uint8), 48) == 9).all()


def test_of_an_animation_the_first_frame_is_the_face(tmp_path: Path) -> None:
    first, second = Image.fromarray(RAMP), Image.new("L", (48, 48))
    for kind in ("TIFF", "PNG"):
        assert (decoded(tmp_path, encoded(first, kind, save_all=True, append_images=[second])) == RAMP).all()


def bomb(width: int, height: int) -> bytes:
    """A PNG that claims to be large."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"<html>not found</html>", "not a picture"),
        (encoded(Image.fromarray(RAMP), "GIF"), "not a picture"),
        (encoded(Image.fromarray(RAMP), "JPEG")[:-200], "damaged picture"),
        (encoded(Image.fromarray(RAMP), "PNG")[:-100], "damaged picture"),
        (bomb(10_000, 5_001), "too many pixels"),
        (bomb(20_000, 20_000), "too many pixels"),
        (encoded(Image.fromarray(RAMP.astype(np.float32)), "TIFF"), "unusual pixels"),
        (encoded(Image.fromarray(RAMP.astype(np.int32) - 9), "TIFF"), "unusual pixels"),
    ],
    ids=["empty", "html", "gif", "cut jpeg", "cut png", "50 MP", "400 MP", "float", "negative"],
)
def test_what_cannot_be_decoded_is_told_by_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(UndecodableError) as error:
        decoded(tmp_path, content)
    assert error.value.reason == reason
    assert error.value.detail
    assert "\n" not in error.value.detail


def test_a_missing_file_is_not_a_bad_picture(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        decode_face(tmp_path / "none.jpg", 48)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from(["JPEG", "PNG", "BMP", "WEBP", "TIFF"]), st.data())
def test_damaged_bytes_give_a_face_or_a_reason(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    content = bytearray(encoded(Image.fromarray(RAMP[:9, :9]), kind))
    for position in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=8)):
        content[position] = data.draw(st.integers(0, 255))
    try:
        face = decoded(tmp_path, bytes(content))
    except UndecodableError:
        return
    assert face.shape == (48, 48)
    assert face.dtype == np.uint8


@given(count=st.integers(0, 12), size=st.integers(1, 9))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_appended_faces_have_the_bytes_of_numpys_own_file(tmp_path: Path, count: int, size: int) -> None:
    faces = np.random.default_rng(count).integers(0, 256, (count, size, size), dtype=np.uint8)
    with open_face_writer(tmp_path / "faces.npy", size) as append:
        for face in faces:
            append(face)
    np.save(tmp_path / "numpy.npy", faces)
    assert (tmp_path / "faces.npy").read_bytes() == (tmp_path / "numpy.npy").read_bytes()


def test_appending_takes_no_more_memory_for_more_faces(tmp_path: Path) -> None:
    tracemalloc.start()
    with open_face_writer(tmp_path / "faces.npy", 48) as append:
        for _ in range(2000):
            append(RAMP)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "faces.npy").stat().st_size > 2000 * RAMP.size
    assert peak < 1_000_000


def test_an_appending_that_fails_leaves_the_older_file(tmp_path: Path) -> None:
    path = tmp_path / "faces.npy"
    path.write_bytes(b"older")
    with pytest.raises(ValueError, match="a face must be uint8"), open_face_writer(path, 48) as append:
        [append(face) for face in (RAMP, RAMP[:40, :40])]
    assert path.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [path]


def test_faces_of_another_size_are_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match=r"uint8 \(40, 40\), not uint8 \(48, 48\)"),
        open_face_writer(tmp_path / "f.npy", 40) as append,
    ):
        append(RAMP)


def test_opened_faces_are_read_from_the_file(tmp_path: Path) -> None:
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
def test_another_array_is_not_faces(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / "faces.npy", array, allow_pickle=True)
    with pytest.raises(InputError, match=message):
        open_faces(tmp_path / "faces.npy")


@pytest.mark.parametrize("kept", [0, 5, 64, 128, 1000])
def test_a_file_cut_short_is_not_faces(tmp_path: Path, kept: int) -> None:
    np.save(tmp_path / "faces.npy", RAMP[None])
    (tmp_path / "faces.npy").write_bytes((tmp_path / "faces.npy").read_bytes()[:kept])
    with pytest.raises(InputError, match="not an array"):
        open_faces(tmp_path / "faces.npy")


def test_an_archive_and_a_missing_file_are_not_faces(tmp_path: Path) -> None:
    np.savez(tmp_path / "faces.npz", RAMP)
    with pytest.raises(InputError, match=r"faces\.npz: not an array"):
        open_faces(tmp_path / "faces.npz")
    with pytest.raises(InputError, match="no such file"):
        open_faces(tmp_path / "faces.npy")


def test_concatenated_faces_follow_one_another_in_one_file(tmp_path: Path) -> None:
    faces = np.random.default_rng(0).integers(0, 256, (5, 4, 4), dtype=np.uint8)
    np.save(tmp_path / "a.npy", faces[:2])
    np.save(tmp_path / "b.npy", faces[2:])
    assert (concatenate_faces([tmp_path / "a.npy", tmp_path / "b.npy"], tmp_path / "all.npy") == faces).all()
    np.save(tmp_path / "numpy.npy", faces)
    assert (tmp_path / "all.npy").read_bytes() == (tmp_path / "numpy.npy").read_bytes()


def test_faces_of_two_sizes_are_not_concatenated(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 4, 4), np.uint8))
    np.save(tmp_path / "b.npy", np.zeros((2, 5, 5), np.uint8))
    with pytest.raises(InputError, match=r"b\.npy: its faces are 5 pixels wide, but those in .*a\.npy are 4"):
        concatenate_faces([tmp_path / "a.npy", tmp_path / "b.npy"], tmp_path / "all.npy")


def test_bytes_and_file_give_the_same_face(tmp_path: Path) -> None:
    path = tmp_path / "face.png"
    Image.fromarray(RAMP).save(path)
    assert (decode_face(path, 32) == decode_face(path.read_bytes(), 32)).all()


def test_a_large_photograph_is_decoded_at_a_smaller_scale_to_nearly_the_same_face(tmp_path: Path) -> None:
    gradient = np.add.outer(np.arange(800), np.arange(1200)) * 255 // 2000
    colour = np.stack([gradient, gradient[::-1], gradient[:, ::-1]], axis=2).astype(np.uint8)
    Image.fromarray(colour).save(tmp_path / "photo.jpg", quality=95)
    Image.fromarray(colour).save(tmp_path / "photo.png")
    difference = decode_face(tmp_path / "photo.jpg", 48).astype(int) - decode_face(tmp_path / "photo.png", 48)
    assert abs(difference).max() <= 4


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "LA", "CMYK", "1", "I;16"])
def test_a_picture_of_any_mode_comes_in_colours(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("picture.jpg" if mode == "CMYK" else "picture.png")
    grey = np.tile(np.repeat(np.uint8([0, 255]), 20), (30, 1))
    image = Image.fromarray(grey.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(grey).convert(mode)
    image.save(path)
    colour = decode_image(path)
    assert colour.shape == (30, 40, 3)
    assert abs(colour.astype(int) - grey[:, :, None]).max() <= 3


def test_colours_stay_what_they_are_and_upright(tmp_path: Path) -> None:
    picture = np.zeros((10, 20, 3), dtype=np.uint8)
    picture[:, :10] = (200, 100, 50)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned right by 90 degrees
    Image.fromarray(picture).save(tmp_path / "a.png", exif=exif)
    colour = decode_image(tmp_path / "a.png")
    assert colour.shape == (20, 10, 3)
    assert (colour[0, 0] == (200, 100, 50)).all()


@given(st.lists(st.integers(0, 255), min_size=9, max_size=9))
def test_numbers_as_text_are_the_pixels(values: list[int]) -> None:
    assert parse_pixels(" ".join(map(str, values)), 3).ravel().tolist() == values


@given(st.text(max_size=40))
def test_text_that_is_no_pixels_is_told(text: str) -> None:
    reason = None
    try:
        assert parse_pixels(text, 1).shape == (1, 1)
    except UndecodableError as error:
        reason = error.reason
    assert reason in (None, "pixel value", "number of pixels")


def test_a_line_of_millions_of_pixels_is_refused(tmp_path: Path) -> None:
    for size in ((70_000, 1), (1, 70_000)):
        with pytest.raises(UndecodableError, match="too many pixels: 70,000 in a side"):
            decoded(tmp_path, encoded(Image.new("L", size), "PNG"))


def test_too_little_memory_for_the_faces_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object, **__: object) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    np.save(tmp_path / "faces.npy", np.zeros((1, 4, 4), dtype=np.uint8))
    monkeypatch.setattr(np, "load", load)
    with pytest.raises(MemoryError, match=r"to map .*faces\.npy"):
        open_faces(tmp_path / "faces.npy")
