"""The picture of the audit: how many pseudo-labels are right, and what they do to the balance of the emotions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from fer.reporting.plots.plots import GREY, INK, PALETTE, PERCENT_FORMAT, plot_file

TRUE_COLOUR, ESTIMATED_COLOUR = PALETTE[0], PALETTE[1]
MARKER_OFFSET = 0.14  # of a row, above and below its middle


def plot_audit(path: Path, audits: Mapping[int, Any]) -> None:
    """A row of two panels for each round, in them a row for each emotion.

    Left the precision, true where it is known and as estimated from validation, with their intervals; right the
    emotion's share of the training faces before and after. `audits` is what `auditing.completed` returns.
    """
    inches = (3.6, 0.9 + 0.22 * max((len(audit["per_emotion"]) for audit in audits.values()), default=8))
    widths = {"width_ratios": [3, 2]}
    rows = max(len(audits), 1)
    with plot_file(path, "Are the pseudo-labels right?", rows, 2, inches, gridspec_kw=widths) as (figure, panels):
        figure.set_layout_engine("constrained", w_pad=0.1)
        for (left, right), (round_, audit) in zip(panels, audits.items(), strict=False):
            rows_of = {"all": audit} | audit["per_emotion"]
            _draw_precision(left, rows_of)
            _draw_balance(right, audit["per_emotion"])
            unlike = ", pool unlike validation" if audit.get("shift", {}).get("shifted") else ""
            left.set(title=f"round {round_}: {audit['accepted']:,} of {audit['unlabelled']:,} accepted{unlike}")
            left.set_xlabel("of the accepted, right")
            right.set_xlabel("share of the training faces")
        if audits:
            _draw_legend(figure)


def _draw_precision(panel: Axes, rows: Mapping[str, Mapping[str, Any]]) -> None:
    for place, figures in enumerate(rows.values()):
        for key, colour, up in (
            ("precision", TRUE_COLOUR, -MARKER_OFFSET),
            ("estimated_precision", ESTIMATED_COLOUR, MARKER_OFFSET),
        ):
            if key in figures and figures.get("accepted"):
                ends = figures[f"{key}_interval"]
                panel.plot([ends["low"], ends["high"]], [place + up] * 2, color=colour, linewidth=1.2)
                fill = colour if key == "precision" else "white"
                panel.plot(figures[key], place + up, "o", color=colour, markerfacecolor=fill, markersize=5, zorder=3)
    panel.axhline(0.5, color=GREY, linewidth=0.8)
    names = [f"{name} ({figures.get('accepted', 0):,})" for name, figures in rows.items()]
    _label_rows(panel, names)
    panel.set_xlim(0, 1.02)


def _draw_balance(panel: Axes, rows: Mapping[str, Mapping[str, Any]]) -> None:
    for place, figures in enumerate(rows.values(), start=1):
        before, after = figures["share_of_labelled"], figures["share_with_pseudo_labels"]
        panel.plot([before, after], [place] * 2, color=GREY, linewidth=1.2)
        panel.plot(before, place, "|", color=INK, markersize=9, markeredgewidth=1.6)
        panel.plot(after, place, "D", color=PALETTE[2], markersize=4.5, zorder=3)
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
