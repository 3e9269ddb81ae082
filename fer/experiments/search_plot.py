"""The plot of `fer search`: validation accuracy by hyper-parameter."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from fer.experiments.dvc_experiments import format_value, varied_keys
from fer.reporting.plots.plots import INK, PALETTE, PERCENT_FORMAT, plot_file

_MAX_CATEGORIES = 8  # up to so many different numbers are drawn at equal distances
_JITTER = 0.3  # largest offset of a run from its category, as a fraction of the distance between categories
_GOLDEN_RATIO = 0.618  # multiples of it, modulo 1, fill an interval evenly for any count
_COLUMNS = {1: 1, 2: 2, 4: 2}  # panels in a row by number of panels; 3 for other numbers
_RUN: dict[str, Any] = {"color": PALETTE[0], "alpha": 0.5, "linestyle": "", "marker": "o", "markersize": 4.5}
_BELOW_AXIS: dict[str, Any] = _RUN | {"marker": "v", "markersize": 4}
_BEST: dict[str, Any] = {"color": PALETTE[1], "linestyle": "", "marker": "o", "markersize": 6.5}
_MEDIAN: dict[str, Any] = {"color": INK, "linewidth": 1.5}


def plot_search(path: Path, table: pd.DataFrame) -> None:
    """Plot accuracy against each key of a table of `rank_experiments`, or a heat map of two keys with few values."""
    keys = varied_keys(table) if len(table) else []
    best = f"{len(table)} runs, the best {table['valid_accuracy'].iloc[0]:.1%}" if keys else "no runs that differ"
    title = f"Accuracy on the validation fold: {best}"
    categories = {key: _sorted_value_names(table[key]) for key in keys if _is_categorical(table[key])}
    if len(categories) == len(keys) == 2:
        y_key, x_key = sorted(keys, key=lambda key: len(categories[key]))
        size = 0.8 * len(categories[x_key]) + 1.4, 0.45 * len(categories[y_key]) + 0.6
        with plot_file(path, title, 1, 1, size) as (_, panels):
            _draw_heat_map(panels[0, 0], table, (y_key, categories[y_key]), (x_key, categories[x_key]))
        return
    columns = _COLUMNS.get(len(keys), 3)
    shape = max(1, -(-len(keys) // columns)), columns
    with plot_file(path, title, *shape, (3.2, 2.5), sharey=True) as (figure, panels):
        if not keys:
            return
        accuracy = table["valid_accuracy"]
        low = _axis_minimum(accuracy)
        for key, panel in zip(keys, panels.flat, strict=False):
            _draw_panel(panel, table[key], accuracy, categories.get(key), low)
            panel.set_xlabel(key, weight="bold")
            panel.yaxis.set_major_formatter(PERCENT_FORMAT)
        handles = [Line2D([], [], label="run", **_RUN), Line2D([], [], label="best run", **_BEST)]
        handles += [Line2D([], [], label="median of a value", **_MEDIAN)] if categories else []
        handles += [Line2D([], [], label=f"run below {low:.0%}", **_BELOW_AXIS)] if (accuracy < low).any() else []
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))


def _axis_minimum(accuracy: pd.Series) -> float:
    """Return the lower end of the axis; runs that failed to learn lie below it, so that the others spread out."""
    best = accuracy.max()
    return max(accuracy.min(), best - 3 * max(best - accuracy.median(), 0.02))


def _draw_panel(panel: Axes, values: pd.Series, accuracy: pd.Series, categories: list[str] | None, low: float) -> None:
    """Draw a dot for each run; the first run is the best."""
    if categories is None:
        x = values.to_numpy(dtype=float)
        if np.nanmin(x) > 0 and np.nanmedian(x) < 0.35 * np.nanmax(x):  # mostly small values: a logarithmic range
            panel.set_xscale("log")
            panel.xaxis.set_major_locator(LogLocator(subs=(1,) if np.nanmax(x) > 100 * np.nanmin(x) else (1, 2, 5)))
            panel.xaxis.set_minor_locator(NullLocator())
            panel.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    else:
        codes = np.array([categories.index(_value_name(value)) for value in values])
        x = codes + _JITTER * (2 * (np.arange(len(codes)) * _GOLDEN_RATIO % 1) - 1)
        medians = accuracy.groupby(codes).median()
        panel.hlines(medians, medians.index - 0.4, medians.index + 0.4, zorder=3, **_MEDIAN)
        _label_values(panel, categories)
        panel.set_xlim(-0.6, len(categories) - 0.4)
        panel.grid(visible=False, axis="x")
    margin = 0.06 * (accuracy.max() - low) or 0.01
    is_below = (accuracy < low).to_numpy()
    panel.set_ylim(low - (2 if is_below.any() else 1) * margin, accuracy.max() + margin)
    is_plain = ~is_below & (np.arange(len(x)) > 0)
    panel.plot(x[is_plain], accuracy[is_plain], markeredgewidth=0, **_RUN)
    panel.plot(x[is_below], np.full(is_below.sum(), low - margin), markeredgewidth=0, **_BELOW_AXIS)
    panel.plot(x[:1], accuracy[:1], zorder=4, **_BEST)


def _draw_heat_map(panel: Axes, table: pd.DataFrame, y: tuple[str, list[str]], x: tuple[str, list[str]]) -> None:
    """Draw the best accuracy of each pair of values and frame the best of all; `y` and `x` are keys and categories."""
    accuracy = np.full((len(y[1]), len(x[1])), np.nan)
    for cell, run_accuracy in zip(_cell_positions(table, y, x), table["valid_accuracy"], strict=True):
        accuracy[cell] = np.fmax(accuracy[cell], run_accuracy)
    panel.imshow(accuracy, aspect="auto")
    middle = (np.nanmin(accuracy) + np.nanmax(accuracy)) / 2
    for row, column in np.argwhere(~np.isnan(accuracy)):
        colour = "white" if accuracy[row, column] > middle else INK
        panel.text(column, row, f"{accuracy[row, column]:.1%}", color=colour, ha="center", va="center")
    row, column = _cell_positions(table, y, x)[0]
    panel.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=PALETTE[1], linewidth=2.5))
    panel.set_xlabel(x[0], weight="bold")
    panel.set_ylabel(y[0], weight="bold")
    _label_values(panel, x[1])
    panel.set_yticks(range(len(y[1])), y[1])
    panel.tick_params(length=0)
    panel.grid(visible=False)
    panel.spines[:].set_visible(False)


def _cell_positions(table: pd.DataFrame, *axes: tuple[str, list[str]]) -> list[tuple[int, ...]]:
    codes = ([categories.index(_value_name(value)) for value in table[key]] for key, categories in axes)
    return list(zip(*codes, strict=True))


def _label_values(panel: Axes, categories: list[str]) -> None:
    panel.set_xticks(range(len(categories)), categories)
    if max(map(len, categories)) * len(categories) > 40:  # the labels would overlap
        panel.tick_params(axis="x", labelrotation=30)
        for label in panel.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")


def _is_categorical(values: pd.Series) -> bool:
    return not all(map(_is_number, values)) or values.nunique() <= _MAX_CATEGORIES


def _sorted_value_names(values: pd.Series) -> list[str]:
    """Return the names of the different values: numbers in ascending order, then other values."""
    sort_keys = {
        _value_name(value): (not _is_number(value), value if _is_number(value) else 0, _value_name(value))
        for value in values
    }
    return sorted(sort_keys, key=lambda name: sort_keys[name])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _value_name(value: Any) -> str:
    return format_value(value) or "not set"
