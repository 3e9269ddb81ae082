"""Galleries of enlarged faces and their heatmaps, written as PNG."""

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
from fer.reporting.explanation.selection import format_top_emotions
from fer.reporting.plots.plots import GREY, STYLE

GreyFace = UInt8[np.ndarray, "size size"]
RgbTile = UInt8[np.ndarray, "_ _ 3"]  # height, width, RGB

COLORMAP = "inferno"  # lightness rises evenly with the value, also for the colour-blind and in print
MAX_OPACITY = 0.7  # of the colour where the heat is 1
PAGE_WIDTH, PAGE_MARGIN, TILE_GAP = 640, 14, 12  # pixels
FACE_TILE_PX, CHANNEL_TILE_PX = 144, 66
FACES_PER_ROW = 4
_DPI = STYLE["savefig.dpi"]
_TITLE_POINTS, _TEXT_POINTS = 11, 7.5


@dataclass(frozen=True)
class TileRow:
    """A row of tiles with an optional heading above it and an optional caption below each tile."""

    tiles: Sequence[RgbTile]
    heading: str = ""
    captions: Sequence[str] = field(default_factory=list)


def enlarge_face(face: GreyFace, px: int = FACE_TILE_PX) -> RgbTile:
    """Return a face scaled to `px` pixels a side."""
    return np.asarray(Image.fromarray(face).resize((px, px), Image.Resampling.LANCZOS).convert("RGB"))


def overlay_heat(face: GreyFace, heat: Float[np.ndarray, "size size"], px: int = FACE_TILE_PX) -> RgbTile:
    """Return a face with its heat (0..1) laid over it: more heat gives a brighter and more opaque colour."""
    return _blend_heat(
        enlarge_face(face, px), np.asarray(Image.fromarray(heat).resize((px, px), Image.Resampling.BILINEAR))
    )


def draw_channel(values: Float[np.ndarray, "height width"], px: int = CHANNEL_TILE_PX) -> RgbTile:
    """Return a channel of a feature map, scaled from its minimum to its maximum, each cell a square."""
    shifted = values - values.min()
    colours = Image.fromarray(_apply_colormap(shifted / (shifted.max() or 1)))
    return np.asarray(colours.resize((px, px), Image.Resampling.NEAREST))


def gallery_rows(
    groups: Mapping[str, Int[np.ndarray, " m"]],
    faces: UInt8[np.ndarray, "n size size"],
    probs: Float[np.ndarray, "n classes"],
    emotions: Sequence[str],
    heat: Mapping[int, Float[np.ndarray, "size size"]] | None = None,
) -> list[TileRow]:
    """Return the tile rows of a gallery, with the likeliest emotions of each face, and below it its heatmap if given.

    `groups` holds the indices of the faces below each heading; `heat` is indexed by them.
    """
    tile_rows = []
    for heading, indices in groups.items():
        for start in range(0, max(1, len(indices)), FACES_PER_ROW):
            rows = indices[start : start + FACES_PER_ROW].tolist()
            captions = [format_top_emotions(probs[row], emotions) for row in rows]
            tiles = [enlarge_face(faces[row]) for row in rows]
            tile_rows.append(TileRow(tiles, heading if start == 0 else "", captions if heat is None else []))
            if heat is not None and rows:
                tile_rows.append(TileRow([overlay_heat(faces[row], heat[row]) for row in rows], captions=captions))
    return tile_rows


def write_gallery(path: Path, title: str, subtitle: str, rows: Sequence[TileRow]) -> None:
    """Write tile rows as PNG. The same content gives the same bytes."""
    with style.context(STYLE, after_reset=True), atomic_write(path) as part:
        figure = Figure()
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        y = _draw_text(axes, PAGE_MARGIN, PAGE_MARGIN, title, _TITLE_POINTS, weight="bold") + 2
        y = _draw_text(axes, PAGE_MARGIN, y, subtitle, _TEXT_POINTS) + TILE_GAP
        for row in rows:
            y = _draw_row(axes, y, row)
        axes.set(xlim=(0, PAGE_WIDTH), ylim=(y, 0))
        figure.set_size_inches(PAGE_WIDTH / _DPI, y / _DPI)
        figure.savefig(part, format="png", metadata={"Software": None})


def _draw_row(axes: Axes, y: int, row: TileRow) -> int:
    if row.heading:
        y = _draw_text(axes, PAGE_MARGIN, y, row.heading, _TEXT_POINTS + 1, weight="bold") + 4
    if not row.tiles:
        return _draw_text(axes, PAGE_MARGIN, y, "none", _TEXT_POINTS, color=GREY) + TILE_GAP
    bottoms = []
    for column, tile in enumerate(row.tiles):
        height, width, _ = tile.shape
        x = PAGE_MARGIN + column * (width + TILE_GAP)
        bottom = y + height
        axes.imshow(tile, extent=(x, x + width, bottom, y), aspect="auto", interpolation="none")
        bottoms.append(_draw_text(axes, x, bottom + 2, row.captions[column], _TEXT_POINTS) if row.captions else bottom)
    return max(bottoms) + TILE_GAP


def _draw_text(axes: Axes, x: int, y: int, text: str, points: int | float, **options: Any) -> int:
    """Draw the lines of a text below `y` and return the `y` of its end."""
    pitch = round(1.35 * points * _DPI / 72)
    for line in text.split("\n"):
        axes.text(x, y + 0.78 * pitch, line, size=points, parse_math=False, **options)
        y += pitch
    return y


def _blend_heat(face: RgbTile, heat: Float[np.ndarray, "height width"]) -> RgbTile:
    opacity = MAX_OPACITY * heat[..., None]
    return ((1 - opacity) * face + opacity * _apply_colormap(heat)).round().astype(np.uint8)


def _apply_colormap(values: Float[np.ndarray, "height width"]) -> RgbTile:
    return colormaps[COLORMAP](values, bytes=True)[..., :3]


_GRADIENT = np.tile(np.linspace(0, 1, 2 * FACE_TILE_PX), (10, 1))
_GREY_TILE = np.full((*_GRADIENT.shape, 3), 128, dtype=np.uint8)
HEAT_KEY = TileRow([_blend_heat(_GREY_TILE, _GRADIENT)], captions=["from no support to most support for the emotion"])
CHANNEL_KEY = TileRow([_apply_colormap(_GRADIENT)], captions=["from the lowest to the highest value of the channel"])
