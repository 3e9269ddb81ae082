"""Faces and the heat that `explaining` finds in them, as pictures at sizes that people can see."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8
from matplotlib import colormaps, style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from fer.core.files import replacing
from fer.reporting.plots.plots import FAINT, STYLE

Grey = UInt8[np.ndarray, "size size"]
Colours = UInt8[np.ndarray, "_ _ 3"]  # height, width, and red, green, blue
Placed = tuple[int, int, Colours]  # left and top in the picture
Key = tuple[str, Colours, str]  # what the colours mean, from end to end

COLOURS = "inferno"  # lightness rises evenly with the value, also for the colour-blind and in print
STRONGEST = 0.7  # of the colour where the heat is 1; the rest is the face
WIDTH, MARGIN, GAP = 640, 14, 12  # pixels
LARGE, SMALL = 144, 66  # of them
ABREAST = 4  # large ones
DPI = STYLE["savefig.dpi"]
TITLE, PLAIN = 11, 7.5  # points


@dataclass(frozen=True)
class Row:
    """Pictures beside each other, a heading above, and below each its words, where there are any."""

    tiles: Sequence[Colours]
    heading: str = ""
    words: Sequence[str] = field(default_factory=list)


def enlarged(face: Grey, px: int = LARGE) -> Colours:
    """A face, `px` pixels a side."""
    return np.asarray(Image.fromarray(face).resize((px, px), Image.Resampling.LANCZOS).convert("RGB"))


def overlay(face: Grey, heat: Float[np.ndarray, "size size"], px: int = LARGE) -> Colours:
    """A face with its heat, 0..1, laid over it: the more heat, the more and the brighter the colour."""
    return _mixed(enlarged(face, px), np.asarray(Image.fromarray(heat).resize((px, px), Image.Resampling.BILINEAR)))


def cells(values: Float[np.ndarray, "height width"], px: int = SMALL) -> Colours:
    """A channel of a map, from its least value to its greatest, each cell a square."""
    above = values - values.min()
    colours = Image.fromarray(_colour(above / (above.max() or 1)))
    return np.asarray(colours.resize((px, px), Image.Resampling.NEAREST))


def gallery(
    groups: Mapping[str, Int[np.ndarray, " m"]],
    faces: UInt8[np.ndarray, "n size size"],
    words: Mapping[int, str],
    heat: Mapping[int, Float[np.ndarray, "size size"]] | None = None,
) -> list[Row]:
    """Rows of the faces that `groups` has under each heading, with their words and, below each, its heat."""
    rows = []
    for heading, every in groups.items():
        for start in range(0, max(1, len(every)), ABREAST):
            numbers = every[start : start + ABREAST].tolist()
            above, said = heading if start == 0 else "", [words[number] for number in numbers]
            rows.append(Row([enlarged(faces[number]) for number in numbers], above, said if heat is None else []))
            if heat is not None and numbers:
                rows.append(Row([overlay(faces[number], heat[number]) for number in numbers], words=said))
    return rows


def page(path: Path, title: str, about: str, rows: Sequence[Row], key: Key | None = None) -> None:
    """Write rows of pictures as PNG, and what the colours mean; the same content gives the same bytes."""
    with style.context(STYLE, after_reset=True), replacing(path) as part:
        figure = Figure()
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        placed: list[Placed] = []
        y = _text(axes, MARGIN, MARGIN, title, TITLE, weight="bold") + 2
        y = _text(axes, MARGIN, y, about, PLAIN) + GAP
        for row in rows:
            y = _row(axes, placed, y, row)
        if key:
            y = _key(axes, placed, y, *key)
        canvas = np.full((y, WIDTH, 3), 255, dtype=np.uint8)
        for left, top, tile in placed:
            canvas[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
        figure.figimage(canvas, zorder=-1)  # below the words
        axes.set(xlim=(0, WIDTH), ylim=(y, 0))
        figure.set_size_inches(WIDTH / DPI, y / DPI)
        figure.savefig(part, format="png", metadata={"Software": None})


def _row(axes: Axes, placed: list[Placed], y: int, row: Row) -> int:
    if row.heading:
        y = _text(axes, MARGIN, y, row.heading, PLAIN + 1, weight="bold") + 4
    if not row.tiles:
        return _text(axes, MARGIN, y, "none", PLAIN, color=FAINT) + GAP
    bottoms = []
    for place, tile in enumerate(row.tiles):
        height, width, _ = tile.shape
        left = MARGIN + place * (width + GAP)
        placed.append((left, y, tile))
        bottoms.append(_text(axes, left, y + height + 2, row.words[place], PLAIN) if row.words else y + height)
    return max(bottoms) + GAP


def _key(axes: Axes, placed: list[Placed], y: int, low: str, colours: Colours, high: str) -> int:
    left = MARGIN + 9 * len(low) + GAP
    placed.append((left, y + 7, np.repeat(colours, 10, axis=0)))
    _text(axes, MARGIN, y, low, PLAIN)
    return _text(axes, left + colours.shape[1] + GAP, y, high, PLAIN) + MARGIN


def _text(axes: Axes, x: int, y: int, text: str, points: int | float, **look: Any) -> int:
    """Write the lines of a text below `y`, and return where they end."""
    pitch = round(1.35 * points * DPI / 72)
    for line in text.split("\n"):
        axes.text(x, y + 0.78 * pitch, line, size=points, parse_math=False, **look)
        y += pitch
    return y


def _mixed(face: Colours, heat: Float[np.ndarray, "height width"]) -> Colours:
    share = STRONGEST * heat[..., None]
    return ((1 - share) * face + share * _colour(heat)).round().astype(np.uint8)


def _colour(values: Float[np.ndarray, "height width"]) -> Colours:
    return colormaps[COLOURS](values, bytes=True)[..., :3]


_RISING = np.linspace(0, 1, 120)[None]
HEAT_KEY: Key = ("nothing", _mixed(np.full((1, 120, 3), 128, dtype=np.uint8), _RISING), "most of what speaks for it")
CELLS_KEY: Key = ("least", _colour(_RISING), "greatest value of the channel")
