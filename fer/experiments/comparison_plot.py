"""The plot of `fer compare`: accuracy and cost of each network."""

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.lines import Line2D

from fer.experiments.standings import ENSEMBLE_KIND, FER2013, NETWORK_KINDS
from fer.reporting.plots.plots import GREY, PALETTE, PERCENT_FORMAT, draw_legend, plot_file

_COLOURS = dict(zip(NETWORK_KINDS, PALETTE, strict=False))
_DOT: dict[str, Any] = {"marker": "o", "linestyle": "", "markersize": 5}
_HOLLOW: dict[str, Any] = _DOT | {"markerfacecolor": "white"}


def plot_comparison(path: Path, table: pd.DataFrame) -> None:
    """Plot a table of `build_leaderboard`: a row for each network and ensemble, in the order of the table.

    The panels show the test accuracy with one standard deviation over the seeds in each direction, and the accuracy
    that a report found on FER-2013; the multiply-accumulates for a face; and the parameters.
    """
    rows, colours = range(len(table)), list(table["kind"].map(_COLOURS))
    reported = table["reported_accuracy"].where(
        table["reported_on"].str.startswith(FER2013)
        & (table["kind"] != ENSEMBLE_KIND)  # a report's ensemble has other networks
    )
    inches, widths = (2.8, 0.9 + 0.22 * len(table)), [3, 2, 2]
    title = "Accuracy and cost of the networks"
    with plot_file(path, title, 1, 3, inches, sharey=True, width_ratios=widths) as (figure, panels):
        accuracy, macs, parameters = panels[0]
        accuracy.errorbar(
            table["test_accuracy"], rows, xerr=table["test_accuracy_sd"].fillna(0), fmt="none", ecolor=colours
        )
        accuracy.plot(reported, rows, color=GREY, **_HOLLOW)
        for panel, values in zip(panels[0], (table["test_accuracy"], table["macs"], table["parameters"]), strict=True):
            panel.scatter(values, rows, 25, colours, zorder=3)
        accuracy.xaxis.set_major_formatter(PERCENT_FORMAT)
        accuracy.set(xlabel="accuracy on test faces")
        accuracy.set_yticks(rows, table["network"])
        accuracy.invert_yaxis()
        macs.set(xscale="log", xlabel="multiply-accumulates for a face")
        parameters.set(xscale="log", xlabel="parameters")
        kinds = [kind for kind in NETWORK_KINDS if kind in set(table["kind"])]
        handles = [Line2D([], [], color=_COLOURS[kind], label=kind, **_DOT) for kind in kinds]
        handles.append(Line2D([], [], color=GREY, label="reported, on FER-2013", **_HOLLOW))
        draw_legend(figure, handles)
