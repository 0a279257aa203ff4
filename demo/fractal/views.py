"""The page of the part *Fractal*: one ordinary view, slow for large pictures."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import timedelta

from flask import Blueprint, abort, render_template, request

from demo.fractal.mandelbrot import PALETTES, PLACES, as_data, draw
from demo.tasks import tasks

WIDTHS = {480: "small", 960: "medium", 1440: "large"}
DEPTHS = {100: "coarse", 400: "fine", 1600: "very fine"}

fractal = Blueprint("fractal", __name__, url_prefix="/fractal")


@fractal.get("/")
@tasks.background(wait=0.5)
def mandelbrot_set() -> str:
    place, palette = choice("place", PLACES), choice("palette", PALETTES)
    width, depth = int(choice("width", WIDTHS)), int(choice("depth", DEPTHS))
    began = time.perf_counter()
    picture = draw(PLACES[place], width, depth, palette)
    took = timedelta(seconds=time.perf_counter() - began)
    return render_template(
        "fractal/index.html",
        chosen={"place": place, "palette": palette, "width": width, "depth": depth},
        choices={"place": PLACES, "palette": PALETTES, "width": WIDTHS, "depth": DEPTHS},
        picture=picture,
        data=as_data(picture),
        took=took,
    )


def choice(name: str, known: Iterable[object]) -> str:
    """Read one of the form's choices, the first if it was not sent."""
    values = [str(each) for each in known]
    value = request.args.get(name, values[0])
    if value not in values:
        abort(400, f"{name} must be one of {', '.join(values)}.")
    return value
