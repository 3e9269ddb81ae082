"""The picture of `fer benchmark ssl`: what each student gained of the pool, and accuracy by the number of labels."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from fer.experiments.arms import CONTROLS, FIXED_95, NO_POOL, ONLINE_PREFIX, TRUE_LABELS
from fer.experiments.gains import TEACHER, format_budget
from fer.reporting.plots.plots import DASHED_LINE, GREY, INK, PALETTE, PERCENT_FORMAT, plot_file

_ROW_INCHES = 0.24


def plot_gains(path: Path, table: pd.DataFrame) -> None:
    """Test accuracy gained over the teacher, a panel for each budget; with several, accuracy by budget before them.

    `table` is that of `gains`; students are in the order of the validation accuracy.
    """
    students = table[table["arm"] != TEACHER]
    budgets = list(students.groupby("budget", sort=False, dropna=False))
    columns = len(budgets) + (len(budgets) > 1)
    size = (3.4 if columns > 1 else 4.6, 1.0 + _ROW_INCHES * max(len(arms) for _, arms in budgets))
    with plot_file(path, "What students gained of the pool", 1, columns, size) as (_, panels):
        if len(budgets) > 1:
            _draw_accuracy_by_budget(panels[0, 0], table)
        for (_, arms), panel in zip(budgets, panels[0, -len(budgets) :], strict=True):
            _draw_gains(panel, arms.sort_values("valid_accuracy", kind="stable"), format_budget(arms["budget"].iloc[0]))


def _draw_gains(panel: Axes, arms: pd.DataFrame, title: str) -> None:
    gain, low, high = (100 * arms[name].to_numpy(dtype=np.float64) for name in ("gain", "gain_low", "gain_high"))
    colours = [_method_colour(arm) for arm in arms["arm"]]
    panel.hlines(range(len(arms)), low, high, colors=colours, linewidth=1.4)
    panel.scatter(gain, range(len(arms)), 25, colours, zorder=3)
    panel.axvline(0, color=INK, linewidth=1)
    for most in gain[(arms["arm"] == TRUE_LABELS) & (gain > 0)] / 2:
        panel.axvline(most, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
        place: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "ha": "center"}
        panel.annotate("half of true labels' gain", (most, 1), (0, 3), color=GREY, size=7.5, **place)
    panel.set_title(title, pad=14)
    panel.set(xlabel="points of test accuracy over the teacher")
    panel.set_yticks(range(len(arms)), [arm.replace("_", " ") for arm in arms["arm"]])
    panel.grid(visible=False, axis="y")
    panel.margins(y=0.06)


def _draw_accuracy_by_budget(panel: Axes, table: pd.DataFrame) -> None:
    most = table["budget"].max() * 2
    places = table.assign(place=table["budget"].fillna(most))
    others = table[~table["arm"].isin((TEACHER, *CONTROLS, FIXED_95))]
    best = list(others.groupby("arm")["valid_accuracy"].mean().sort_values(ascending=False).index[:1])
    for arm in [TEACHER, NO_POOL, FIXED_95, *best, TRUE_LABELS]:
        line = places[places["arm"] == arm].sort_values("place")
        if len(line):
            style: dict[str, Any] = DASHED_LINE if arm == TEACHER else {}
            panel.errorbar(
                line["place"], line["test_accuracy"], line["test_sd"].fillna(0), marker="o", markersize=4,
                label=arm.replace("_", " "), color=_method_colour(arm), **style,
            )  # fmt: skip
    ticks = sorted(places["place"].unique())
    panel.set(xscale="log", xlabel="labels of each emotion", ylabel="accuracy on test faces")
    panel.set_xticks(ticks)
    panel.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: "all" if table["budget"].isna().any() and value == most else f"{value:g}")
    )
    panel.xaxis.set_minor_locator(NullLocator())
    panel.yaxis.set_major_formatter(PERCENT_FORMAT)
    panel.legend()


def _method_colour(arm: str) -> str:
    if arm == TEACHER:
        return INK
    if arm in CONTROLS:
        return PALETTE[2] if arm == TRUE_LABELS else GREY
    return PALETTE[1] if arm.startswith(ONLINE_PREFIX) else PALETTE[0]
