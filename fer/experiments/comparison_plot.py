"""The picture of `fer compare`: accuracy against cost."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from fer.experiments.standings import ENSEMBLE_KIND, FER2013, NETWORK_KINDS
from fer.reporting.plots.plots import GREY, PALETTE, PERCENT_FORMAT, plot_file

_COLOURS = dict(zip(NETWORK_KINDS, PALETTE, strict=False))
_LARGEST_PT2 = 1500.0  # area of the point with the most parameters
_DOT_PT2 = 9.0
_HOLLOW: dict[str, Any] = {"marker": "o", "markersize": 4, "markerfacecolor": "white", "markeredgewidth": 1}
_GAPS_PX = (3, 7, 14, 24, 36, 50)  # between a point and its name, from near to far
_CLOSE = 2  # of these need no line
_WAYS = np.array([(np.cos(angle), np.sin(angle)) for angle in np.arange(16) * np.pi / 8])  # the right one first

Points = Float[np.ndarray, "n 2"]  # in pixels
Boxes = Float[np.ndarray, "boxes 4"]  # left, bottom, right, top


def plot_comparison(path: Path, table: pd.DataFrame) -> None:
    """Test accuracy by multiply-accumulates for a face, and above or below it what a report found on FER-2013.

    `table` is that of `standings`. The area of a point is in proportion to its parameters; its line is a standard
    deviation over the seeds either way.
    """
    macs, accuracy, colours = table["macs"] / 1e6, table["test_accuracy"], list(table["kind"].map(_COLOURS))
    spread, areas = table["test_accuracy_sd"].fillna(0), table["parameters"] * _LARGEST_PT2 / table["parameters"].max()
    reported = table["reported_accuracy"].where(
        table["reported_on"].str.startswith(FER2013)
        & (table["kind"] != ENSEMBLE_KIND)  # a report's vote is of other networks
    )
    with plot_file(path, "Networks trained alike: accuracy and cost", 1, 1, (8.4, 5.2)) as (figure, panels):
        panel = panels[0, 0]
        for x, y, report, colour in zip(macs, accuracy, reported, colours, strict=True):
            panel.plot([x, x], [y, report], color=colour, linewidth=0.8, alpha=0.4)
            panel.plot(x, report, color=colour, **_HOLLOW)
        panel.errorbar(macs, accuracy, spread, fmt="none", ecolor=colours, elinewidth=1.4)
        panel.scatter(macs, accuracy, areas, colours, alpha=0.3, linewidth=0)
        panel.scatter(macs, accuracy, _DOT_PT2, colours, linewidth=0)
        panel.set(xscale="log", xlabel="multiply-accumulates for one face (millions)", ylabel="accuracy on test faces")
        panel.margins(0.08)
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        panel.yaxis.set_major_formatter(PERCENT_FORMAT)
        _draw_legend(figure, table)
        figure.draw_without_rendering()  # lays the panel out, so that places in it are known
        to_px = panel.transData.transform
        places, hollow = (to_px(np.column_stack([macs, height])) for height in (accuracy, reported.fillna(accuracy)))
        low, high = (to_px(np.column_stack([macs, accuracy + way * spread])) for way in (-1, 1))
        radii = np.sqrt(areas.clip(lower=_DOT_PT2).to_numpy()) / 2 * figure.dpi / 72
        lines = np.hstack([np.minimum(places, hollow), np.maximum(places, hollow) + 1])
        bars = np.hstack([low - 1, high + 1])
        taken = np.vstack([_squares(places, radii), _squares(hollow, np.full(len(table), 4.0)), lines, bars])
        _draw_names(panel, table["network"], places, radii, taken)


def _draw_names(
    panel: Axes, names: Iterable[str], places: Points, radii: Float[np.ndarray, " n"], taken: Boxes
) -> None:
    """Write a name at each of the `places`, such that names cover each other and what is `taken` least.

    One after the other, each in the nearest of the spots that cover least; a line leads to one that is not close.
    """
    to_data, inside = panel.transData.inverted().transform, panel.get_window_extent().extents
    panel.autoscale(False)
    for name, place, radius in zip(names, places, radii, strict=True):
        x, y = to_data(place)
        words = panel.text(x, y, name, size=8, ha="center", va="center", zorder=4)
        words.set(in_layout=False, path_effects=[withStroke(linewidth=2, foreground="white")])
        half = np.array([words.get_window_extent().width, words.get_window_extent().height]) / 2
        spots = np.vstack([place + _WAYS * (radius + gap + half) for gap in _GAPS_PX])
        boxes = np.hstack([spots - half, spots + half])
        outside = np.clip(inside[:2] - boxes[:, :2], 0, None) + np.clip(boxes[:, 2:] - inside[2:], 0, None)
        cover = sum((_common_area(boxes, box) for box in taken), 1e3 * outside.sum(axis=1))
        best = int(np.argmin(np.round(cover)))
        words.set(position=to_data(spots[best]))
        if best >= _CLOSE * len(_WAYS):
            nearest = np.clip(place, boxes[best, :2], boxes[best, 2:])
            panel.plot(*to_data([place, nearest]).T, color=GREY, linewidth=0.7)
        taken = np.vstack([taken, boxes[best]])


def _squares(middles: Points, halves: Float[np.ndarray, " n"]) -> Boxes:
    return np.hstack([middles - halves[:, None], middles + halves[:, None]])


def _common_area(boxes: Boxes, box: Float[np.ndarray, " 4"]) -> Float[np.ndarray, " boxes"]:
    sides = np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2])
    return np.clip(sides, 0, None).prod(axis=1)


def _draw_legend(figure: Figure, table: pd.DataFrame) -> None:
    """Colours, the hollow mark, and the areas of two round numbers of parameters."""
    dot: dict[str, Any] = {"marker": "o", "linestyle": "", "markeredgewidth": 0}
    lines = [
        Line2D([], [], color=_COLOURS[kind], label=kind, **dot) for kind in NETWORK_KINDS if kind in set(table["kind"])
    ]
    lines.append(Line2D([], [], color=GREY, label="in its report, on FER-2013", linestyle="", **_HOLLOW))
    largest = table["parameters"].max()
    for count in 10.0 ** np.floor(np.log10(largest / 4) - np.array([1, 0])):
        label = f"{count:,.0f} parameters"
        size = np.sqrt(count * _LARGEST_PT2 / largest)
        lines.append(Line2D([], [], color=GREY, alpha=0.5, label=label, markersize=size, **dot))
    figure.legend(handles=lines, loc="outside lower center", ncols=3)
