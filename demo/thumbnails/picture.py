"""Picture: one made small, from bytes that may be anything."""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image, ImageOps, UnidentifiedImageError

from demo.thumbnails.archive import Unusable

FORMATS = ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"]
MOST_PIXELS = 50_000_000
ORIENTATION = 0x0112  # the tag in EXIF; from 5 on the picture lies on its side


@dataclass(frozen=True, slots=True)
class Small:
    """A small picture as a file, and how large it and the original are, in pixels."""

    data: bytes
    suffix: str
    size: tuple[int, int]
    original: tuple[int, int]


def make_small(data: bytes, side: int) -> Small:
    """Fit a picture into a square of ``side`` pixels. Raises ``Unusable``."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            check_pixels(image)
            return shrunk(image, side)
    except Unusable:
        raise
    except UnidentifiedImageError as error:
        raise Unusable("it is no picture") from error
    except Image.DecompressionBombError as error:
        raise Unusable(too_many_pixels()) from error
    except Exception as error:  # damaged pictures make decoders raise nearly anything
        raise Unusable("it is damaged") from error


def check_pixels(image: Image.Image) -> None:
    """Refuse, before it is decoded, what would fill the memory."""
    if image.width * image.height > MOST_PIXELS:
        raise Unusable(too_many_pixels())


def too_many_pixels() -> str:
    return f"it has more than {MOST_PIXELS // 1_000_000} million pixels"


def shrunk(image: Image.Image, side: int) -> Small:
    original = image.size[::-1] if image.getexif().get(ORIENTATION, 1) >= 5 else image.size
    image.thumbnail((side, side))
    upright = ImageOps.exif_transpose(image)
    if upright.has_transparency_data:
        return Small(encoded(upright.convert("RGBA"), "PNG"), ".png", upright.size, original)
    return Small(encoded(upright.convert("RGB"), "JPEG"), ".jpg", upright.size, original)


def encoded(image: Image.Image, format: str) -> bytes:
    file = io.BytesIO()
    image.save(file, format, quality=85, optimize=True)
    return file.getvalue()
