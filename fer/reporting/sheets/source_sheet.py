"""The sheet of a source: one PNG with its faces, counts and brightness, to inspect after `dvc repro`."""

from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Int, UInt8

from fer.core.labels import EMOTIONS, FOLDS
from fer.reporting.plots.plots import GREY, PALETTE, draw_montage, plot_file

TILES_PER_ROW, TILE_INCHES = 14, 0.56
TILE_ROWS = 8  # divided among the groups of faces if these are fewer
BRIGHTNESS_SAMPLE = 4000  # faces per fold
MEDIAN = {"color": PALETTE[1], "linewidth": 2}
OUTLIER = {"marker": "|", "markeredgecolor": GREY}


def write_source_sheet(path: Path, source: str, faces: UInt8[np.ndarray, "n size size"], table: pd.DataFrame) -> None:
    """Write the sheet of a source as PNG. The same content gives the same bytes.

    It has faces of each emotion and of each reason why faces are unlabelled or excluded, and a box plot of the mean
    grey of the faces of each fold. Only the faces on the sheet and `BRIGHTNESS_SAMPLE` faces of each fold are read.

    Args:
        table: `TABLE_COLUMNS` of the source's faces, indexed by their row in `faces`.
    """
    tile_rows, size = _choose_faces(table), faces.shape[1]
    tiles = np.full((len(tile_rows), TILES_PER_ROW, size, size), 255, dtype=np.uint8)
    for row_tiles, (_, rows) in zip(tiles, tile_rows, strict=True):
        for tile, row in zip(row_tiles, rows, strict=False):
            tile[:] = faces[row]
    folds = [fold for fold in FOLDS if (table["fold"] == fold).any()]
    heights = [TILE_INCHES * max(1, len(tiles)), 0.4 + 0.25 * len(folds)]
    inches = (TILE_INCHES * TILES_PER_ROW + 2.2, sum(heights) / 2)
    title = f"{source}: {len(table):,} faces of {size} × {size} pixels"
    with plot_file(path, title, 2, 1, inches, height_ratios=heights) as (_, panels):
        if not folds:
            return
        montage, brightness = panels[:, 0]
        draw_montage(montage, tiles, [name for name, _ in tile_rows])
        samples = [_evenly_spaced(table.index[table["fold"] == fold].to_numpy(), BRIGHTNESS_SAMPLE) for fold in folds]
        greys = [[faces[row].mean() for row in sample] for sample in samples]
        brightness.boxplot(
            greys, orientation="horizontal", tick_labels=folds, widths=0.6, medianprops=MEDIAN, flierprops=OUTLIER
        )
        brightness.set(xlabel="mean grey of a face, from black to white", xlim=(-2, 257))
        brightness.invert_yaxis()


def _choose_faces(table: pd.DataFrame) -> list[tuple[str, Int[np.ndarray, " _"]]]:
    """Return the name and the faces of each row of tiles: the emotions, then the reasons, the most common first."""
    is_labelled = table["fold"].isin(FOLDS[:3])
    groups = table["emotion"].where(is_labelled, table["reason"].replace("", "no label"))
    names = [emotion for emotion in EMOTIONS if (groups[is_labelled] == emotion).any()]
    names += groups[~is_labelled].value_counts().index.to_list()
    max_count = TILES_PER_ROW * max(1, TILE_ROWS // max(1, len(names)))
    tile_rows = []
    for name in names:
        folds = table["fold"][groups == name]
        counts = ", ".join(f"{(folds == fold).sum():,} {fold}" for fold in FOLDS if (folds == fold).any())
        rows = _evenly_spaced(folds.index.to_numpy(), max_count)
        for start in range(0, len(rows), TILES_PER_ROW):
            tile_rows.append(("" if start else f"{name}\n{counts}", rows[start : start + TILES_PER_ROW]))
    return tile_rows


def _evenly_spaced(rows: Int[np.ndarray, " n"], max_count: int) -> Int[np.ndarray, " m"]:
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), max_count)).round().astype(int)]
