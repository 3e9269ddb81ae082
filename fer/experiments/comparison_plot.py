"""The plot of `fer compare`: accuracy against cost."""

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
_MAX_AREA_PT2 = 1500.0  # area of the point with the most parameters
_DOT_AREA_PT2 = 9.0
_HOLLOW: dict[str, Any] = {"marker": "o", "markersize": 4, "markerfacecolor": "white", "markeredgewidth": 1}
_GAPS_PX = (3, 7, 14, 24, 36, 50)  # between a point and its name, from near to far
_CLOSE_GAPS = 2  # a name at one of the first gaps needs no line to its point
_DIRECTIONS = np.array([(np.cos(angle), np.sin(angle)) for angle in np.arange(16) * np.pi / 8])  # right first

Points = Float[np.ndarray, "n 2"]  # in pixels
Boxes = Float[np.ndarray, "boxes 4"]  # left, bottom, right, top


def plot_comparison(path: Path, table: pd.DataFrame) -> None:
    """Plot test accuracy, and the accuracy that a report found on FER-2013, by multiply-accumulates for a face.

    `table` comes from `build_leaderboard`. A point's area is proportional to the parameters; its bar is one standard
    deviation over the seeds in each direction.
    """
    macs, accuracy, colours = table["macs"] / 1e6, table["test_accuracy"], list(table["kind"].map(_COLOURS))
    spread, areas = table["test_accuracy_sd"].fillna(0), table["parameters"] * _MAX_AREA_PT2 / table["parameters"].max()
    reported = table["reported_accuracy"].where(
        table["reported_on"].str.startswith(FER2013)
        & (table["kind"] != ENSEMBLE_KIND)  # a report's ensemble has other networks
    )
    with plot_file(path, "Accuracy and cost of the networks", 1, 1, (8.4, 5.2)) as (figure, panels):
        panel = panels[0, 0]
        for x, y, report, colour in zip(macs, accuracy, reported, colours, strict=True):
            panel.plot([x, x], [y, report], color=colour, linewidth=0.8, alpha=0.4)
            panel.plot(x, report, color=colour, **_HOLLOW)
        panel.errorbar(macs, accuracy, spread, fmt="none", ecolor=colours, elinewidth=1.4)
        panel.scatter(macs, accuracy, areas, colours, alpha=0.3, linewidth=0)
        panel.scatter(macs, accuracy, _DOT_AREA_PT2, colours, linewidth=0)
        panel.set(xscale="log", xlabel="multiply-accumulates for one face (millions)", ylabel="accuracy on test faces")
        panel.margins(0.08)
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        panel.yaxis.set_major_formatter(PERCENT_FORMAT)
        _draw_legend(figure, table)
        figure.draw_without_rendering()  # lays the panel out, so that its pixel coordinates are known
        to_px = panel.transData.transform
        points, reports = (to_px(np.column_stack([macs, height])) for height in (accuracy, reported.fillna(accuracy)))
        low, high = (to_px(np.column_stack([macs, accuracy + sign * spread])) for sign in (-1, 1))
        radii = np.sqrt(areas.clip(lower=_DOT_AREA_PT2).to_numpy()) / 2 * figure.dpi / 72
        lines = np.hstack([np.minimum(points, reports), np.maximum(points, reports) + 1])
        bars = np.hstack([low - 1, high + 1])
        squares = _squares(points, radii), _squares(reports, np.full(len(table), 4.0))
        _draw_names(panel, table["network"], points, radii, np.vstack([*squares, lines, bars]))


def _draw_names(
    panel: Axes, names: Iterable[str], points: Points, radii: Float[np.ndarray, " n"], obstacles: Boxes
) -> None:
    """Write a name beside each of the `points`, so that it overlaps other names and `obstacles` least.

    Names are placed one after the other, each at the nearest of the positions with the least overlap. A line leads to a
    name that is not close to its point.
    """
    to_data, bounds = panel.transData.inverted().transform, panel.get_window_extent().extents
    panel.autoscale(False)
    for name, point, radius in zip(names, points, radii, strict=True):
        x, y = to_data(point)
        label = panel.text(x, y, name, size=8, ha="center", va="center", zorder=4)
        label.set(in_layout=False, path_effects=[withStroke(linewidth=2, foreground="white")])
        half = np.array([label.get_window_extent().width, label.get_window_extent().height]) / 2
        centres = np.vstack([point + _DIRECTIONS * (radius + gap + half) for gap in _GAPS_PX])
        boxes = np.hstack([centres - half, centres + half])
        outside = np.clip(bounds[:2] - boxes[:, :2], 0, None) + np.clip(boxes[:, 2:] - bounds[2:], 0, None)
        overlap = sum((_common_area(boxes, obstacle) for obstacle in obstacles), 1e3 * outside.sum(axis=1))
        best = int(np.argmin(np.round(overlap)))
        label.set(position=to_data(centres[best]))
        if best >= _CLOSE_GAPS * len(_DIRECTIONS):
            line_end = np.clip(point, boxes[best, :2], boxes[best, 2:])
            panel.plot(*to_data([point, line_end]).T, color=GREY, linewidth=0.7)
        obstacles = np.vstack([obstacles, boxes[best]])


def _squares(centres: Points, halves: Float[np.ndarray, " n"]) -> Boxes:
    return np.hstack([centres - halves[:, None], centres + halves[:, None]])


def _common_area(boxes: Boxes, box: Float[np.ndarray, " 4"]) -> Float[np.ndarray, " boxes"]:
    sides = np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2])
    return np.clip(sides, 0, None).prod(axis=1)


def _draw_legend(figure: Figure, table: pd.DataFrame) -> None:
    """Explain the colours, the hollow marker, and the areas of two round numbers of parameters."""
    dot: dict[str, Any] = {"marker": "o", "linestyle": "", "markeredgewidth": 0}
    handles = [
        Line2D([], [], color=_COLOURS[kind], label=kind, **dot) for kind in NETWORK_KINDS if kind in set(table["kind"])
    ]
    handles.append(Line2D([], [], color=GREY, label="reported, on FER-2013", linestyle="", **_HOLLOW))
    largest = table["parameters"].max()
    for count in 10.0 ** np.floor(np.log10(largest / 4) - np.array([1, 0])):
        label = f"{count:,.0f} parameters"
        size = np.sqrt(count * _MAX_AREA_PT2 / largest)
        handles.append(Line2D([], [], color=GREY, alpha=0.5, label=label, markersize=size, **dot))
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
