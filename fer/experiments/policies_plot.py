"""The plot of `fer policies`: how much each policy accepts, how right that is, and what it may be worth."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fer.reporting.plots.plots import GREY, PALETTE, PERCENT_FORMAT, draw_legend, plot_file

_SERIES = (  # panel, key of the results, label, colour, marker and its offset from the middle of a row
    (0, "share", "accepted", PALETTE[0], "o", 0),
    (1, "precision", "right in truth", PALETTE[2], "D", -0.14),
    (1, "estimated_precision", "right, estimated from validation", PALETTE[1], "o", 0.14),
    (2, "gain", "gain by the model", PALETTE[3], "o", 0),
)


def plot_policies(path: Path, rows: Sequence[Mapping[str, Any]], active: str) -> None:
    """Plot the results of `compare_policies`: above by threshold of `fixed`, below the best variant of each policy.

    The policy `active` is marked by a line above and by a star below. Intervals are those of the estimates.
    """
    table = pd.json_normalize([dict(row) for row in rows]).rename(columns=lambda name: name.replace("_interval.", "_"))
    keys = [f"{key}{end}" for _, key, *_ in _SERIES for end in ("", "_low", "_high")]
    table = table.reindex(columns=["policy", *keys])
    parts = table["policy"].str.partition("=")
    threshold = pd.to_numeric(parts[2].where(parts[0] == "fixed"))
    curve = table.assign(threshold=threshold).dropna(subset="threshold").sort_values("threshold")
    best = table[~parts[0].duplicated() | (table["policy"] == active)].reset_index(drop=True)
    floor = np.floor(10 * table[["precision", "estimated_precision_low"]].fillna(1).to_numpy().min()) / 10
    axes = (
        ("of the unlabelled, accepted", PERCENT_FORMAT, (0, 1.02)),
        ("of the accepted, right", PERCENT_FORMAT, (floor, 1.005)),
        ("gain in labels, at most", "{x:,.0f}", (min(0, table["gain_low"].min()), None)),
    )
    title = "What each policy accepts: fixed by its threshold, and the best variant of each policy"
    heights = {"height_ratios": [2.4, 0.6 + 0.2 * len(best)]}
    with plot_file(path, title, 2, 3, (3.2, 2.5), gridspec_kw=heights) as (figure, panels):
        figure.set_layout_engine("constrained", w_pad=0.08, h_pad=0.08)
        for panel, key, label, colour, marker, offset in _SERIES:
            upper, lower = panels[:, panel]
            low, high = f"{key}_low", f"{key}_high"
            upper.fill_between(curve["threshold"], curve[low], curve[high], color=colour, alpha=0.18, linewidth=0)
            upper.plot(curve["threshold"], curve[key], color=colour, label=label)
            lower.hlines(best.index + offset, best[low], best[high], color=colour, linewidth=1.2)
            lower.plot(best[key], best.index + offset, marker, color=colour, markersize=4.5, zorder=3)
        for column, (label, number_format, limits) in enumerate(axes):
            upper, lower = panels[:, column]
            upper.set(title=label, xlabel="threshold of fixed", xlim=(0.27, 0.98), ylim=limits)
            mark = curve.loc[curve["policy"] == active, "threshold"]
            vertical = upper.vlines(mark, *upper.get_ylim(), color=GREY, linewidth=1, label="in params.yaml")
            lower.set(xlabel=label, xlim=limits, ylim=(len(best) - 0.5, -0.5))
            lower.set_yticks(best.index, best["policy"] + np.where(best["policy"] == active, " *", ""))
            lower.tick_params(axis="y", length=0, labelleft=column == 0)
            for axis in (upper.yaxis, lower.xaxis):
                axis.set_major_formatter(number_format)
        draw_legend(figure, [*(line for panel in panels[0] for line in panel.get_lines()), vertical])
