"""The sheet of a source: one PNG with its faces, counts, brightness and skipped items, to inspect after `dvc repro`.

The layout is in pixels from the upper left. Each function draws below `y` and returns the `y` of its end.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int, UInt8
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font

from fer.core.files import atomic_write
from fer.core.labels import EMOTIONS, FOLDS
from fer.data.media.images import resize_face
from fer.reporting.plots.plots import GREY, INK, LIGHT_GREY, PALETTE, STYLE

Px = int | float

SHEET_WIDTH, SHEET_MARGIN = 1320, 40
FACES_LEFT, COUNTS_LEFT, LIST_LEFT, RIGHT = 170, 1008, 700, SHEET_WIDTH - SHEET_MARGIN
COUNT_RIGHTS = (COUNTS_LEFT + 84, COUNTS_LEFT + 178, RIGHT)  # right edges of the training, validation and test counts
TILE, TILE_PITCH, TILES_PER_ROW = 54, 58, 14
MAX_TILE_ROWS = 6  # divided among the emotions and reasons if these are fewer
MAX_ITEMS = 6  # notes, or reasons in a list; the others are only counted
BRIGHTNESS_SAMPLE = 4000  # faces per fold
BINS, RIDGE_HEIGHT = 32, 42

_TITLE_POINTS, _COUNT_POINTS, _TEXT_POINTS, _NOTE_POINTS = 19, 11, 8.5, 7
_DPI = STYLE["savefig.dpi"]
FOLD_COLOURS = dict(zip(FOLDS, (PALETTE[0], PALETTE[4], PALETTE[5], PALETTE[2], GREY), strict=True))


def write_source_sheet(
    path: Path, source: str, faces: UInt8[np.ndarray, "n size size"], table: pd.DataFrame, report: Mapping[str, Any]
) -> None:
    """Write the sheet of a source as PNG. The same content gives the same bytes.

    Only the faces on the sheet and `BRIGHTNESS_SAMPLE` faces of each fold are read.

    Args:
        table: `TABLE_COLUMNS` of the source's faces, indexed by their row in `faces`.
        report: The report of the source's ingest.
    """
    with style.context(STYLE, after_reset=True), atomic_write(path) as part:
        figure = Figure()
        page = figure.add_axes((0, 0, 1, 1))
        page.set_axis_off()
        y = _draw_header(page, source, faces.shape[1], table["fold"], report)
        y = _draw_notes(page, y, report["notes"])
        y = _draw_rule(page, _draw_montage(page, y, faces, table))
        y = max(_draw_brightness(page, y, faces, table["fold"], report["mean"]), _draw_skipped(page, y, table, report))
        height = round(y) + SHEET_MARGIN
        page.set(xlim=(0, SHEET_WIDTH), ylim=(height, 0))
        figure.set_size_inches(SHEET_WIDTH / _DPI, height / _DPI)
        figure.savefig(part, format="png", metadata={"Software": None})


def _draw_header(page: Axes, source: str, size: int, fold: pd.Series, report: Mapping[str, Any]) -> Px:
    """Draw the name, size and terms of the source, and the size and colour of each fold."""
    folds = [name for name in FOLDS if (fold == name).any()]
    counts_x = RIGHT - 150 * len(folds)
    for column, name in enumerate(folds):
        x = counts_x + 150 * column + 20
        page.fill_between([x, x + 130], 34, 40, color=FOLD_COLOURS[name], linewidth=0)
        _draw_text(page, x, 43, f"{(fold == name).sum():,}", _COUNT_POINTS)
        _draw_text(page, x, 72, name, _NOTE_POINTS)
    summary = f"{report['faces']:,} faces of {size} × {size} pixels, read by {report['reader']}"
    if report["faces"] != report["pictures"]:
        summary += f"; {report['pictures_with_a_face']:,} of {report['pictures']:,} images have a face"
    y = _draw_text(page, SHEET_MARGIN, 30, source, _TITLE_POINTS, counts_x - SHEET_MARGIN, weight="bold")
    y = _draw_text(page, SHEET_MARGIN, y + 4, summary, _TEXT_POINTS, RIGHT - SHEET_MARGIN)
    return _draw_text(page, SHEET_MARGIN, y, f"Terms: {report['terms']}", _TEXT_POINTS, RIGHT - SHEET_MARGIN) + 20


def _draw_notes(page: Axes, y: Px, notes: Sequence[str]) -> Px:
    top = y
    summary = [f"and {len(notes) - MAX_ITEMS:,} more notes"] if len(notes) > MAX_ITEMS else []
    for note in [*notes[:MAX_ITEMS], *summary]:
        y = _draw_text(page, SHEET_MARGIN + 18, y, note, _TEXT_POINTS, RIGHT - SHEET_MARGIN - 18, lines=3) + 4
    page.fill_between([SHEET_MARGIN, SHEET_MARGIN + 5], top, y, color=PALETTE[1], linewidth=0)
    return y + 10 * bool(notes)


def _draw_montage(page: Axes, y: Px, faces: UInt8[np.ndarray, "n size size"], table: pd.DataFrame) -> Px:
    """Draw faces and counts of each emotion, then of each reason for unlabelled and excluded faces."""
    labelled = table[table["fold"].isin(FOLDS[:3])]
    counts = pd.crosstab(labelled["fold"], labelled["emotion"]).reindex(FOLDS[:3], fill_value=0)
    emotions = [name for name in EMOTIONS if name in counts]
    reasons = {fold: _rows_by_reason(table[table["fold"] == fold]) for fold in FOLDS[3:]}
    max_tiles = TILES_PER_ROW * max(1, MAX_TILE_ROWS // max(1, len(emotions) + len(reasons["unlabelled"])))
    if emotions:
        y = _draw_rule(page, y)
        for fold, right in zip(FOLDS[:3], COUNT_RIGHTS, strict=True):
            _draw_text(page, right, y, fold, _NOTE_POINTS, ha="right", color=GREY)
        y += 22
    for name in emotions:
        rows = labelled.index[labelled["emotion"] == name].to_numpy()
        _draw_text(page, SHEET_MARGIN, y, name, _TEXT_POINTS, weight="bold")
        _draw_text(page, SHEET_MARGIN, y + 24, f"{len(rows):,}", _TEXT_POINTS)
        _draw_counts(page, y, counts[name].tolist(), int(counts.sum().max()))
        y = _draw_faces(page, y, faces, _evenly_spaced(rows, max_tiles))
    for fold, rows_by_reason in reasons.items():
        if rows_by_reason:
            y = _draw_rule(page, y)
            _draw_text(page, SHEET_MARGIN, y, fold, _TEXT_POINTS, weight="bold")
        for reason, rows in rows_by_reason.items():
            caption = f"{len(rows):,} · {reason or 'no label'}"
            _draw_text(page, FACES_LEFT, y + 1, caption, _NOTE_POINTS, RIGHT - FACES_LEFT)
            count = max_tiles if fold == "unlabelled" else TILES_PER_ROW
            y = _draw_faces(page, y + 24, faces, _evenly_spaced(rows, count)) + 6
    return y


def _rows_by_reason(table: pd.DataFrame) -> dict[str, Int[np.ndarray, " _"]]:
    """Return the rows of the most common reasons; the last entry combines all other reasons."""
    rows = {str(reason): part.index.to_numpy() for reason, part in table.groupby("reason")}
    names = sorted(rows, key=lambda reason: -len(rows[reason]))
    if len(names) <= MAX_ITEMS:
        return {name: rows[name] for name in names}
    rare = names[MAX_ITEMS - 1 :]
    rare_rows = np.sort(np.concatenate([rows[name] for name in rare]))
    return {name: rows[name] for name in names[: MAX_ITEMS - 1]} | {f"{len(rare)} other reasons": rare_rows}


def _draw_faces(page: Axes, y: Px, faces: UInt8[np.ndarray, "n size size"], rows: Int[np.ndarray, " m"]) -> Px:
    tile_rows = -(-len(rows) // TILES_PER_ROW)
    tiles = np.full((tile_rows * TILES_PER_ROW, TILE_PITCH, TILE_PITCH), 255, dtype=np.uint8)
    for tile, row in zip(tiles, rows, strict=False):
        tile[:TILE, :TILE] = resize_face(faces[row], TILE)
    mosaic = (
        tiles.reshape(tile_rows, TILES_PER_ROW, TILE_PITCH, TILE_PITCH)
        .swapaxes(1, 2)
        .reshape(tile_rows * TILE_PITCH, TILES_PER_ROW * TILE_PITCH)
    )
    extent = (FACES_LEFT, FACES_LEFT + TILES_PER_ROW * TILE_PITCH, y + tile_rows * TILE_PITCH, y)
    page.imshow(mosaic, cmap="gray", aspect="auto", vmin=0, vmax=255, extent=extent)
    return y + tile_rows * TILE_PITCH


def _draw_counts(page: Axes, y: Px, counts: Sequence[int], max_total: int) -> None:
    """Draw the count of each fold and a stacked bar of them, scaled to the largest total of an emotion."""
    x: Px = COUNTS_LEFT
    for fold, count, right in zip(FOLDS, counts, COUNT_RIGHTS, strict=False):
        text, colour = (f"{count:,}", INK) if count else ("–", GREY)
        _draw_text(page, right, y + 2, text, _TEXT_POINTS, ha="right", color=colour)
        length = count / max_total * (RIGHT - COUNTS_LEFT)
        page.fill_between([x, x + length], y + 33, y + 41, color=FOLD_COLOURS[fold], linewidth=0)
        x += length


def _draw_brightness(page: Axes, y: Px, faces: UInt8[np.ndarray, "n size size"], fold: pd.Series, mean: float) -> Px:
    """Draw a histogram of the mean grey level of the faces of each fold."""
    edges = np.linspace(FACES_LEFT, LIST_LEFT - 60, BINS + 1)
    top = y = _draw_text(page, SHEET_MARGIN, y, "Mean grey of a face", _TEXT_POINTS, weight="bold") + 30
    for name in FOLDS:
        rows = fold.index[fold == name].to_numpy()
        if len(rows):
            means = [faces[row].mean() for row in _evenly_spaced(rows, BRIGHTNESS_SAMPLE)]
            counts, _ = np.histogram(means, BINS, (0, 256))
            y += RIDGE_HEIGHT
            heights = counts / counts.max() * (RIDGE_HEIGHT - 8)
            page.stairs(y - heights, edges, baseline=y, fill=True, color=FOLD_COLOURS[name])
            page.plot(edges[[0, -1]], [y, y], color=GREY, linewidth=0.6)
            _draw_text(page, SHEET_MARGIN, y - 22, name, _TEXT_POINTS)
    x = float(np.interp(mean, (0, 256), edges[[0, -1]]))
    page.plot([x, x], [top, y], color=INK, linewidth=0.8)
    _draw_text(page, x, top - 22, f"mean of all {mean:.1f}", _NOTE_POINTS, ha="center")
    sample = f"at most {BRIGHTNESS_SAMPLE:,} faces per fold"
    _draw_text(page, edges.mean(), y + 4, sample, _NOTE_POINTS, color=GREY, ha="center")
    _draw_text(page, edges[0], y + 4, "0 black", _NOTE_POINTS, color=GREY)
    return _draw_text(page, edges[-1], y + 4, "white 255", _NOTE_POINTS, color=GREY, ha="right")


def _draw_skipped(page: Axes, y: Px, table: pd.DataFrame, report: Mapping[str, Any]) -> Px:
    """Draw the reasons for skipped items, and the number of faces with a twin in the training fold."""
    for title, key in (("Left out: defective", "dropped"), ("Left out: not defective", "left_out")):
        reasons = sorted(report[key].items(), key=lambda item: -item[1]["count"])
        lines = [(items["count"], reason, f"first: {items['examples'][0]}") for reason, items in reasons[:MAX_ITEMS]]
        if rare := reasons[MAX_ITEMS:]:
            lines.append((sum(items["count"] for _, items in rare), f"for {len(rare)} other reasons", ""))
        y = _draw_list(page, y, title, lines)
    twins = table["fold"][table["twin_in_train"]]
    lines = [(int((twins == fold).sum()), f"of the {fold} faces", "") for fold in FOLDS if (twins == fold).any()]
    return _draw_list(page, y, "With a twin in the training part as supplied", lines)


def _draw_list(page: Axes, y: Px, title: str, lines: Sequence[tuple[int, str, str]]) -> Px:
    """Draw a list of counts, descriptions and examples."""
    x = LIST_LEFT + 106
    y = _draw_text(page, LIST_LEFT, y, title, _TEXT_POINTS, weight="bold") + 2
    for count, description, example in lines:
        _draw_text(page, x - 12, y, f"{count:,}", _TEXT_POINTS, ha="right")
        y = _draw_text(page, x, y, description, _TEXT_POINTS, RIGHT - x)
        y = _draw_text(page, x, y, example, _NOTE_POINTS, RIGHT - x, color=GREY)
    return (y if lines else _draw_text(page, LIST_LEFT, y, "none", _TEXT_POINTS)) + 16


def _draw_rule(page: Axes, y: Px) -> int:
    """Draw a line across the page and round `y` to a whole pixel, so that the faces below are not resampled."""
    y = round(y) + 10
    page.plot([SHEET_MARGIN, RIGHT], [y, y], color=LIGHT_GREY, linewidth=1)
    return y + 14


def _evenly_spaced(rows: Int[np.ndarray, " n"], max_count: int) -> Int[np.ndarray, " m"]:
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), max_count)).round().astype(int)]


def _draw_text(
    page: Axes, x: Px, y: Px, text: str, points: Px, width: Px = SHEET_WIDTH, lines: int = 1, **options: Any
) -> Px:
    """Draw the text below `y` in at most `lines` lines. A longer text ends in "…"."""
    pitch = 1.4 * points * _DPI / 72
    for line in _wrap_text(
        _printable_line(text), FontProperties(size=points, weight=options.get("weight")), width, lines
    ):
        page.text(x, y + 0.76 * pitch, line, size=points, parse_math=False, **options)
        y += pitch
    return y


def _wrap_text(text: str, font: FontProperties, width: Px, lines: int) -> list[str]:
    def fitting_length(end: str) -> int:
        return bisect_right(range(1, len(text) + 1), width, key=lambda n: _text_width(text[:n] + end, font))

    if not text or (n := fitting_length("")) == len(text):
        return [text] if text else []
    if lines == 1:
        return [text[: fitting_length("…")].rstrip() + "…"]
    cut = text.rfind(" ", n // 2, n + 1)
    cut = cut if cut > 0 else n  # a word longer than the line is broken
    return [text[:cut], *_wrap_text(text[cut:].lstrip(), font, width, lines - 1)]


def _text_width(text: str, font: FontProperties) -> Px:
    return RendererAgg(1, 1, _DPI).get_text_width_height_descent(text, font, ismath=False)[0]


def _printable_line(text: str) -> str:
    """Return the text on one line, with a box in place of each character that the font lacks."""
    return "".join(
        character if ord(character) in _available_glyphs() else "□" for character in " ".join(text[:1000].split())
    )


@cache
def _available_glyphs() -> frozenset[int]:
    fonts = (FontProperties(family=STYLE["font.family"], weight=weight) for weight in ("normal", "bold"))
    regular, bold = (get_font(findfont(font)).get_charmap() for font in fonts)
    return frozenset(code for code in regular if code in bold and chr(code).isprintable())
