"""The plot of `fer search`: validation accuracy by hyper-parameter."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from fer.experiments.dvc_experiments import varied_keys
from fer.reporting.plots.plots import INK, PALETTE, PERCENT_FORMAT, draw_legend, grid_shape, hide_frame, plot_file

_MAX_CATEGORIES = 8  # up to so many different numbers are drawn at equal distances


def plot_search(path: Path, table: pd.DataFrame) -> None:
    """Plot accuracy against each key of a table of `rank_experiments`, or a heat map of two keys with few values."""
    keys, accuracy = varied_keys(table), table["valid_accuracy"]
    best = f"{len(table)} runs, the best {accuracy.iloc[0]:.1%}" if keys else "no runs that differ"
    title = f"Accuracy on the validation fold: {best}"
    values = {key: _order_values(table[key]) for key in keys}
    counts = [len(categories.categories) for categories in values.values()]
    if len(keys) == 2 and max(counts) <= _MAX_CATEGORIES:
        y_key, x_key = sorted(keys, key=lambda key: len(values[key].categories))
        best_of_cells = accuracy.groupby([values[y_key], values[x_key]], observed=False).max().unstack()
        size = 0.8 * max(counts) + 1.4, 0.45 * min(counts) + 0.6
        with plot_file(path, title, 1, 1, size) as (_, panels):
            _draw_heat_map(panels[0, 0], best_of_cells)
            panels[0, 0].set_xlabel(x_key, weight="bold")
            panels[0, 0].set_ylabel(y_key, weight="bold")
        return
    with plot_file(path, title, *grid_shape(len(keys)), (3.2, 2.5), sharey=True) as (figure, panels):
        for key, panel in zip(keys, panels.flat, strict=False):
            _draw_runs(panel, values[key], accuracy)
            panel.set_xlabel(key, weight="bold")
            panel.yaxis.set_major_formatter(PERCENT_FORMAT)
        draw_legend(figure, panels[0, 0].lines)


def _order_values(values: pd.Series) -> pd.Categorical:
    """Return the values with their order: numbers in ascending order, then other values."""
    texts = values.replace("", "not set")
    order = pd.DataFrame({"number": pd.to_numeric(texts, errors="coerce"), "text": texts}).sort_values(
        ["number", "text"]
    )
    return pd.Categorical(texts, order["text"].unique())


def _draw_runs(panel: Axes, values: pd.Categorical, accuracy: pd.Series) -> None:
    """Draw a dot for each run; the first run is the best."""
    numbers = pd.to_numeric(np.array(values, dtype=object), errors="coerce")
    is_category = len(values.categories) <= _MAX_CATEGORIES or np.isnan(numbers).any()
    x = values.codes if is_category else numbers
    if not is_category and x.min() > 0 and x.max() >= 10 * x.min():
        panel.set_xscale("log")
    if is_category:
        _label_values(panel, values.categories)
        panel.set_xlim(-0.5, len(values.categories) - 0.5)
    panel.plot(x, accuracy, "o", color=PALETTE[0], alpha=0.5, markeredgewidth=0, label="run")
    panel.plot(x[:1], accuracy[:1], "o", color=PALETTE[1], label="best run")


def _draw_heat_map(panel: Axes, accuracy: pd.DataFrame) -> None:
    """Draw the accuracy of each pair of values, the best in bold."""
    values = accuracy.to_numpy(dtype=np.float64)
    best, middle = np.nanmax(values), (np.nanmin(values) + np.nanmax(values)) / 2
    panel.imshow(values, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        if not np.isnan(value):
            colour, weight = "white" if value > middle else INK, "bold" if value == best else "normal"
            panel.text(column, row, f"{value:.1%}", color=colour, weight=weight, ha="center", va="center")
    _label_values(panel, accuracy.columns)
    panel.set_yticks(range(len(accuracy)), accuracy.index)
    hide_frame(panel)


def _label_values(panel: Axes, names: pd.Index) -> None:
    is_long = max(map(len, names)) * len(names) > 40  # the labels would overlap
    style: dict[str, Any] = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if is_long else {}
    panel.set_xticks(range(len(names)), names, **style)
