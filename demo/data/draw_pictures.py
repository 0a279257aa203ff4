"""Draw pictures.zip: a dozen pictures of different kinds, sizes and shapes.

    python demo/data/draw_pictures.py demo/data/pictures.zip

The same every time: chance begins with a fixed seed.
"""

import io
import math
import sys
import zipfile
from itertools import pairwise
from random import Random

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

chance = Random(1926)
MADE = 2026, 1, 1, 0, 0, 0


def sky(size, *colours):
    """A gradient through the colours, from the top to the bottom."""
    column = Image.new("RGB", (1, len(colours)))
    column.putdata([tuple(bytes.fromhex(colour)) for colour in colours])
    return column.resize(size, Image.Resampling.BICUBIC)


def mix(one, other, share):
    return tuple(round(a + (b - a) * share) for a, b in zip(one, other, strict=True))


def glow(picture, at, radius, colour, strength=1.0):
    mask = Image.radial_gradient("L").point(lambda far: max(0, 180 - far) ** 2 * strength / 127)
    mask = mask.resize((2 * radius, 2 * radius))
    picture.paste(colour, (at[0] - radius, at[1] - radius), mask)


def disc(draw, x, y, radius, fill):
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)


def ridge(width, height, rough, steps=9):
    """Heights of a mountain ridge: midpoints, each moved by chance."""
    line = [chance.uniform(0.3, 0.7), chance.uniform(0.3, 0.7)]
    for _ in range(steps):
        middles = [(a + b) / 2 + chance.uniform(-rough, rough) for a, b in pairwise(line)]
        line = [y for pair in zip(line, [*middles, 0], strict=True) for y in pair][:-1]
        rough *= 0.52
    return [(width * x / (len(line) - 1), height * y) for x, y in enumerate(line)]


def mountains(width, height, colours, far, near, sun):
    picture = sky((width, height), *colours)
    glow(picture, sun, height // 2, "#fff2cf", 0.9)
    disc(ImageDraw.Draw(picture), *sun, height // 16, "#fff8e8")
    for layer in range(6):
        line = ridge(width, height * 0.5, 0.24)
        shift = height * (0.22 + 0.13 * layer)
        shape = [(0, height), *((x, y + shift) for x, y in line), (width, height)]
        ImageDraw.Draw(picture).polygon(shape, fill=mix(far, near, layer / 5))
    return picture


def sunrise():
    dusk = "2b3a67", "7a5c86", "d9857a", "f6b87e", "fbe0a8"
    return mountains(1600, 1000, dusk, (214, 142, 128), (33, 28, 54), (1050, 380))


def morning():
    haze = "a9d3e8", "cfe6ee", "eef4ee", "f7f1e3"
    return mountains(1800, 700, haze, (176, 205, 212), (24, 66, 76), (420, 170))


def night():
    width, height = 1000, 1400
    picture = sky((width, height), "050816", "0b1533", "1d2b53", "3f4a74")
    draw = ImageDraw.Draw(picture)
    for _ in range(900):
        light = chance.randint(90, 255)
        disc(
            draw,
            chance.uniform(0, width),
            chance.uniform(0, height) * 0.85,
            chance.choice([0.6, 0.8, 1, 1.6]),
            (light, light, min(255, light + 20)),
        )
    glow(picture, (690, 330), 330, "#8fa3d8", 0.8)
    disc(draw, 690, 330, 96, "#f2ecd8")
    for _ in range(24):
        angle, far = chance.uniform(0, math.tau), 80 * math.sqrt(chance.random())
        disc(
            draw,
            690 + far * math.cos(angle),
            330 + far * math.sin(angle),
            chance.uniform(3, 14),
            "#ded6be",
        )
    draw.rectangle((0, height - 60, width, height), "#050a14")
    for x in range(-20, width, 17):
        fir(draw, x + chance.uniform(-8, 8), height, chance.uniform(120, 330))
    return picture


def fir(draw, x, ground, tall):
    for part in range(6):
        top, wide = ground - tall + tall * part / 7, tall * (0.05 + 0.032 * part)
        draw.polygon([(x, top), (x - wide, top + tall / 4), (x + wide, top + tall / 4)], "#050a14")


def dunes():
    width, height = 1500, 1000
    picture = sky((width, height), "f3b77a", "f7d9a8", "fbeccb")
    draw = ImageDraw.Draw(picture)
    for layer in range(7):
        phase, swing = chance.uniform(0, 6), 90 - 5 * layer
        base = height * (0.36 + 0.1 * layer)
        colour = mix((235, 170, 108), (122, 52, 30), layer / 6)
        line = [
            (
                x,
                base
                + swing * math.sin(x / (210 + 40 * layer) + phase)
                + 18 * math.sin(x / 71 + 2 * phase),
            )
            for x in range(0, width + 1, 5)
        ]
        draw.polygon([(0, height), *line, (width, height)], fill=colour)
        draw.line(line, fill=mix(colour, (255, 235, 200), 0.45), width=3)
    return picture


def sunflower():
    size = 1200
    picture = Image.new("RGB", (size, size), "#10302b")
    draw = ImageDraw.Draw(picture)
    for seed in range(1500, 0, -1):
        angle, far = seed * math.radians(137.508), 14.6 * math.sqrt(seed)
        share = seed / 1500
        colour = mix((92, 42, 18), (250, 196, 52), min(1, share * 1.35))
        disc(
            draw,
            size / 2 + far * math.cos(angle),
            size / 2 + far * math.sin(angle),
            4 + 10 * share,
            colour,
        )
    return picture


def city():
    width, height = 1400, 900
    picture = sky((width, height), "1b1440", "4a2a6a", "b04a78", "f08a5d", "f9c46b")
    for layer, shade in enumerate(["#5c3566", "#38224f", "#140f2b"]):
        draw, x = ImageDraw.Draw(picture), 0
        while x < width:
            wide, tall = chance.randint(50, 120), chance.randint(150, 520 - 110 * layer)
            draw.rectangle((x, height - tall, x + wide, height), fill=shade)
            for row in range(height - tall + 14, height, 24) if layer else []:
                for column in range(x + 10, x + wide - 14, 20):
                    if chance.random() < 0.28:
                        draw.rectangle((column, row, column + 8, row + 11), fill="#ffd98a")
            x += wide + chance.choice([0, 0, 8, 24])
    return picture


def waves():
    width, height, step = 1200, 1200, 46
    picture = Image.new("RGB", (width, height), "#f4ecd8")
    draw = ImageDraw.Draw(picture)
    blues = ["#0b3954", "#1c6e8c", "#4aa3b8", "#a6d5d0"]
    for row, y in enumerate(range(0, height + 4 * step, step)):
        for x in range(-step * 2 + (row % 2) * step * 2, width + step * 4, step * 4):
            for ring, colour in enumerate([*blues, "#f4ecd8"]):
                disc(draw, x, y, step * (2.1 - 0.42 * ring), colour)
    return picture


def tiles():
    size, cell = 1200, 100
    picture = Image.new("RGB", (size, size), "#fdf6ec")
    draw = ImageDraw.Draw(picture)
    inks = ["#e4572e", "#17bebb", "#ffc914", "#2e282a", "#76b041"]
    for y in range(0, size, cell):
        for x in range(0, size, cell):
            turn, ink, other = chance.randrange(4), *chance.sample(inks, 2)
            corner = [(x, y), (x + cell, y), (x + cell, y + cell), (x, y + cell)][turn]
            draw.rectangle((x, y, x + cell, y + cell), fill=other)
            box = [c - cell for c in corner] + [c + cell for c in corner]
            draw.pieslice(box, 90 * turn, 90 * turn + 90, fill=ink)
            box = [c - cell / 2 for c in corner] + [c + cell / 2 for c in corner]
            draw.pieslice(box, 90 * turn, 90 * turn + 90, fill="#fdf6ec")
    return picture


def marble():
    """Clouds of noise at many scales, bent into veins and coloured."""
    size = (1280, 860)
    cloud = Image.new("L", size, 128)
    for octave in range(2, 8):
        grid = [chance.randrange(256) for _ in range(4**octave)]
        noise = Image.new("L", (2**octave, 2**octave))
        noise.putdata(grid)
        noise = noise.resize(size, Image.Resampling.BICUBIC)
        cloud = ImageChops.add(cloud, noise.point(lambda v, o=octave: v // (1.7**o)), 1.22)
    veins = cloud.point(lambda v: round(127 + 127 * math.sin(v / 9)))
    return ImageOps.colorize(
        veins.filter(ImageFilter.GaussianBlur(1)), "#0d2f3f", "#f5efe0", mid="#4d9c96"
    )


def kaleidoscope():
    half = 600
    wedge = sky((half, half), "2d0a4e", "8a1c7c", "da4167", "f0bd5a")
    draw = ImageDraw.Draw(wedge, "RGBA")
    for _ in range(90):
        x, y, r = chance.uniform(0, half), chance.uniform(0, half), chance.uniform(8, 110)
        colour = chance.choice([(255, 238, 200), (86, 227, 216), (255, 120, 90), (60, 20, 110)])
        draw.regular_polygon(
            (x, y, r), chance.choice([3, 4, 6]), chance.randrange(90), (*colour, 110)
        )
    wedge = ImageChops.lighter(wedge, wedge.transpose(Image.Transpose.TRANSPOSE))
    upper = Image.new("RGB", (half * 2, half))
    upper.paste(wedge, (0, 0))
    upper.paste(ImageOps.mirror(wedge), (half, 0))
    whole = Image.new("RGB", (half * 2, half * 2))
    whole.paste(upper, (0, 0))
    whole.paste(ImageOps.flip(upper), (0, half))
    return whole


def lagoon():
    """Ripples of three stones thrown into the water."""
    small, stones = (450, 600), [(120, 160), (340, 300), (150, 480)]
    water = Image.new("L", small)
    water.putdata(
        [
            round(128 + 42 * sum(math.sin(math.dist((x, y), stone) / 6.5) for stone in stones))
            for y in range(small[1])
            for x in range(small[0])
        ]
    )
    water = water.resize((900, 1200), Image.Resampling.BICUBIC)
    return ImageOps.colorize(water, "#023047", "#d8f3dc", mid="#219ebc")


def flag():
    """A small one with transparency, as icons have it."""
    picture = Image.new("RGBA", (480, 480))
    draw = ImageDraw.Draw(picture)
    for ring in range(8):
        colour = (*mix((255, 176, 59), (182, 32, 66), ring / 7), 235)
        draw.regular_polygon((240, 240, 230 - 28 * ring), 6, 9 * ring, colour)
    return picture


PICTURES = {
    "Mountains/sunrise.jpg": sunrise,
    "Mountains/morning panorama.jpg": morning,
    "Mountains/night.png": night,
    "Desert/dunes.jpg": dunes,
    "Garden/sunflower.jpg": sunflower,
    "City/evening.png": city,
    "Patterns/waves.png": waves,
    "Patterns/tiles.png": tiles,
    "Patterns/marble.jpg": marble,
    "Patterns/kaleidoscope.webp": kaleidoscope,
    "Water/lagoon.jpg": lagoon,
    "Icons/hexagons.png": flag,
}
OPTIONS = {
    "jpg": {"format": "JPEG", "quality": 82, "optimize": True},
    "webp": {"format": "WEBP", "quality": 80},
    "png": {"format": "PNG", "optimize": True},
}


def encode(picture, kind):
    if kind == "png" and picture.mode == "RGB":
        picture = picture.quantize(192, dither=Image.Dither.NONE)
    data = io.BytesIO()
    picture.save(data, **OPTIONS[kind])
    return data.getvalue()


if __name__ == "__main__":
    with zipfile.ZipFile(sys.argv[1], "w") as archive:
        for name, draw in PICTURES.items():
            archive.writestr(zipfile.ZipInfo(name, MADE), encode(draw(), name.rpartition(".")[2]))
