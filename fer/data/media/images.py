"""Pictures as faces: grey squares, and the file that holds those of a whole source."""

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BufferedReader, BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

IMAGE_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF")
MAX_IMAGE_PIXELS = 50_000_000  # a decompression bomb is refused before it is decoded
MAX_IMAGE_SIDE_PX = 65_535  # as in JPEG; beside its pixels Pillow keeps a number for each row
MAX_IMAGE_BYTES = 200_000_000  # of one picture's file


class UndecodableError(Exception):
    """A picture can't become a face; `reason` is the same for the same kind of defect, `detail` is what was found."""

    def __init__(self, reason: str, detail: str):
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


def decode_face(picture: Path | bytes, size: int) -> UInt8[np.ndarray, "size size"]:
    """The centre square of a picture, upright, grey (ITU-R 601), scaled with antialiasing.

    Of an animation it is the first frame. Transparent parts are laid over white; 16 bits become 8.

    Raises:
        UndecodableError: it is empty, damaged, too large, or in none of `FORMATS`.
    """
    with _open_image(picture) as image:
        image.draft("L", (2 * size, 2 * size))  # a JPEG is decoded at the scale that is enough, and without its colours
        return _crop_centre(_convert_to_grey(ImageOps.exif_transpose(image)), size)


def decode_image(picture: Path | bytes | Image.Image) -> UInt8[np.ndarray, "height width 3"]:
    """A whole picture, upright, in red, green and blue; otherwise like `decode`.

    Raises:
        UndecodableError: it is empty, damaged, too large, or in none of `FORMATS`.
    """
    with _open_image(picture) as image:
        upright = ImageOps.exif_transpose(image)
        colourless = upright.mode not in ("RGB", "CMYK", "YCbCr", "P", "RGBA")
        plain = _convert_to_grey(upright) if colourless else _flatten_on_white(upright)
        return np.asarray(plain.convert("RGB"))


def read_image_size(picture: Path | bytes) -> tuple[int, int]:
    """Width and height of a picture, upright, by its head alone.

    Raises:
        UndecodableError: it is empty, damaged there, too large, or in none of `FORMATS`.
    """
    with _open_image(picture) as image:
        turned = image.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
        return image.size[::-1] if turned else image.size


def parse_pixels(text: str, side: int) -> UInt8[np.ndarray, "side side"]:
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


def resize_face(face: UInt8[np.ndarray, "height width"], size: int) -> UInt8[np.ndarray, "size size"]:
    """The centre square of a grey picture, scaled with antialiasing; as it is where it has that size already."""
    return face if face.shape == (size, size) else _crop_centre(Image.fromarray(face), size)


@contextmanager
def _open_image(picture: Path | bytes | Image.Image) -> Iterator[Image.Image]:
    """The picture, not yet decoded; whatever goes wrong with it while it is used is an `UndecodableError`."""
    with ExitStack() as closing, warnings.catch_warnings(action="ignore"):
        source = picture if isinstance(picture, Image.Image) else _open_bytes(picture)
        try:
            if isinstance(source, Image.Image):
                image = source
            else:
                closing.callback(source.close)
                image = closing.enter_context(Image.open(source, formats=IMAGE_FORMATS))
            if image.width * image.height > MAX_IMAGE_PIXELS:
                raise UndecodableError(
                    "too many pixels", f"{image.width} x {image.height}; at most {MAX_IMAGE_PIXELS:,}"
                )
            if (longest := max(image.size)) > MAX_IMAGE_SIDE_PX:
                raise UndecodableError("too many pixels", f"{longest:,} in a side; at most {MAX_IMAGE_SIDE_PX:,}")
            yield image
        except UndecodableError:
            raise
        except UnidentifiedImageError as error:
            raise UndecodableError("not a picture", f"its content is not {', '.join(IMAGE_FORMATS)}") from error
        except Image.DecompressionBombError as error:
            raise UndecodableError("too many pixels", f"at most {MAX_IMAGE_PIXELS:,}") from error
        except Exception as error:  # on damaged bytes Pillow's decoders raise nearly anything
            raise UndecodableError(
                "damaged picture", f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            ) from error


def _open_bytes(picture: Path | bytes) -> BytesIO | BufferedReader:
    length = len(picture) if isinstance(picture, bytes) else picture.stat().st_size
    if length == 0:
        raise UndecodableError("empty file", "0 bytes")
    if length > MAX_IMAGE_BYTES:
        raise UndecodableError("too many bytes", f"{length:,}; at most {MAX_IMAGE_BYTES:,}")
    return BytesIO(picture) if isinstance(picture, bytes) else picture.open("rb")


def _convert_to_grey(image: Image.Image) -> Image.Image:
    if image.mode == "L" and "transparency" not in image.info:
        return image
    if image.mode == "I" or image.mode.startswith("I;16"):
        values = np.asarray(image)
        if values.size and (values.min() < 0 or values.max() > 65535):
            raise UndecodableError("unusual pixels", f"values from {values.min()} to {values.max()}; allowed 0..65535")
        return Image.fromarray((values / 257).round().astype(np.uint8))
    if image.mode == "F":
        raise UndecodableError("unusual pixels", "floating point; save it with 8 or 16 bits")
    return _flatten_on_white(image).convert("L")


def _flatten_on_white(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _crop_centre(grey: Image.Image, size: int) -> UInt8[np.ndarray, "size size"]:
    side = min(grey.size)
    left, top = (grey.width - side) // 2, (grey.height - side) // 2
    square = grey.crop((left, top, left + side, top + side))
    return np.asarray(square.resize((size, size), Image.Resampling.LANCZOS))
