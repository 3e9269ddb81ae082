"""Decoding of images into grey square faces and RGB arrays."""

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
MAX_IMAGE_SIDE_PX = 65_535  # the limit of JPEG; Pillow also allocates memory for each row
MAX_IMAGE_BYTES = 200_000_000  # size of one image file

ImageArray = UInt8[np.ndarray, "height width 3"]  # red, green, blue
GreyImage = UInt8[np.ndarray, "height width"]
FaceCrop = UInt8[np.ndarray, "size size"]  # grey


class UndecodableError(Exception):
    """An image or video that cannot be decoded; `reason` names the kind of defect, `detail` the value found."""

    def __init__(self, reason: str, detail: str):
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


def decode_face(image: Path | bytes, size: int) -> FaceCrop:
    """Return the centre square of an image: upright, grey (ITU-R 601), scaled with antialiasing to `size` pixels.

    An animation gives its first frame. Transparent parts are laid over white, and 16 bits become 8.

    Raises:
        UndecodableError: The image is empty, damaged, too large, or in none of `IMAGE_FORMATS`.
    """
    with _open_image(image) as pil_image:
        # Pillow decodes a JPEG at the smallest sufficient scale, and without its colours.
        pil_image.draft("L", (2 * size, 2 * size))
        return _crop_centre(_convert_to_grey(ImageOps.exif_transpose(pil_image)), size)


def decode_image(image: Path | bytes | Image.Image) -> ImageArray:
    """Return the whole image, upright; otherwise like `decode_face`."""
    with _open_image(image) as pil_image:
        upright = ImageOps.exif_transpose(pil_image)
        is_grey = upright.mode not in ("RGB", "CMYK", "YCbCr", "P", "RGBA")
        opaque = _convert_to_grey(upright) if is_grey else _flatten_on_white(upright)
        return np.asarray(opaque.convert("RGB"))


def read_image_size(image: Path | bytes) -> tuple[int, int]:
    """Return the width and height of the upright image from its header alone."""
    with _open_image(image) as pil_image:
        is_sideways = pil_image.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
        return pil_image.size[::-1] if is_sideways else pil_image.size


def parse_pixels(text: str, side: int) -> UInt8[np.ndarray, "side side"]:
    """Return the grey square written as `side` x `side` whole numbers from 0 to 255, separated by blanks."""
    with warnings.catch_warnings(action="error"):
        try:
            values = np.fromstring(text, dtype=np.int64, sep=" ")
        except (DeprecationWarning, ValueError):
            values = np.array([-1])
    if values.size and (values.min() < 0 or values.max() > 255):
        invalid = next((value for value in text.split() if not (value.isdecimal() and int(value[:4]) <= 255)), "?")
        raise UndecodableError("pixel value", f"{invalid[:20]!r}; allowed 0..255")
    if len(values) != side * side:
        raise UndecodableError("number of pixels", f"{len(values)}; allowed {side * side}")
    return values.astype(np.uint8).reshape(side, side)


def resize_face(face: GreyImage, size: int) -> FaceCrop:
    """Return the centre square of a grey image, scaled with antialiasing; a face of that size is returned unchanged."""
    return face if face.shape == (size, size) else _crop_centre(Image.fromarray(face), size)


@contextmanager
def _open_image(image: Path | bytes | Image.Image) -> Iterator[Image.Image]:
    """Yield the image, not yet decoded; any error while it is used becomes an `UndecodableError`."""
    with ExitStack() as open_files, warnings.catch_warnings(action="ignore"):
        source = image if isinstance(image, Image.Image) else _open_bytes(image)
        try:
            if isinstance(source, Image.Image):
                pil_image = source
            else:
                open_files.callback(source.close)
                pil_image = open_files.enter_context(Image.open(source, formats=IMAGE_FORMATS))
            if pil_image.width * pil_image.height > MAX_IMAGE_PIXELS:
                raise UndecodableError(
                    "too many pixels", f"{pil_image.width} x {pil_image.height}; at most {MAX_IMAGE_PIXELS:,}"
                )
            if (longest := max(pil_image.size)) > MAX_IMAGE_SIDE_PX:
                raise UndecodableError("too many pixels", f"{longest:,} on one side; at most {MAX_IMAGE_SIDE_PX:,}")
            yield pil_image
        except UndecodableError:
            raise
        except UnidentifiedImageError as error:
            raise UndecodableError("not a picture", f"its content is not {', '.join(IMAGE_FORMATS)}") from error
        except Image.DecompressionBombError as error:
            raise UndecodableError("too many pixels", f"at most {MAX_IMAGE_PIXELS:,}") from error
        except Exception as error:  # on damaged bytes Pillow's decoders raise nearly any exception
            raise UndecodableError(
                "damaged picture", f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            ) from error


def _open_bytes(image: Path | bytes) -> BytesIO | BufferedReader:
    n_bytes = len(image) if isinstance(image, bytes) else image.stat().st_size
    if n_bytes == 0:
        raise UndecodableError("empty file", "0 bytes")
    if n_bytes > MAX_IMAGE_BYTES:
        raise UndecodableError("too many bytes", f"{n_bytes:,}; at most {MAX_IMAGE_BYTES:,}")
    return BytesIO(image) if isinstance(image, bytes) else image.open("rb")


def _convert_to_grey(pil_image: Image.Image) -> Image.Image:
    if pil_image.mode == "L" and "transparency" not in pil_image.info:
        return pil_image
    if pil_image.mode == "I" or pil_image.mode.startswith("I;16"):
        values = np.asarray(pil_image)
        if values.size and (values.min() < 0 or values.max() > 65535):
            raise UndecodableError("unusual pixels", f"values from {values.min()} to {values.max()}; allowed 0..65535")
        return Image.fromarray((values / 257).round().astype(np.uint8))
    if pil_image.mode == "F":
        raise UndecodableError("unusual pixels", "floating point; save it with 8 or 16 bits")
    return _flatten_on_white(pil_image).convert("L")


def _flatten_on_white(pil_image: Image.Image) -> Image.Image:
    if pil_image.has_transparency_data:
        white = Image.new("RGBA", pil_image.size, "white")
        return Image.alpha_composite(white, pil_image.convert("RGBA")).convert("RGB")
    return pil_image.convert("RGB")


def _crop_centre(grey: Image.Image, size: int) -> FaceCrop:
    side = min(grey.size)
    x, y = (grey.width - side) // 2, (grey.height - side) // 2
    square = grey.crop((x, y, x + side, y + side))
    return np.asarray(square.resize((size, size), Image.Resampling.LANCZOS))
