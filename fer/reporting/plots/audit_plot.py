"""The audit plot: how many pseudo-labels are right, and how they change the class balance."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from fer.reporting.plots.plots import GREY, INK, PALETTE, PERCENT_FORMAT, plot_file

TRUE_COLOUR, ESTIMATED_COLOUR = PALETTE[0], PALETTE[1]
MARKER_OFFSET = 0.14  # share of a row between its middle and a marker


def plot_audit(path: Path, audits: Mapping[int, Any]) -> None:
    """Plot two panels per round, each with a row per emotion.

    The left panel shows the true precision, where it is known, and the precision estimated from validation, with their
    intervals. The right panel shows the emotion's share of the training faces before and after pseudo-labelling.
    `audits` is the result of `complete_audits`.
    """
    inches = (3.6, 0.9 + 0.22 * max((len(audit["per_emotion"]) for audit in audits.values()), default=8))
    widths = {"width_ratios": [3, 2]}
    rows = max(len(audits), 1)
    with plot_file(path, "Are the pseudo-labels right?", rows, 2, inches, gridspec_kw=widths) as (figure, panels):
        figure.set_layout_engine("constrained", w_pad=0.1)
        for (precision, balance), (round_, audit) in zip(panels, audits.items(), strict=False):
            _draw_precision(precision, {"all": audit} | audit["per_emotion"])
            _draw_balance(balance, audit["per_emotion"])
            warning = ", pool unlike validation" if audit.get("shift", {}).get("shifted") else ""
            precision.set(title=f"round {round_}: {audit['accepted']:,} of {audit['unlabelled']:,} accepted{warning}")
            precision.set_xlabel("of the accepted, right")
            balance.set_xlabel("share of the training faces")
        if audits:
            _draw_legend(figure)


def _draw_precision(panel: Axes, rows: Mapping[str, Mapping[str, Any]]) -> None:
    for row, metrics in enumerate(rows.values()):
        for key, colour, offset in (
            ("precision", TRUE_COLOUR, -MARKER_OFFSET),
            ("estimated_precision", ESTIMATED_COLOUR, MARKER_OFFSET),
        ):
            if key in metrics and metrics.get("accepted"):
                interval = metrics[f"{key}_interval"]
                panel.plot([interval["low"], interval["high"]], [row + offset] * 2, color=colour, linewidth=1.2)
                fill = colour if key == "precision" else "white"
                panel.plot(metrics[key], row + offset, "o", color=colour, markerfacecolor=fill, markersize=5, zorder=3)
    panel.axhline(0.5, color=GREY, linewidth=0.8)
    _label_rows(panel, [f"{name} ({metrics.get('accepted', 0):,})" for name, metrics in rows.items()])
    panel.set_xlim(0, 1.02)


def _draw_balance(panel: Axes, rows: Mapping[str, Mapping[str, Any]]) -> None:
    for row, metrics in enumerate(rows.values(), start=1):
        labelled, extended = metrics["share_of_labelled"], metrics["share_with_pseudo_labels"]
        panel.plot([labelled, extended], [row] * 2, color=GREY, linewidth=1.2)
        panel.plot(labelled, row, "|", color=INK, markersize=9, markeredgewidth=1.6)
        panel.plot(extended, row, "D", color=PALETTE[2], markersize=4.5, zorder=3)
    _label_rows(panel, [""] * (len(rows) + 1))
    panel.set_xlim(0, None)


def _label_rows(panel: Axes, names: list[str]) -> None:
    panel.set_yticks(range(len(names)), names)
    panel.set_ylim(len(names) - 0.5, -0.5)
    panel.grid(visible=False, axis="y")
    panel.tick_params(axis="y", length=0)
    panel.xaxis.set_major_formatter(PERCENT_FORMAT)


def _draw_legend(figure: Any) -> None:
    dot: dict[str, Any] = {"linewidth": 1.2, "marker": "o", "markersize": 5}
    figure.legend(
        handles=[
            Line2D([], [], color=TRUE_COLOUR, label="in truth", **dot),
            Line2D(
                [], [], color=ESTIMATED_COLOUR, markerfacecolor="white", label="as estimated from validation", **dot
            ),
            Line2D([], [], color=INK, marker="|", markersize=9, markeredgewidth=1.6, linestyle="", label="labelled"),
            Line2D([], [], color=PALETTE[2], marker="D", markersize=4.5, linestyle="", label="and with pseudo-labels"),
        ],
        loc="outside lower center",
        ncols=4,
    )
