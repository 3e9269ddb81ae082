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

from fer.core.files import atomic_write
from fer.reporting.plots.plots import GREY, STYLE

GreyFace = UInt8[np.ndarray, "size size"]
RgbTile = UInt8[np.ndarray, "_ _ 3"]  # height, width, and red, green, blue
PlacedTile = tuple[int, int, RgbTile]  # left and top in the picture
ColourKey = tuple[str, RgbTile, str]  # what the colours mean, from end to end

COLORMAP = "inferno"  # lightness rises evenly with the value, also for the colour-blind and in print
MAX_OPACITY = 0.7  # of the colour where the heat is 1; the rest is the face
PAGE_WIDTH, PAGE_MARGIN, TILE_GAP = 640, 14, 12  # pixels
FACE_TILE_PX, CHANNEL_TILE_PX = 144, 66  # of them
FACES_PER_ROW = 4  # large ones
_DPI = STYLE["savefig.dpi"]
_TITLE_POINTS, _TEXT_POINTS = 11, 7.5  # points


@dataclass(frozen=True)
class TileRow:
    """Pictures beside each other, a heading above, and below each its words, where there are any."""

    tiles: Sequence[RgbTile]
    heading: str = ""
    captions: Sequence[str] = field(default_factory=list)


def enlarge_face(face: GreyFace, px: int = FACE_TILE_PX) -> RgbTile:
    """A face, `px` pixels a side."""
    return np.asarray(Image.fromarray(face).resize((px, px), Image.Resampling.LANCZOS).convert("RGB"))


def overlay_heat(face: GreyFace, heat: Float[np.ndarray, "size size"], px: int = FACE_TILE_PX) -> RgbTile:
    """A face with its heat, 0..1, laid over it: the more heat, the more and the brighter the colour."""
    return _blend_heat(
        enlarge_face(face, px), np.asarray(Image.fromarray(heat).resize((px, px), Image.Resampling.BILINEAR))
    )


def draw_channel(values: Float[np.ndarray, "height width"], px: int = CHANNEL_TILE_PX) -> RgbTile:
    """A channel of a map, from its least value to its greatest, each cell a square."""
    above = values - values.min()
    colours = Image.fromarray(_apply_colormap(above / (above.max() or 1)))
    return np.asarray(colours.resize((px, px), Image.Resampling.NEAREST))


def gallery_rows(
    groups: Mapping[str, Int[np.ndarray, " m"]],
    faces: UInt8[np.ndarray, "n size size"],
    captions: Mapping[int, str],
    heat: Mapping[int, Float[np.ndarray, "size size"]] | None = None,
) -> list[TileRow]:
    """Rows of the faces that `groups` has under each heading, with their words and, below each, its heat."""
    rows = []
    for heading, every in groups.items():
        for start in range(0, max(1, len(every)), FACES_PER_ROW):
            numbers = every[start : start + FACES_PER_ROW].tolist()
            above, said = heading if start == 0 else "", [captions[number] for number in numbers]
            rows.append(
                TileRow([enlarge_face(faces[number]) for number in numbers], above, said if heat is None else [])
            )
            if heat is not None and numbers:
                rows.append(TileRow([overlay_heat(faces[number], heat[number]) for number in numbers], captions=said))
    return rows


def write_gallery(
    path: Path, title: str, subtitle: str, rows: Sequence[TileRow], colour_key: ColourKey | None = None
) -> None:
    """Write rows of pictures as PNG, and what the colours mean; the same content gives the same bytes."""
    with style.context(STYLE, after_reset=True), atomic_write(path) as part:
        figure = Figure()
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        placed: list[PlacedTile] = []
        y = _draw_text(axes, PAGE_MARGIN, PAGE_MARGIN, title, _TITLE_POINTS, weight="bold") + 2
        y = _draw_text(axes, PAGE_MARGIN, y, subtitle, _TEXT_POINTS) + TILE_GAP
        for row in rows:
            y = _draw_row(axes, placed, y, row)
        if colour_key:
            y = _draw_colour_key(axes, placed, y, *colour_key)
        canvas = np.full((y, PAGE_WIDTH, 3), 255, dtype=np.uint8)
        for left, top, tile in placed:
            canvas[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
        figure.figimage(canvas, zorder=-1)  # below the words
        axes.set(xlim=(0, PAGE_WIDTH), ylim=(y, 0))
        figure.set_size_inches(PAGE_WIDTH / _DPI, y / _DPI)
        figure.savefig(part, format="png", metadata={"Software": None})


def _draw_row(axes: Axes, placed: list[PlacedTile], y: int, row: TileRow) -> int:
    if row.heading:
        y = _draw_text(axes, PAGE_MARGIN, y, row.heading, _TEXT_POINTS + 1, weight="bold") + 4
    if not row.tiles:
        return _draw_text(axes, PAGE_MARGIN, y, "none", _TEXT_POINTS, color=GREY) + TILE_GAP
    bottoms = []
    for place, tile in enumerate(row.tiles):
        height, width, _ = tile.shape
        left = PAGE_MARGIN + place * (width + TILE_GAP)
        placed.append((left, y, tile))
        bottoms.append(
            _draw_text(axes, left, y + height + 2, row.captions[place], _TEXT_POINTS) if row.captions else y + height
        )
    return max(bottoms) + TILE_GAP


def _draw_colour_key(axes: Axes, placed: list[PlacedTile], y: int, low: str, colours: RgbTile, high: str) -> int:
    left = PAGE_MARGIN + 9 * len(low) + TILE_GAP
    placed.append((left, y + 7, np.repeat(colours, 10, axis=0)))
    _draw_text(axes, PAGE_MARGIN, y, low, _TEXT_POINTS)
    return _draw_text(axes, left + colours.shape[1] + TILE_GAP, y, high, _TEXT_POINTS) + PAGE_MARGIN


def _draw_text(axes: Axes, x: int, y: int, text: str, points: int | float, **look: Any) -> int:
    """Write the lines of a text below `y`, and return where they end."""
    pitch = round(1.35 * points * _DPI / 72)
    for line in text.split("\n"):
        axes.text(x, y + 0.78 * pitch, line, size=points, parse_math=False, **look)
        y += pitch
    return y


def _blend_heat(face: RgbTile, heat: Float[np.ndarray, "height width"]) -> RgbTile:
    share = MAX_OPACITY * heat[..., None]
    return ((1 - share) * face + share * _apply_colormap(heat)).round().astype(np.uint8)


def _apply_colormap(values: Float[np.ndarray, "height width"]) -> RgbTile:
    return colormaps[COLORMAP](values, bytes=True)[..., :3]


_GRADIENT = np.linspace(0, 1, 120)[None]
HEAT_COLOUR_KEY: ColourKey = (
    "nothing",
    _blend_heat(np.full((1, 120, 3), 128, dtype=np.uint8), _GRADIENT),
    "most of what speaks for it",
)
CHANNEL_COLOUR_KEY: ColourKey = ("least", _apply_colormap(_GRADIENT), "greatest value of the channel")
