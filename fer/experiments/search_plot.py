"""The picture of `fer search`: validation accuracy by hyper-parameter."""

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

_FEW = 8  # numbers up to which each has a place of its own, as far from the next as any other
_SPREAD = 0.3  # of the way to the next place: how far the runs of one value are laid out to either side
_GOLDEN = 0.618  # steps of this share fill an interval evenly, however many they are
_ABREAST = {1: 1, 2: 2, 4: 2}  # panels in a row, else 3
_RUN: dict[str, Any] = {"color": PALETTE[0], "alpha": 0.5, "linestyle": "", "marker": "o", "markersize": 4.5}
_BELOW: dict[str, Any] = _RUN | {"marker": "v", "markersize": 4}
_BEST: dict[str, Any] = {"color": PALETTE[1], "linestyle": "", "marker": "o", "markersize": 6.5}
_MEDIAN: dict[str, Any] = {"color": INK, "linewidth": 1.5}


def plot_search(path: Path, table: pd.DataFrame) -> None:
    """Accuracy against each key in a panel of its own; of two keys with few values each, a map of both.

    `table` is that of `experiments.outcome`.
    """
    keys = varied_keys(table) if len(table) else []
    best = f"{len(table)} runs, the best {table['valid_accuracy'].iloc[0]:.1%}" if keys else "no runs that differ"
    title = f"Accuracy on the validation fold: {best}"
    few = {key: _sorted_value_names(table[key]) for key in keys if _has_few_values(table[key])}
    if len(few) == len(keys) == 2:
        down, across = sorted(keys, key=lambda key: len(few[key]))
        size = 0.8 * len(few[across]) + 1.4, 0.45 * len(few[down]) + 0.6
        with plot_file(path, title, 1, 1, size) as (_, panels):
            _draw_heat_map(panels[0, 0], table, (down, few[down]), (across, few[across]))
        return
    columns = _ABREAST.get(len(keys), 3)
    shape = max(1, -(-len(keys) // columns)), columns
    with plot_file(path, title, *shape, (3.2, 2.5), sharey=True) as (figure, panels):
        if not keys:
            return
        accuracy = table["valid_accuracy"]
        low = _axis_minimum(accuracy)
        for key, panel in zip(keys, panels.flat, strict=False):
            _draw_panel(panel, table[key], accuracy, few.get(key), low)
            panel.set_xlabel(key, weight="bold")
            panel.yaxis.set_major_formatter(PERCENT_FORMAT)
        lines = [Line2D([], [], label="a run", **_RUN), Line2D([], [], label="the best", **_BEST)]
        lines += [Line2D([], [], label="median of a value", **_MEDIAN)] if few else []
        lines += [Line2D([], [], label=f"a run below {low:.0%}", **_BELOW)] if (accuracy < low).any() else []
        figure.legend(handles=lines, loc="outside lower center", ncols=len(lines))


def _axis_minimum(accuracy: pd.Series) -> float:
    """Where the scale begins: what failed to learn is below it, so that the others can be told apart."""
    best = accuracy.max()
    return max(accuracy.min(), best - 3 * max(best - accuracy.median(), 0.02))


def _draw_panel(panel: Axes, values: pd.Series, accuracy: pd.Series, places: list[str] | None, low: float) -> None:
    """A dot for each run; the first is the best."""
    if places is None:
        x = values.to_numpy(dtype=float)
        if np.nanmin(x) > 0 and np.nanmedian(x) < 0.35 * np.nanmax(x):  # most are small: drawn from a logarithmic scale
            panel.set_xscale("log")
            panel.xaxis.set_major_locator(LogLocator(subs=(1,) if np.nanmax(x) > 100 * np.nanmin(x) else (1, 2, 5)))
            panel.xaxis.set_minor_locator(NullLocator())
            panel.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    else:
        at = np.array([places.index(_value_name(value)) for value in values])
        x = at + _SPREAD * (2 * (np.arange(len(at)) * _GOLDEN % 1) - 1)
        medians = accuracy.groupby(at).median()
        panel.hlines(medians, medians.index - 0.4, medians.index + 0.4, zorder=3, **_MEDIAN)
        _label_values(panel, places)
        panel.set_xlim(-0.6, len(places) - 0.4)
        panel.grid(visible=False, axis="x")
    margin = 0.06 * (accuracy.max() - low) or 0.01
    below = (accuracy < low).to_numpy()
    panel.set_ylim(low - (2 if below.any() else 1) * margin, accuracy.max() + margin)
    others = ~below & (np.arange(len(x)) > 0)
    panel.plot(x[others], accuracy[others], markeredgewidth=0, **_RUN)
    panel.plot(x[below], np.full(below.sum(), low - margin), markeredgewidth=0, **_BELOW)
    panel.plot(x[:1], accuracy[:1], zorder=4, **_BEST)


def _draw_heat_map(
    panel: Axes, table: pd.DataFrame, down: tuple[str, list[str]], across: tuple[str, list[str]]
) -> None:
    """The best accuracy of each pair of values, the best of all framed."""
    accuracy = np.full((len(down[1]), len(across[1])), np.nan)
    for place, run in zip(_cell_positions(table, down, across), table["valid_accuracy"], strict=True):
        accuracy[place] = np.fmax(accuracy[place], run)
    panel.imshow(accuracy, aspect="auto")
    middle = (np.nanmin(accuracy) + np.nanmax(accuracy)) / 2
    for row, column in np.argwhere(~np.isnan(accuracy)):
        ink = "white" if accuracy[row, column] > middle else INK
        panel.text(column, row, f"{accuracy[row, column]:.1%}", color=ink, ha="center", va="center")
    row, column = _cell_positions(table, down, across)[0]
    panel.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=PALETTE[1], linewidth=2.5))
    panel.set_xlabel(across[0], weight="bold")
    panel.set_ylabel(down[0], weight="bold")
    _label_values(panel, across[1])
    panel.set_yticks(range(len(down[1])), down[1])
    panel.tick_params(length=0)
    panel.grid(visible=False)
    panel.spines[:].set_visible(False)


def _cell_positions(table: pd.DataFrame, *of: tuple[str, list[str]]) -> list[tuple[int, ...]]:
    return list(zip(*([places.index(_value_name(value)) for value in table[key]] for key, places in of), strict=True))


def _label_values(panel: Axes, places: list[str]) -> None:
    panel.set_xticks(range(len(places)), places)
    if max(map(len, places)) * len(places) > 40:  # they would touch
        panel.tick_params(axis="x", labelrotation=30)
        for label in panel.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")


def _has_few_values(values: pd.Series) -> bool:
    return not all(map(_is_number, values)) or values.nunique() <= _FEW


def _sorted_value_names(values: pd.Series) -> list[str]:
    """The different values: numbers from small to large, then the others."""
    names = {
        _value_name(value): (not _is_number(value), value if _is_number(value) else 0, _value_name(value))
        for value in values
    }
    return sorted(names, key=lambda name: names[name])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _value_name(value: Any) -> str:
    return format_value(value) or "not set"
