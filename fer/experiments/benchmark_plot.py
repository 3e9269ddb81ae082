"""The plots of `fer benchmark ssl`: the gain of each method, and accuracy and macro F1 by label budget."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from fer.experiments.arms import ONLINE_PREFIX, RANDOM_LABELS, TRUE_LABELS
from fer.experiments.gains import BASELINES, TEACHER, TEACHER_CORRECTED, VOTE, VOTE_CORRECTED
from fer.experiments.gains_table import format_budget, format_method
from fer.reporting.plots.plots import DASHED_LINE, GREY, INK, PALETTE, PERCENT_FORMAT, draw_legend, plot_file

_ROW_INCHES = 0.3


def plot_gains(path: Path, table: pd.DataFrame) -> None:
    """Plot the gains of a table of `compute_gains` over the best baseline: a panel for each budget."""
    budgets = [rows for _, rows in table.groupby("budget", sort=False, dropna=False)]
    methods = list(table.groupby("arm", sort=False)["valid_accuracy"].mean().sort_values(kind="stable").index)
    size = (3.2 if len(budgets) > 1 else 5.6, 1.2 + _ROW_INCHES * len(methods))
    with plot_file(path, "Gains over the best baseline", 1, len(budgets), size, sharey=True) as (figure, panels):
        for rows, panel in zip(budgets, panels[0], strict=True):
            _draw_gains(panel, rows, methods)
        panels[0, 0].set_yticks(range(len(methods)), [format_method(method) for method in methods])
        style: dict[str, Any] = {"color": INK, "marker": "o", "markersize": 5, "linewidth": 1.4}
        filled = Line2D([], [], label="accuracy", **style)
        draw_legend(figure, [filled, Line2D([], [], label="macro F1", markerfacecolor="white", **style)])


def plot_budgets(path: Path, table: pd.DataFrame) -> None:
    """Plot test accuracy and macro F1 by label budget: the baselines, the best student on validation and the oracle."""
    students = table[~table["arm"].isin((*BASELINES, RANDOM_LABELS, TRUE_LABELS))]
    best = list(students.groupby("arm")["valid_accuracy"].mean().sort_values(ascending=False).index[:1])
    styles: dict[str, dict[str, Any]] = {
        TRUE_LABELS: {"color": PALETTE[2], "marker": "D"},
        **{method: {"color": PALETTE[0], "marker": "o"} for method in best},
        VOTE_CORRECTED: {"color": PALETTE[1], "marker": "^"},
        VOTE: {"color": PALETTE[1], "marker": "^"} | DASHED_LINE,
        TEACHER_CORRECTED: {"color": INK, "marker": "s"},
        TEACHER: {"color": INK, "marker": "s"} | DASHED_LINE,
    }
    styles = {method: style | {"markersize": 4} for method, style in styles.items() if method in set(table["arm"])}
    x_of_all = table["budget"].max() * 2
    table = table.assign(x=table["budget"].fillna(x_of_all)).sort_values("x")
    with plot_file(path, "Accuracy and macro F1 by label budget", 1, 2, (3.8, 3.2)) as (figure, panels):
        for panel, metric, name in zip(panels[0], ("accuracy", "macro_f1"), ("accuracy", "macro F1"), strict=True):
            for method, style in styles.items():
                line = table[table["arm"] == method]
                mean, deviation = line[f"test_{metric}"], line[f"test_{metric}_sd"].fillna(0)
                panel.plot(line["x"], mean, **style)
                panel.fill_between(
                    line["x"], mean - deviation, mean + deviation, color=style["color"], alpha=0.12, linewidth=0
                )
            ticks = sorted(table["x"].unique())
            panel.set(xscale="log", xlabel="labels per emotion", title=f"{name} on test faces")
            panel.set_xticks(ticks, ["all" if x == x_of_all else f"{x:g}" for x in ticks])
            panel.set_xticks([], minor=True)
            panel.yaxis.set_major_formatter(PERCENT_FORMAT)
        names = {method: format_method(method) for method in styles} | {m: f"student: {format_method(m)}" for m in best}
        handles: list[Artist] = [Line2D([], [], label=names[method], **style) for method, style in styles.items()]
        handles.append(Patch(color=GREY, alpha=0.2, linewidth=0, label="± standard deviation\nover the seeds"))
        figure.legend(handles=handles, loc="outside right center")


def _draw_gains(panel: Axes, rows: pd.DataFrame, methods: list[str]) -> None:
    y = np.array([methods.index(method) for method in rows["arm"]])
    colours = [_method_colour(method) for method in rows["arm"]]
    panel.axvline(0, color=INK, linewidth=1)
    for metric, offset in (("accuracy", 0.14), ("macro_f1", -0.14)):
        gain, low, high = (100 * rows[f"gain_{metric}{end}"].to_numpy() for end in ("", "_low", "_high"))
        panel.hlines(y + offset, low, high, colors=colours, linewidth=1.4)
        fill = colours if metric == "accuracy" else "white"
        panel.scatter(gain, y + offset, 22, fill, edgecolors=colours, linewidths=1.2, zorder=3)
    baseline = rows["baseline"].iloc[0]
    style: dict[str, Any] = {"ha": "center", "va": "center", "size": 7.5, "bbox": {"color": "white", "pad": 1.5}}
    panel.text(0, methods.index(baseline), "best baseline", **style)
    panel.set_title(format_budget(rows["budget"].iloc[0]))
    panel.set(xlabel="percentage points, on test faces")
    panel.grid(visible=False, axis="y")
    panel.margins(y=0.06)


def _method_colour(method: str) -> str:
    if method in (*BASELINES, RANDOM_LABELS):
        return GREY
    if method == TRUE_LABELS:
        return PALETTE[2]
    return PALETTE[1] if method.startswith(ONLINE_PREFIX) else PALETTE[0]
