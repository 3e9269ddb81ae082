"""Pictures as faces: grey squares, and the file that holds those of a whole source."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from io import BufferedReader, BufferedWriter, BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from fer import tables
from fer.errors import InputError

FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF")
MAX_PIXELS = 50_000_000  # a decompression bomb is refused before it is decoded
MAX_SIDE = 65_535  # as in JPEG; beside its pixels Pillow keeps a number for each row
MAX_BYTES = 200_000_000  # of one picture's file


class UndecodableError(Exception):
    """A picture can't become a face; `reason` is the same for the same kind of defect, `detail` is what was found."""

    def __init__(self, reason: str, detail: str):
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


def decode(picture: Path | bytes, size: int) -> UInt8[np.ndarray, "size size"]:
    """The centre square of a picture, upright, grey (ITU-R 601), scaled with antialiasing.

    Of an animation it is the first frame. Transparent parts are laid over white; 16 bits become 8.

    Raises:
        UndecodableError: it is empty, damaged, too large, or in none of `FORMATS`.
    """
    with _opened(picture) as image:
        image.draft("L", (2 * size, 2 * size))  # a JPEG is decoded at the scale that is enough, and without its colours
        return _square(_grey(ImageOps.exif_transpose(image)), size)


def decode_colour(picture: Path | bytes | Image.Image) -> UInt8[np.ndarray, "height width 3"]:
    """A whole picture, upright, in red, green and blue; otherwise like `decode`.

    Raises:
        UndecodableError: it is empty, damaged, too large, or in none of `FORMATS`.
    """
    with _opened(picture) as image:
        upright = ImageOps.exif_transpose(image)
        colourless = upright.mode not in ("RGB", "CMYK", "YCbCr", "P", "RGBA")
        plain = _grey(upright) if colourless else _over_white(upright)
        return np.asarray(plain.convert("RGB"))


def dimensions(picture: Path | bytes) -> tuple[int, int]:
    """Width and height of a picture, upright, by its head alone.

    Raises:
        UndecodableError: it is empty, damaged there, too large, or in none of `FORMATS`.
    """
    with _opened(picture) as image:
        turned = image.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
        return image.size[::-1] if turned else image.size


def undigit(text: str, side: int) -> UInt8[np.ndarray, "side side"]:
    """The grey square that is written as whole numbers from 0 to 255 apart by blanks.

    Raises:
        UndecodableError: there is something else, or another number of them.
    """
    with warnings.catch_warnings(action="error"):
        try:
            values = np.fromstring(text, dtype=np.int64, sep=" ")
        except (DeprecationWarning, ValueError):
            values = np.array([-1])
    if values.size and (values.min() < 0 or values.max() > 255):
        wrong = next((value for value in text.split() if not (value.isdecimal() and int(value[:4]) <= 255)), "?")
        raise UndecodableError("pixel value", f"{wrong[:20]!r}; allowed 0..255")
    if len(values) != side * side:
        raise UndecodableError("number of pixels", f"{len(values)}; allowed {side * side}")
    return values.astype(np.uint8).reshape(side, side)


def shrink(face: UInt8[np.ndarray, "height width"], size: int) -> UInt8[np.ndarray, "size size"]:
    """The centre square of a grey picture, scaled with antialiasing; as it is where it has that size already."""
    return face if face.shape == (size, size) else _square(Image.fromarray(face), size)


@contextmanager
def appending(path: Path, size: int) -> Iterator[Callable[[UInt8[np.ndarray, "size size"]], None]]:
    """Yield a function that adds a face to a new file at `path`; how many will come need not be known.

    The file has the bytes that `np.save` would write, and takes the place of an older one only on success.
    """
    count = 0
    with tables.replacing(path) as part, part.open("wb") as file:

        def append(face: UInt8[np.ndarray, "size size"]) -> None:
            nonlocal count
            if face.shape != (size, size) or face.dtype != np.uint8:
                raise ValueError(f"a face is uint8 ({size}, {size}), not {face.dtype} {face.shape}")
            file.write(face.tobytes())
            count += 1

        _write_header(file, count, size)  # numpy pads it so that the count can grow
        yield append
        file.seek(0)
        _write_header(file, count, size)


def open_faces(path: Path) -> UInt8[np.ndarray, "n size size"]:
    """The faces in a file, read from disk as they are used.

    Raises:
        InputError: the file is missing, cut short or holds something else.
        MemoryError: its size is beyond what the process may address.
    """
    faces = tables.read_array(path, mapped=True)
    if faces.dtype != np.uint8 or faces.ndim != 3 or faces.shape[1] != faces.shape[2]:
        found = f"{faces.dtype} {faces.shape}"
        raise InputError(f"{path}: holds {found}, but faces are uint8 (n, size, size); write it anew with `dvc repro`")
    return faces


def concatenate(parts: Sequence[Path], path: Path) -> UInt8[np.ndarray, "n size size"]:
    """The faces of all `parts`, one file after the other, written to `path` and read from there.

    Raises:
        InputError: a part can't be read or its faces have another size than those of the first.
    """
    arrays = [open_faces(part) for part in parts]
    size = arrays[0].shape[1]
    for part, array in zip(parts, arrays, strict=True):
        if array.shape[1] != size:
            sizes = f"{array.shape[1]} pixels a side, but those in {parts[0]} have {size}"
            raise InputError(f"{part}: its faces have {sizes}; ingest both with one `ingest.size`")
    with path.open("wb") as file:
        _write_header(file, sum(map(len, arrays)), size)
        for array in arrays:
            file.write(array.data)
    return open_faces(path)


def _write_header(file: BufferedWriter, count: int, size: int) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, size, size)}
    np.lib.format.write_array_header_1_0(file, header)


@contextmanager
def _opened(picture: Path | bytes | Image.Image) -> Iterator[Image.Image]:
    """The picture, not yet decoded; whatever goes wrong with it while it is used is an `UndecodableError`."""
    with ExitStack() as closing, warnings.catch_warnings(action="ignore"):
        source = picture if isinstance(picture, Image.Image) else _bytes_of(picture)
        try:
            if isinstance(source, Image.Image):
                image = source
            else:
                closing.callback(source.close)
                image = closing.enter_context(Image.open(source, formats=FORMATS))
            if image.width * image.height > MAX_PIXELS:
                raise UndecodableError("too many pixels", f"{image.width} x {image.height}; at most {MAX_PIXELS:,}")
            if (longest := max(image.size)) > MAX_SIDE:
                raise UndecodableError("too many pixels", f"{longest:,} in a side; at most {MAX_SIDE:,}")
            yield image
        except UndecodableError:
            raise
        except UnidentifiedImageError as error:
            raise UndecodableError("not a picture", f"its content is not {', '.join(FORMATS)}") from error
        except Image.DecompressionBombError as error:
            raise UndecodableError("too many pixels", f"at most {MAX_PIXELS:,}") from error
        except Exception as error:  # on damaged bytes Pillow's decoders raise nearly anything
            raise UndecodableError(
                "damaged picture", f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            ) from error


def _bytes_of(picture: Path | bytes) -> BytesIO | BufferedReader:
    length = len(picture) if isinstance(picture, bytes) else picture.stat().st_size
    if length == 0:
        raise UndecodableError("empty file", "0 bytes")
    if length > MAX_BYTES:
        raise UndecodableError("too many bytes", f"{length:,}; at most {MAX_BYTES:,}")
    return BytesIO(picture) if isinstance(picture, bytes) else picture.open("rb")


def _grey(image: Image.Image) -> Image.Image:
    if image.mode == "L" and "transparency" not in image.info:
        return image
    if image.mode == "I" or image.mode.startswith("I;16"):
        values = np.asarray(image)
        if values.size and (values.min() < 0 or values.max() > 65535):
            raise UndecodableError("unusual pixels", f"values from {values.min()} to {values.max()}; allowed 0..65535")
        return Image.fromarray((values / 257).round().astype(np.uint8))
    if image.mode == "F":
        raise UndecodableError("unusual pixels", "floating point; save it with 8 or 16 bits")
    return _over_white(image).convert("L")


def _over_white(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _square(grey: Image.Image, size: int) -> UInt8[np.ndarray, "size size"]:
    side = min(grey.size)
    left, top = (grey.width - side) // 2, (grey.height - side) // 2
    square = grey.crop((left, top, left + side, top + side))
    return np.asarray(square.resize((size, size), Image.Resampling.LANCZOS))
