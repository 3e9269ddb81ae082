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

from fer.core.files import replacing
from fer.core.labels import EMOTIONS, FOLDS
from fer.data.media.images import shrink
from fer.reporting.plots.plots import FAINT, FAINTER, INK, PALETTE, STYLE

Px = int | float

WIDTH, MARGIN = 1320, 40
FACES_LEFT, COUNTS_LEFT, LIST_LEFT, RIGHT = 170, 1008, 700, WIDTH - MARGIN
RIGHTS = (COUNTS_LEFT + 84, COUNTS_LEFT + 178, RIGHT)  # of the numbers of training, validation and test faces
TILE, PITCH, ABREAST = 54, 58, 14
ROWS = 6  # of faces, shared out where there are fewer emotions and reasons
MOST = 6  # notes, or reasons of a kind; the rest are counted
LOOKED_AT = 4000  # faces of each fold, for their brightness
BINS, RIDGE = 32, 42

TITLE, LARGE, PLAIN, SMALL = 19, 11, 8.5, 7  # points
DPI = STYLE["savefig.dpi"]
COLOUR = dict(zip(FOLDS, (PALETTE[0], PALETTE[4], PALETTE[5], PALETTE[2], FAINT), strict=True))


def sheet(
    path: Path, source: str, faces: UInt8[np.ndarray, "n size size"], table: pd.DataFrame, about: Mapping[str, Any]
) -> None:
    """Write the sheet of a source as PNG; the same content gives the same bytes.

    `table` has `labels.COLUMNS` for the faces of the source, with their rows in `faces` as its index; `about` is the
    report of its ingest. However many faces there are, only those shown and `LOOKED_AT` of each fold are read.
    """
    with style.context(STYLE, after_reset=True), replacing(path) as part:
        figure = Figure()
        page = figure.add_axes((0, 0, 1, 1))
        page.set_axis_off()
        y = _head(page, source, faces.shape[1], table["fold"], about)
        y = _notes(page, y, about["notes"])
        y = _rule(page, _montage(page, y, faces, table))
        y = max(_brightness(page, y, faces, table["fold"], about["mean"]), _left_out(page, y, table, about))
        height = round(y) + MARGIN
        page.set(xlim=(0, WIDTH), ylim=(height, 0))
        figure.set_size_inches(WIDTH / DPI, height / DPI)
        figure.savefig(part, format="png", metadata={"Software": None})


def _head(page: Axes, source: str, size: int, fold: pd.Series, about: Mapping[str, Any]) -> Px:
    """What it is, and the size of each fold, which also says what its colour is."""
    present = [name for name in FOLDS if (fold == name).any()]
    left = RIGHT - 150 * len(present)
    for place, name in enumerate(present):
        x = left + 150 * place + 20
        page.fill_between([x, x + 130], 34, 40, color=COLOUR[name], linewidth=0)
        _text(page, x, 43, f"{(fold == name).sum():,}", LARGE)
        _text(page, x, 72, name, SMALL)
    read = f"{about['faces']:,} faces of {size} × {size} pixels, read by {about['reader']}"
    if about["faces"] != about["pictures"]:
        read += f"; {about['pictures_with_a_face']:,} of {about['pictures']:,} pictures have a face"
    y = _text(page, MARGIN, 30, source, TITLE, left - MARGIN, weight="bold")
    y = _text(page, MARGIN, y + 4, read, PLAIN, RIGHT - MARGIN)
    return _text(page, MARGIN, y, f"Terms: {about['terms']}", PLAIN, RIGHT - MARGIN) + 20


def _notes(page: Axes, y: Px, notes: Sequence[str]) -> Px:
    top = y
    for note in [*notes[:MOST], *([f"and {len(notes) - MOST:,} more notes"] if len(notes) > MOST else [])]:
        y = _text(page, MARGIN + 18, y, note, PLAIN, RIGHT - MARGIN - 18, lines=3) + 4
    page.fill_between([MARGIN, MARGIN + 5], top, y, color=PALETTE[1], linewidth=0)
    return y + 10 * bool(notes)


def _montage(page: Axes, y: Px, faces: UInt8[np.ndarray, "n size size"], table: pd.DataFrame) -> Px:
    """Faces of each emotion, then of the unlabelled and of the excluded for each reason, with their counts."""
    labelled = table[table["fold"].isin(FOLDS[:3])]
    counts = pd.crosstab(labelled["fold"], labelled["emotion"]).reindex(FOLDS[:3], fill_value=0)
    emotions = [name for name in EMOTIONS if name in counts]
    reasons = {fold: _by_reason(table[table["fold"] == fold]) for fold in FOLDS[3:]}
    most = ABREAST * max(1, ROWS // max(1, len(emotions) + len(reasons["unlabelled"])))
    if emotions:
        y = _rule(page, y)
        for fold, right in zip(FOLDS[:3], RIGHTS, strict=True):
            _text(page, right, y, fold, SMALL, ha="right", color=FAINT)
        y += 22
    for name in emotions:
        rows = labelled.index[labelled["emotion"] == name].to_numpy()
        _text(page, MARGIN, y, name, PLAIN, weight="bold")
        _text(page, MARGIN, y + 24, f"{len(rows):,}", PLAIN)
        _counts(page, y, counts[name].tolist(), int(counts.sum().max()))
        y = _faces(page, y, faces, _evenly(rows, most))
    for fold, rows_for in reasons.items():
        if rows_for:
            y = _rule(page, y)
            _text(page, MARGIN, y, fold, PLAIN, weight="bold")
        for reason, rows in rows_for.items():
            caption = f"{len(rows):,} · {reason or 'without a label'}"
            _text(page, FACES_LEFT, y + 1, caption, SMALL, RIGHT - FACES_LEFT)
            y = _faces(page, y + 24, faces, _evenly(rows, most if fold == "unlabelled" else ABREAST)) + 6
    return y


def _by_reason(table: pd.DataFrame) -> dict[str, Int[np.ndarray, " _"]]:
    """The rows for each of the most common reasons; the last entry stands for all that are left."""
    rows = {str(reason): part.index.to_numpy() for reason, part in table.groupby("reason")}
    names = sorted(rows, key=lambda reason: -len(rows[reason]))
    if len(names) <= MOST:
        return {name: rows[name] for name in names}
    rest = names[MOST - 1 :]
    together = np.sort(np.concatenate([rows[name] for name in rest]))
    return {name: rows[name] for name in names[: MOST - 1]} | {f"{len(rest)} other reasons": together}


def _faces(page: Axes, y: Px, faces: UInt8[np.ndarray, "n size size"], rows: Int[np.ndarray, " m"]) -> Px:
    down = -(-len(rows) // ABREAST)
    tiles = np.full((down * ABREAST, PITCH, PITCH), 255, dtype=np.uint8)
    for tile, row in zip(tiles, rows, strict=False):
        tile[:TILE, :TILE] = shrink(faces[row], TILE)
    mosaic = tiles.reshape(down, ABREAST, PITCH, PITCH).swapaxes(1, 2).reshape(down * PITCH, ABREAST * PITCH)
    extent = (FACES_LEFT, FACES_LEFT + ABREAST * PITCH, y + down * PITCH, y)
    page.imshow(mosaic, cmap="gray", aspect="auto", vmin=0, vmax=255, extent=extent)
    return y + down * PITCH


def _counts(page: Axes, y: Px, of_folds: Sequence[int], longest: int) -> None:
    left: Px = COUNTS_LEFT
    for fold, count, right in zip(FOLDS, of_folds, RIGHTS, strict=False):
        _text(page, right, y + 2, f"{count:,}" if count else "–", PLAIN, ha="right", color=INK if count else FAINT)
        length = count / longest * (RIGHT - COUNTS_LEFT)
        page.fill_between([left, left + length], y + 33, y + 41, color=COLOUR[fold], linewidth=0)
        left += length


def _brightness(page: Axes, y: Px, faces: UInt8[np.ndarray, "n size size"], fold: pd.Series, mean: float) -> Px:
    """A ridge for each fold: how common a brightness is among its faces."""
    edges = np.linspace(FACES_LEFT, LIST_LEFT - 60, BINS + 1)
    top = y = _text(page, MARGIN, y, "Mean grey of a face", PLAIN, weight="bold") + 30
    for name in FOLDS:
        rows = fold.index[fold == name].to_numpy()
        if len(rows):
            greys = [faces[row].mean() for row in _evenly(rows, LOOKED_AT)]
            counts, _ = np.histogram(greys, BINS, (0, 256))
            y += RIDGE
            page.stairs(y - counts / counts.max() * (RIDGE - 8), edges, baseline=y, fill=True, color=COLOUR[name])
            page.plot(edges[[0, -1]], [y, y], color=FAINT, linewidth=0.6)
            _text(page, MARGIN, y - 22, name, PLAIN)
    x = float(np.interp(mean, (0, 256), edges[[0, -1]]))
    page.plot([x, x], [top, y], color=INK, linewidth=0.8)
    _text(page, x, top - 22, f"mean of all {mean:.1f}", SMALL, ha="center")
    _text(page, edges.mean(), y + 4, f"{LOOKED_AT:,} faces a fold at most", SMALL, color=FAINT, ha="center")
    _text(page, edges[0], y + 4, "0 black", SMALL, color=FAINT)
    return _text(page, edges[-1], y + 4, "white 255", SMALL, color=FAINT, ha="right")


def _left_out(page: Axes, y: Px, table: pd.DataFrame, about: Mapping[str, Any]) -> Px:
    """What gave no face and why, and how many faces were in the training part as well."""
    for title, key in (("Left out as defective", "dropped"), ("Left out, with nothing wrong", "left_out")):
        reasons = sorted(about[key].items(), key=lambda item: -item[1]["count"])
        lines = [(found["count"], reason, f"first: {found['examples'][0]}") for reason, found in reasons[:MOST]]
        if rest := reasons[MOST:]:
            lines.append((sum(found["count"] for _, found in rest), f"for {len(rest)} other reasons", ""))
        y = _list(page, y, title, lines)
    twins = table["fold"][table["twin_in_train"]]
    lines = [(int((twins == fold).sum()), f"of the {fold} faces", "") for fold in FOLDS if (twins == fold).any()]
    return _list(page, y, "With a twin in the training part as supplied", lines)


def _list(page: Axes, y: Px, title: str, lines: Sequence[tuple[int, str, str]]) -> Px:
    """Counts, what they count, and an example of it."""
    left = LIST_LEFT + 106
    y = _text(page, LIST_LEFT, y, title, PLAIN, weight="bold") + 2
    for count, what, example in lines:
        _text(page, left - 12, y, f"{count:,}", PLAIN, ha="right")
        y = _text(page, left, y, what, PLAIN, RIGHT - left)
        y = _text(page, left, y, example, SMALL, RIGHT - left, color=FAINT)
    return (y if lines else _text(page, LIST_LEFT, y, "none", PLAIN)) + 16


def _rule(page: Axes, y: Px) -> int:
    """A line across the page; below it all is on whole pixels, for the faces to be shown as they are."""
    y = round(y) + 10
    page.plot([MARGIN, RIGHT], [y, y], color=FAINTER, linewidth=1)
    return y + 14


def _evenly(rows: Int[np.ndarray, " n"], most: int) -> Int[np.ndarray, " m"]:
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), most)).round().astype(int)]


def _text(page: Axes, x: Px, y: Px, text: str, points: Px, width: Px = WIDTH, lines: int = 1, **look: Any) -> Px:
    """Write the text below `y`, in as many of the `lines` as it needs; what is too long for them ends in "…"."""
    pitch = 1.4 * points * DPI / 72
    for line in _wrapped(_legible(text), FontProperties(size=points, weight=look.get("weight")), width, lines):
        page.text(x, y + 0.76 * pitch, line, size=points, parse_math=False, **look)
        y += pitch
    return y


def _wrapped(text: str, font: FontProperties, width: Px, lines: int) -> list[str]:
    def fitting(end: str) -> int:
        return bisect_right(range(1, len(text) + 1), width, key=lambda n: _drawn_px(text[:n] + end, font))

    if not text or (n := fitting("")) == len(text):
        return [text] if text else []
    if lines == 1:
        return [text[: fitting("…")].rstrip() + "…"]
    cut = text.rfind(" ", n // 2, n + 1)
    cut = cut if cut > 0 else n  # a word as long as the line is broken
    return [text[:cut], *_wrapped(text[cut:].lstrip(), font, width, lines - 1)]


def _drawn_px(text: str, font: FontProperties) -> Px:
    return RendererAgg(1, 1, DPI).get_text_width_height_descent(text, font, ismath=False)[0]


def _legible(text: str) -> str:
    """The text on one line, a box in place of what the font does not have."""
    return "".join(character if ord(character) in _glyphs() else "□" for character in " ".join(text[:1000].split()))


@cache
def _glyphs() -> frozenset[int]:
    fonts = (FontProperties(family=STYLE["font.family"], weight=weight) for weight in ("normal", "bold"))
    regular, bold = (get_font(findfont(font)).get_charmap() for font in fonts)
    return frozenset(code for code in regular if code in bold and chr(code).isprintable())
