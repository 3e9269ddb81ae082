"""Plots as PNG files. Each plots the table of the CSV file next to it, and the same table gives the same bytes."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from matplotlib import style
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from fer.core.files import atomic_write
from fer.core.labels import encode_labels

# Okabe & Ito 2008: colour-blind readers can distinguish them
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
INK, GREY, LIGHT_GREY = "#222222", "#8C8C8C", "#E4E4E4"
DASHED_LINE: dict[str, Any] = {"linestyle": (0, (2.2, 1.4)), "linewidth": 1.2}
STYLE: dict[str, Any] = {
    "savefig.dpi": 150,
    "font.family": "DejaVu Sans",  # matplotlib includes it, so it is the same everywhere
    "font.size": 9,
    "text.color": INK,
    "figure.titlesize": 11,
    "figure.titleweight": "bold",
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LIGHT_GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "legend.handletextpad": 0.5,
    "legend.columnspacing": 1.4,
    "lines.linewidth": 1.7,
    "image.cmap": "Blues",
}
PERCENT_FORMAT = "{x:.0%}"
PANELS_PER_ROW = 3


def plot_learning_curves(path: Path, table: pd.DataFrame) -> None:
    """Plot loss and accuracy by epoch: a row of panels per network, a colour per round, a dot at the best epoch.

    `table` has the columns round, network, epoch, train_loss, valid_loss, train_accuracy, valid_accuracy.
    """
    networks, rounds = table["network"].unique(), table["round"].unique()
    colour = dict(zip(rounds, cycle(PALETTE), strict=False))
    with plot_file(path, "Learning curves", len(networks), 2, (4.0, 2.5), sharex="row") as (figure, panels):
        for network, row in zip(networks, panels, strict=True):
            for round_ in rounds:
                curve = table[(table["network"] == network) & (table["round"] == round_)]
                best = curve.loc[curve["valid_accuracy"].idxmax()]
                for panel, measure in zip(row, ("loss", "accuracy"), strict=True):
                    panel.plot(curve["epoch"], curve[f"train_{measure}"], color=colour[round_], **DASHED_LINE)
                    panel.plot(curve["epoch"], curve[f"valid_{measure}"], color=colour[round_])
                    panel.plot(best["epoch"], best[f"valid_{measure}"], "o", color=colour[round_])
            row[0].set(title=network, xlabel="epoch", ylabel="cross-entropy loss (nats)")
            row[1].set(xlabel="epoch", ylabel="accuracy")
            row[0].xaxis.set_major_locator(MaxNLocator(integer=True))
            row[1].yaxis.set_major_formatter(PERCENT_FORMAT)
        lines = [Line2D([], [], color=colour[round_], label=f"round {round_}") for round_ in rounds]
        lines.append(Line2D([], [], color=GREY, label="validation"))
        lines.append(Line2D([], [], color=GREY, label="training, on changed faces", **DASHED_LINE))
        lines.append(Line2D([], [], color=GREY, label="epoch kept", marker="o", linestyle=""))
        draw_legend(figure, lines)


def plot_confusion(path: Path, table: pd.DataFrame, emotions: Sequence[str]) -> None:
    """Plot a confusion matrix per round, in percent of each actual emotion.

    `table` has the columns round, actual and predicted, and a row for each face.
    """
    rounds = table["round"].unique()
    title = "Confusion on the test faces, % of each emotion"
    with plot_file(path, title, *grid_shape(len(rounds)), (3.1, 3.0), sharey=True) as (_, panels):
        for panel, round_ in zip(panels.flat, rounds, strict=False):
            answers = table[table["round"] == round_]
            counts = np.zeros((len(emotions), len(emotions)), dtype=np.int64)
            codes = encode_labels(answers["actual"], emotions), encode_labels(answers["predicted"], emotions)
            np.add.at(counts, codes, 1)
            support = counts.sum(axis=1)
            shares = counts / support.clip(min=1)[:, None]
            panel.imshow(shares, vmin=0, vmax=1, aspect="auto")
            for row, column in np.argwhere(counts):
                share = shares[row, column]
                ink = "white" if share > 0.5 else INK
                panel.text(column, row, f"{100 * share:.0f}", color=ink, ha="center", va="center", size=8)
            accuracy = (answers["actual"] == answers["predicted"]).mean()
            names = [f"{emotion} ({n:,})" for emotion, n in zip(emotions, support, strict=True)]
            panel.set(title=f"round {round_}: {accuracy:.1%} right", xlabel="predicted")
            panel.set_xticks(range(len(emotions)), emotions, rotation=45, ha="right", rotation_mode="anchor")
            panel.set_yticks(range(len(emotions)), names)
            hide_frame(panel)
        for panel in panels[:, 0]:
            panel.set_ylabel("actual (faces)")


def plot_reliability(path: Path, table: pd.DataFrame) -> None:
    """Plot accuracy and frequency by confidence, before and after calibration: a panel per round.

    `table` has the columns round, calibration ("before" or "after"), confidence, accuracy and n, and a row for each
    bin. The error in the title is the expected calibration error.
    """
    rounds = table["round"].unique()
    rows, columns = grid_shape(len(rounds))
    heights = {"height_ratios": [3, 1] * rows}
    shape = (2 * rows, columns)
    with plot_file(path, "Is the confidence right?", *shape, (3.2, 1.9), gridspec_kw=heights) as (figure, panels):
        for index, round_ in enumerate(rounds):
            row, column = divmod(index, columns)
            upper, lower = panels[2 * row, column], panels[2 * row + 1, column]
            upper.plot([0, 1], [0, 1], color=GREY, linewidth=1, label="as right as confident")
            errors = []
            for calibration, colour in (("before", PALETTE[1]), ("after", PALETTE[0])):
                bins = table[(table["round"] == round_) & (table["calibration"] == calibration)]
                share = bins["n"] / bins["n"].sum()
                errors.append((share * (bins["confidence"] - bins["accuracy"]).abs()).sum())
                upper.plot(bins["confidence"], bins["accuracy"], color=colour, linewidth=1)
                upper.scatter(bins["confidence"], bins["accuracy"], 3 + 250 * share, colour, clip_on=False, zorder=3)
                lower.plot(bins["confidence"], share, color=colour, label=f"{calibration} calibration")
            title = f"round {round_}: error {errors[0]:.1%} → {errors[1]:.1%}"
            upper.set(title=title, ylabel="share right", xlim=(0, 1), ylim=(0, 1))
            upper.tick_params(labelbottom=False)
            lower.set(xlabel="confidence", ylabel="share of faces", xlim=(0, 1), ylim=(0, None))
            for axis in (upper.yaxis, lower.yaxis):
                axis.set_major_formatter(PERCENT_FORMAT)
        lines = [line for panel in panels[:2, 0] for line in panel.get_legend_handles_labels()[0]]
        draw_legend(figure, lines)


def plot_coverage(path: Path, table: pd.DataFrame, thresholds: Mapping[int, Mapping[str, float]]) -> None:
    """Plot the coverage and precision of pseudo-labels by threshold: a panel per round.

    `table` has the columns round, threshold, coverage, precision, low and high; the last three are missing where true
    labels are unknown. `thresholds` has the thresholds to mark, by round and emotion.
    """
    rounds = table["round"].unique()
    with plot_file(path, "Pseudo-labels by threshold", *grid_shape(len(rounds)), (3.2, 2.8)) as (figure, panels):
        for panel, round_ in zip(panels.flat, rounds, strict=False):
            curve = table[table["round"] == round_]
            threshold = curve["threshold"]
            if curve["precision"].notna().any():
                panel.fill_between(threshold, curve["low"], curve["high"], color=PALETTE[1], alpha=0.2, linewidth=0)
                panel.plot(threshold, curve["precision"], color=PALETTE[1], label="of the accepted, right")
            panel.plot(threshold, curve["coverage"], color=PALETTE[0], label="of the unlabelled, accepted")
            marks = [value for value in thresholds[round_].values() if value <= 1]  # above 1, none is accepted
            panel.vlines(marks, 0, 1, color=INK, linewidth=1, label="chosen for an emotion")
            panel.set(title=f"round {round_}", xlabel="threshold on confidence", ylabel="share of faces", ylim=(0, 1))
            panel.yaxis.set_major_formatter(PERCENT_FORMAT)
        draw_legend(figure, panels.flat[0].get_legend_handles_labels()[0])


def plot_montage(
    path: Path,
    faces: UInt8[np.ndarray, "rows columns size size"],
    row_names: Sequence[str],
    column_names: Sequence[str],
    title: str,
) -> None:
    """Plot faces in a labelled grid, each about 100 pixels wide."""
    rows, columns = faces.shape[:2]
    with plot_file(path, title, 1, 1, (0.72 * columns + 0.9, 0.72 * rows + 0.6)) as (_, panels):
        draw_montage(panels[0, 0], faces, row_names, column_names)


def draw_montage(
    panel: Axes,
    faces: UInt8[np.ndarray, "rows columns size size"],
    row_names: Sequence[str],
    column_names: Sequence[str] = (),
) -> None:
    """Draw faces in a grid with names beside its rows and above its columns."""
    rows, columns, size, _ = faces.shape
    pitch = size + max(1, size // 16)
    mosaic = np.full((rows, pitch, columns, pitch), 255, dtype=np.uint8)
    mosaic[:, :size, :, :size] = faces.transpose(0, 2, 1, 3)
    panel.imshow(mosaic.reshape(rows * pitch, columns * pitch), cmap="gray", vmin=0, vmax=255)
    panel.set_xticks(np.arange(len(column_names)) * pitch + (size - 1) / 2, column_names)
    panel.set_yticks(np.arange(rows) * pitch + (size - 1) / 2, row_names)
    panel.xaxis.tick_top()
    hide_frame(panel)


@contextmanager
def plot_file(
    path: Path, title: str, rows: int, columns: int, panel_inches: tuple[float, float], **subplots: Any
) -> Iterator[tuple[Figure, Any]]:
    """Yield a figure and its (rows, columns) panels, hide those left empty, and write the figure at the end."""
    with style.context(STYLE, after_reset=True), atomic_write(path) as part:
        size = max(columns * panel_inches[0], 4.2), rows * panel_inches[1] + 0.5  # room for legend and title
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False, **subplots)
        figure.suptitle(title, x=0.01, ha="left")
        yield figure, panels
        for panel in panels.flat:
            panel.set_visible(panel.has_data())
        if not any(panel.has_data() for panel in panels.flat):
            figure.text(0.01, 0.85, "nothing to show", color=GREY)
        figure.savefig(part, format="png", bbox_inches="tight", metadata={"Software": None})


def grid_shape(panels: int) -> tuple[int, int]:
    """Return the rows and columns of a grid for this many panels."""
    columns = min(max(panels, 1), PANELS_PER_ROW)
    return max(1, -(-panels // columns)), columns


def draw_legend(figure: Figure, handles: Sequence[Artist]) -> None:
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 7))


def hide_frame(panel: Axes) -> None:
    """Remove frame, grid and tick marks, which would cross the cells of an image."""
    panel.tick_params(length=0)
    panel.grid(visible=False)
    panel.spines[:].set_visible(False)
