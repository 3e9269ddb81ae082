"""The audit plot: how many pseudo-labels are right, and how they change the class balance."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from fer.reporting.plots.plots import GREY, INK, PALETTE, PERCENT_FORMAT, draw_legend, plot_file

MARKER_OFFSET = 0.14  # share of a row between its middle and a marker


def plot_audit(path: Path, audits: Mapping[int, Any]) -> None:
    """Plot two panels per round, each with a row per emotion.

    The left panel shows the true precision, where it is known, and the precision estimated from validation, with their
    intervals. The right panel shows the emotion's share of the training faces before and after pseudo-labelling.
    `audits` is the result of `complete_audits`.
    """
    inches = (3.6, 0.9 + 0.22 * max((len(audit["per_emotion"]) for audit in audits.values()), default=8))
    rows = max(len(audits), 1)
    title = "Are the pseudo-labels right?"
    with plot_file(path, title, rows, 2, inches, sharey="row", width_ratios=[3, 2]) as (figure, panels):
        figure.set_layout_engine("constrained", w_pad=0.1)
        for (precision, balance), (round_, audit) in zip(panels, audits.items(), strict=False):
            emotions = {"all": audit} | audit["per_emotion"]
            _draw_precision(precision, [*emotions.values()])
            _draw_balance(balance, [*audit["per_emotion"].values()])
            warning = ", pool unlike validation" if audit.get("shift", {}).get("shifted") else ""
            precision.set(title=f"round {round_}: {audit['accepted']:,} of {audit['unlabelled']:,} accepted{warning}")
            names = [f"{name} ({metrics.get('accepted', 0):,})" for name, metrics in emotions.items()]
            precision.set_yticks(range(len(names)), names)
            precision.set_ylim(len(names) - 0.5, -0.5)
            for panel in (precision, balance):
                panel.grid(visible=False, axis="y")
                panel.tick_params(axis="y", length=0)
                panel.xaxis.set_major_formatter(PERCENT_FORMAT)
        handles = [handle for panel in panels[0] for handle in panel.get_legend_handles_labels()[0]]
        draw_legend(figure, handles)


def _draw_precision(panel: Axes, rows: list[Mapping[str, Any]]) -> None:
    for key, label, colour, fill, offset in (
        ("precision", "in truth", PALETTE[0], PALETTE[0], -MARKER_OFFSET),
        ("estimated_precision", "as estimated from validation", PALETTE[1], "white", MARKER_OFFSET),
    ):
        measured = {
            row + offset: metrics for row, metrics in enumerate(rows) if key in metrics and metrics.get("accepted")
        }
        low, high = ([metrics[f"{key}_interval"][end] for metrics in measured.values()] for end in ("low", "high"))
        panel.hlines([*measured], low, high, color=colour, linewidth=1.2)
        values = [metrics[key] for metrics in measured.values()]
        panel.plot(values, [*measured], "o", color=colour, markerfacecolor=fill, markersize=5, zorder=3, label=label)
    panel.axhline(0.5, color=GREY, linewidth=0.8)
    panel.set(xlim=(0, 1.02), xlabel="of the accepted, right")


def _draw_balance(panel: Axes, rows: list[Mapping[str, Any]]) -> None:
    labelled, extended = ([row[key] for row in rows] for key in ("share_of_labelled", "share_with_pseudo_labels"))
    positions = range(1, len(rows) + 1)
    panel.hlines(positions, labelled, extended, color=GREY, linewidth=1.2)
    panel.plot(labelled, positions, "|", color=INK, markersize=9, markeredgewidth=1.6, label="labelled")
    panel.plot(extended, positions, "D", color=PALETTE[2], markersize=4.5, zorder=3, label="and with pseudo-labels")
    panel.set(xlim=(0, None), xlabel="share of the training faces")
