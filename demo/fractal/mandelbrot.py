"""Mandelbrot: pictures of the Mandelbrot set, computed point by point."""

from __future__ import annotations

import base64
import io
from array import array
from dataclasses import dataclass
from math import log2, sqrt

from PIL import Image

from flask_backburner import current_job

FAR = 256.0  # how far, squared, a point must go to be out for good and its colour smooth
INSIDE = 255
COLOURS = 255

PALETTES = {
    "ember": ["10060c", "4a1020", "a8321e", "ee8a2e", "ffe9a8", "8a3a1a"],
    "ocean": ["04101f", "0b3954", "1c8ca8", "a6e3d7", "f7f7e8", "2a6f97"],
    "orchid": ["120a24", "4b1d6b", "b0398f", "f59fbc", "fff1e6", "5f4bb6"],
    "ink": ["f7f3ea", "cfc7b8", "8a8378", "35322e", "a8a093", "e6dfd2"],
}


@dataclass(frozen=True, slots=True)
class Place:
    """A part of the plane: its middle and its width."""

    name: str
    x: float
    y: float
    width: float


PLACES = {
    "whole": Place("The whole set", -0.65, 0.0, 3.6),
    "seahorses": Place("Seahorse valley", -0.7463, 0.1102, 0.0085),
    "elephants": Place("Elephant valley", 0.2865, 0.0118, 0.022),
    "spiral": Place("A spiral", -0.7445, 0.1215, 0.0014),
    "island": Place("A far island", -1.7575, 0.0, 0.07),
}


def draw(place: Place, width: int, depth: int, palette: str) -> Image.Image:
    """Compute a picture, 16 by 10, row by row; ``depth`` is when a point counts as inside."""
    height = width * 10 // 16
    step = place.width / width
    left, top = place.x - place.width / 2, place.y + step * height / 2
    columns = [left + step * column for column in range(width)]
    pixels = array("B")
    for row in current_job.track(range(height), message=f"Computing {place.name.lower()}"):
        y = top - step * row
        pixels.extend([colour(x, y, depth) for x in columns])
    picture = Image.frombytes("P", (width, height), pixels.tobytes())
    picture.putpalette(gradient(PALETTES[palette]))
    return picture


def colour(x: float, y: float, depth: int) -> int:
    """Give the number of a point's colour: how soon it leaves, smoothed between the steps."""
    if in_the_large_parts(x, y):
        return INSIDE
    a = b = 0.0
    for step in range(depth):
        aa, bb = a * a, b * b
        if aa + bb > FAR:
            left = step + 1 - log2(log2(aa + bb) / 2)
            return int(24 * sqrt(left)) % COLOURS
        b = 2 * a * b + y
        a = aa - bb + x
    return INSIDE


def in_the_large_parts(x: float, y: float) -> bool:
    """Whether the point is in the cardioid or the disc beside it, which needs no steps."""
    yy = y * y
    q = (x - 0.25) ** 2 + yy
    return q * (q + x - 0.25) <= yy / 4 or (x + 1) ** 2 + yy <= 1 / 16


def gradient(colours: list[str]) -> bytes:
    """Give a palette that runs through the colours and back to the first; the last is black."""
    stops = Image.new("RGB", (len(colours) + 1, 1))
    stops.putdata([tuple(bytes.fromhex(each)) for each in [*colours, colours[0]]])
    return stops.resize((COLOURS, 1), Image.Resampling.BICUBIC).tobytes() + bytes(3)


def as_data(picture: Image.Image) -> str:
    """Give the picture as an address that holds it whole."""
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
