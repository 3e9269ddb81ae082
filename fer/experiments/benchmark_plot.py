"""The plot of `fer benchmark ssl`: the gain of each student, and accuracy by label budget."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from fer.experiments.arms import CONTROLS, FIXED_95, NO_POOL, ONLINE_PREFIX, TRUE_LABELS
from fer.experiments.gains import TEACHER, format_budget
from fer.reporting.plots.plots import DASHED_LINE, GREY, INK, PALETTE, PERCENT_FORMAT, plot_file

_ROW_INCHES = 0.24


def plot_gains(path: Path, table: pd.DataFrame) -> None:
    """Plot a table of `compute_gains`: a panel of gains for each budget and, for several budgets, one of accuracies."""
    students = table[table["arm"] != TEACHER]
    budgets = list(students.groupby("budget", sort=False, dropna=False))
    columns = len(budgets) + (len(budgets) > 1)
    size = (3.4 if columns > 1 else 4.6, 1.0 + _ROW_INCHES * max(len(rows) for _, rows in budgets))
    with plot_file(path, "Gains of the students from the pool", 1, columns, size) as (_, panels):
        if len(budgets) > 1:
            _draw_accuracy_by_budget(panels[0, 0], table)
        for (_, rows), panel in zip(budgets, panels[0, -len(budgets) :], strict=True):
            _draw_gains(panel, rows.sort_values("valid_accuracy", kind="stable"), format_budget(rows["budget"].iloc[0]))


def _draw_gains(panel: Axes, students: pd.DataFrame, title: str) -> None:
    gain, low, high = (100 * students[name].to_numpy(dtype=np.float64) for name in ("gain", "gain_low", "gain_high"))
    colours = [_method_colour(method) for method in students["arm"]]
    panel.hlines(range(len(students)), low, high, colors=colours, linewidth=1.4)
    panel.scatter(gain, range(len(students)), 25, colours, zorder=3)
    panel.axvline(0, color=INK, linewidth=1)
    for half_gain in gain[(students["arm"] == TRUE_LABELS) & (gain > 0)] / 2:
        panel.axvline(half_gain, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
        style: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "ha": "center"}
        panel.annotate("half of true labels' gain", (half_gain, 1), (0, 3), color=GREY, size=7.5, **style)
    panel.set_title(title, pad=14)
    panel.set(xlabel="gain over the teacher (percentage points, test)")
    panel.set_yticks(range(len(students)), [method.replace("_", " ") for method in students["arm"]])
    panel.grid(visible=False, axis="y")
    panel.margins(y=0.06)


def _draw_accuracy_by_budget(panel: Axes, table: pd.DataFrame) -> None:
    x_of_all = table["budget"].max() * 2
    table = table.assign(x=table["budget"].fillna(x_of_all))
    policies = table[~table["arm"].isin((TEACHER, *CONTROLS, FIXED_95))]
    best = list(policies.groupby("arm")["valid_accuracy"].mean().sort_values(ascending=False).index[:1])
    for method in [TEACHER, NO_POOL, FIXED_95, *best, TRUE_LABELS]:
        line = table[table["arm"] == method].sort_values("x")
        if len(line):
            style: dict[str, Any] = DASHED_LINE if method == TEACHER else {}
            panel.errorbar(
                line["x"], line["test_accuracy"], line["test_sd"].fillna(0), marker="o", markersize=4,
                label=method.replace("_", " "), color=_method_colour(method), **style,
            )  # fmt: skip
    ticks = sorted(table["x"].unique())
    panel.set(xscale="log", xlabel="labels of each emotion", ylabel="accuracy on test faces")
    panel.set_xticks(ticks, ["all" if x > table["budget"].max() else f"{x:g}" for x in ticks])
    panel.set_xticks([], minor=True)
    panel.yaxis.set_major_formatter(PERCENT_FORMAT)
    panel.legend()


def _method_colour(method: str) -> str:
    if method == TEACHER:
        return INK
    if method in CONTROLS:
        return PALETTE[2] if method == TRUE_LABELS else GREY
    return PALETTE[1] if method.startswith(ONLINE_PREFIX) else PALETTE[0]
