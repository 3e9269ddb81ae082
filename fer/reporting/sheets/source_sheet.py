"""The sheet of a source: a picture to look at after `dvc repro`, of its faces, its counts and what is wrong with it.

It is laid out by hand, in pixels from the upper left: a function draws below a height and returns where it ended.
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
COUNT_RIGHTS = (COUNTS_LEFT + 84, COUNTS_LEFT + 178, RIGHT)  # of the numbers of training, validation and test faces
TILE, TILE_PITCH, TILES_PER_ROW = 54, 58, 14
MAX_TILE_ROWS = 6  # of faces, shared out where there are fewer emotions and reasons
MAX_ITEMS = 6  # notes, or reasons of a kind; the rest are counted
BRIGHTNESS_SAMPLE = 4000  # faces of each fold, for their brightness
BINS, RIDGE_HEIGHT = 32, 42

_TITLE_POINTS, _COUNT_POINTS, _TEXT_POINTS, _NOTE_POINTS = 19, 11, 8.5, 7  # points
_DPI = STYLE["savefig.dpi"]
FOLD_COLOURS = dict(zip(FOLDS, (PALETTE[0], PALETTE[4], PALETTE[5], PALETTE[2], GREY), strict=True))


def write_source_sheet(
    path: Path, source: str, faces: UInt8[np.ndarray, "n size size"], table: pd.DataFrame, report: Mapping[str, Any]
) -> None:
    """Write the sheet of a source as PNG; the same content gives the same bytes.

    `table` has `labels.COLUMNS` for the faces of the source, with their rows in `faces` as its index; `report` is the
    report of its ingest. However many faces there are, only those shown and `LOOKED_AT` of each fold are read.
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
    """What it is, and the size of each fold, which also says what its colour is."""
    present = [name for name in FOLDS if (fold == name).any()]
    left = RIGHT - 150 * len(present)
    for place, name in enumerate(present):
        x = left + 150 * place + 20
        page.fill_between([x, x + 130], 34, 40, color=FOLD_COLOURS[name], linewidth=0)
        _draw_text(page, x, 43, f"{(fold == name).sum():,}", _COUNT_POINTS)
        _draw_text(page, x, 72, name, _NOTE_POINTS)
    read = f"{report['faces']:,} faces of {size} × {size} pixels, read by {report['reader']}"
    if report["faces"] != report["pictures"]:
        read += f"; {report['pictures_with_a_face']:,} of {report['pictures']:,} pictures have a face"
    y = _draw_text(page, SHEET_MARGIN, 30, source, _TITLE_POINTS, left - SHEET_MARGIN, weight="bold")
    y = _draw_text(page, SHEET_MARGIN, y + 4, read, _TEXT_POINTS, RIGHT - SHEET_MARGIN)
    return _draw_text(page, SHEET_MARGIN, y, f"Terms: {report['terms']}", _TEXT_POINTS, RIGHT - SHEET_MARGIN) + 20


def _draw_notes(page: Axes, y: Px, notes: Sequence[str]) -> Px:
    top = y
    for note in [
        *notes[:MAX_ITEMS],
        *([f"and {len(notes) - MAX_ITEMS:,} more notes"] if len(notes) > MAX_ITEMS else []),
    ]:
        y = _draw_text(page, SHEET_MARGIN + 18, y, note, _TEXT_POINTS, RIGHT - SHEET_MARGIN - 18, lines=3) + 4
    page.fill_between([SHEET_MARGIN, SHEET_MARGIN + 5], top, y, color=PALETTE[1], linewidth=0)
    return y + 10 * bool(notes)


def _draw_montage(page: Axes, y: Px, faces: UInt8[np.ndarray, "n size size"], table: pd.DataFrame) -> Px:
    """Faces of each emotion, then of the unlabelled and of the excluded for each reason, with their counts."""
    labelled = table[table["fold"].isin(FOLDS[:3])]
    counts = pd.crosstab(labelled["fold"], labelled["emotion"]).reindex(FOLDS[:3], fill_value=0)
    emotions = [name for name in EMOTIONS if name in counts]
    reasons = {fold: _rows_by_reason(table[table["fold"] == fold]) for fold in FOLDS[3:]}
    most = TILES_PER_ROW * max(1, MAX_TILE_ROWS // max(1, len(emotions) + len(reasons["unlabelled"])))
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
        y = _draw_faces(page, y, faces, _evenly_spaced(rows, most))
    for fold, rows_for in reasons.items():
        if rows_for:
            y = _draw_rule(page, y)
            _draw_text(page, SHEET_MARGIN, y, fold, _TEXT_POINTS, weight="bold")
        for reason, rows in rows_for.items():
            caption = f"{len(rows):,} · {reason or 'without a label'}"
            _draw_text(page, FACES_LEFT, y + 1, caption, _NOTE_POINTS, RIGHT - FACES_LEFT)
            y = (
                _draw_faces(page, y + 24, faces, _evenly_spaced(rows, most if fold == "unlabelled" else TILES_PER_ROW))
                + 6
            )
    return y


def _rows_by_reason(table: pd.DataFrame) -> dict[str, Int[np.ndarray, " _"]]:
    """The rows for each of the most common reasons; the last entry stands for all that are left."""
    rows = {str(reason): part.index.to_numpy() for reason, part in table.groupby("reason")}
    names = sorted(rows, key=lambda reason: -len(rows[reason]))
    if len(names) <= MAX_ITEMS:
        return {name: rows[name] for name in names}
    rest = names[MAX_ITEMS - 1 :]
    together = np.sort(np.concatenate([rows[name] for name in rest]))
    return {name: rows[name] for name in names[: MAX_ITEMS - 1]} | {f"{len(rest)} other reasons": together}


def _draw_faces(page: Axes, y: Px, faces: UInt8[np.ndarray, "n size size"], rows: Int[np.ndarray, " m"]) -> Px:
    down = -(-len(rows) // TILES_PER_ROW)
    tiles = np.full((down * TILES_PER_ROW, TILE_PITCH, TILE_PITCH), 255, dtype=np.uint8)
    for tile, row in zip(tiles, rows, strict=False):
        tile[:TILE, :TILE] = resize_face(faces[row], TILE)
    mosaic = (
        tiles.reshape(down, TILES_PER_ROW, TILE_PITCH, TILE_PITCH)
        .swapaxes(1, 2)
        .reshape(down * TILE_PITCH, TILES_PER_ROW * TILE_PITCH)
    )
    extent = (FACES_LEFT, FACES_LEFT + TILES_PER_ROW * TILE_PITCH, y + down * TILE_PITCH, y)
    page.imshow(mosaic, cmap="gray", aspect="auto", vmin=0, vmax=255, extent=extent)
    return y + down * TILE_PITCH


def _draw_counts(page: Axes, y: Px, of_folds: Sequence[int], longest: int) -> None:
    left: Px = COUNTS_LEFT
    for fold, count, right in zip(FOLDS, of_folds, COUNT_RIGHTS, strict=False):
        _draw_text(
            page, right, y + 2, f"{count:,}" if count else "–", _TEXT_POINTS, ha="right", color=INK if count else GREY
        )
        length = count / longest * (RIGHT - COUNTS_LEFT)
        page.fill_between([left, left + length], y + 33, y + 41, color=FOLD_COLOURS[fold], linewidth=0)
        left += length


def _draw_brightness(page: Axes, y: Px, faces: UInt8[np.ndarray, "n size size"], fold: pd.Series, mean: float) -> Px:
    """A ridge for each fold: how common a brightness is among its faces."""
    edges = np.linspace(FACES_LEFT, LIST_LEFT - 60, BINS + 1)
    top = y = _draw_text(page, SHEET_MARGIN, y, "Mean grey of a face", _TEXT_POINTS, weight="bold") + 30
    for name in FOLDS:
        rows = fold.index[fold == name].to_numpy()
        if len(rows):
            greys = [faces[row].mean() for row in _evenly_spaced(rows, BRIGHTNESS_SAMPLE)]
            counts, _ = np.histogram(greys, BINS, (0, 256))
            y += RIDGE_HEIGHT
            page.stairs(
                y - counts / counts.max() * (RIDGE_HEIGHT - 8), edges, baseline=y, fill=True, color=FOLD_COLOURS[name]
            )
            page.plot(edges[[0, -1]], [y, y], color=GREY, linewidth=0.6)
            _draw_text(page, SHEET_MARGIN, y - 22, name, _TEXT_POINTS)
    x = float(np.interp(mean, (0, 256), edges[[0, -1]]))
    page.plot([x, x], [top, y], color=INK, linewidth=0.8)
    _draw_text(page, x, top - 22, f"mean of all {mean:.1f}", _NOTE_POINTS, ha="center")
    _draw_text(
        page, edges.mean(), y + 4, f"{BRIGHTNESS_SAMPLE:,} faces a fold at most", _NOTE_POINTS, color=GREY, ha="center"
    )
    _draw_text(page, edges[0], y + 4, "0 black", _NOTE_POINTS, color=GREY)
    return _draw_text(page, edges[-1], y + 4, "white 255", _NOTE_POINTS, color=GREY, ha="right")


def _draw_skipped(page: Axes, y: Px, table: pd.DataFrame, report: Mapping[str, Any]) -> Px:
    """What gave no face and why, and how many faces were in the training part as well."""
    for title, key in (("Left out as defective", "dropped"), ("Left out, with nothing wrong", "left_out")):
        reasons = sorted(report[key].items(), key=lambda item: -item[1]["count"])
        lines = [(found["count"], reason, f"first: {found['examples'][0]}") for reason, found in reasons[:MAX_ITEMS]]
        if rest := reasons[MAX_ITEMS:]:
            lines.append((sum(found["count"] for _, found in rest), f"for {len(rest)} other reasons", ""))
        y = _draw_list(page, y, title, lines)
    twins = table["fold"][table["twin_in_train"]]
    lines = [(int((twins == fold).sum()), f"of the {fold} faces", "") for fold in FOLDS if (twins == fold).any()]
    return _draw_list(page, y, "With a twin in the training part as supplied", lines)


def _draw_list(page: Axes, y: Px, title: str, lines: Sequence[tuple[int, str, str]]) -> Px:
    """Counts, what they count, and an example of it."""
    left = LIST_LEFT + 106
    y = _draw_text(page, LIST_LEFT, y, title, _TEXT_POINTS, weight="bold") + 2
    for count, what, example in lines:
        _draw_text(page, left - 12, y, f"{count:,}", _TEXT_POINTS, ha="right")
        y = _draw_text(page, left, y, what, _TEXT_POINTS, RIGHT - left)
        y = _draw_text(page, left, y, example, _NOTE_POINTS, RIGHT - left, color=GREY)
    return (y if lines else _draw_text(page, LIST_LEFT, y, "none", _TEXT_POINTS)) + 16


def _draw_rule(page: Axes, y: Px) -> int:
    """A line across the page; below it all is on whole pixels, for the faces to be shown as they are."""
    y = round(y) + 10
    page.plot([SHEET_MARGIN, RIGHT], [y, y], color=LIGHT_GREY, linewidth=1)
    return y + 14


def _evenly_spaced(rows: Int[np.ndarray, " n"], most: int) -> Int[np.ndarray, " m"]:
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), most)).round().astype(int)]


def _draw_text(
    page: Axes, x: Px, y: Px, text: str, points: Px, width: Px = SHEET_WIDTH, lines: int = 1, **look: Any
) -> Px:
    """Write the text below `y`, in as many of the `lines` as it needs; what is too long for them ends in "…"."""
    pitch = 1.4 * points * _DPI / 72
    for line in _wrap_text(_printable_line(text), FontProperties(size=points, weight=look.get("weight")), width, lines):
        page.text(x, y + 0.76 * pitch, line, size=points, parse_math=False, **look)
        y += pitch
    return y


def _wrap_text(text: str, font: FontProperties, width: Px, lines: int) -> list[str]:
    def fitting(end: str) -> int:
        return bisect_right(range(1, len(text) + 1), width, key=lambda n: _text_width(text[:n] + end, font))

    if not text or (n := fitting("")) == len(text):
        return [text] if text else []
    if lines == 1:
        return [text[: fitting("…")].rstrip() + "…"]
    cut = text.rfind(" ", n // 2, n + 1)
    cut = cut if cut > 0 else n  # a word as long as the line is broken
    return [text[:cut], *_wrap_text(text[cut:].lstrip(), font, width, lines - 1)]


def _text_width(text: str, font: FontProperties) -> Px:
    return RendererAgg(1, 1, _DPI).get_text_width_height_descent(text, font, ismath=False)[0]


def _printable_line(text: str) -> str:
    """The text on one line, a box in place of what the font does not have."""
    return "".join(
        character if ord(character) in _available_glyphs() else "□" for character in " ".join(text[:1000].split())
    )


@cache
def _available_glyphs() -> frozenset[int]:
    fonts = (FontProperties(family=STYLE["font.family"], weight=weight) for weight in ("normal", "bold"))
    regular, bold = (get_font(findfont(font)).get_charmap() for font in fonts)
    return frozenset(code for code in regular if code in bold and chr(code).isprintable())
