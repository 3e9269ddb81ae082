"""What the comparisons share: sides measured in turn, their ratios, and how these are told.

Every repeat runs each side once, in one process; a ratio is of two rates of the same repeat. The first repeat warms up.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes

from fer.plots import FAINT, INK, PALETTE, picture

REPEATS = 5
Side = Callable[[], int]  # does the work, and says how many faces it was


def arguments(about: str | None, name: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--out", type=Path, help=f"folder for {name}.json and {name}.png")
    return parser


def rates(sides: Mapping[str, Side], repeats: int) -> dict[str, list[float]]:
    """Faces in a second, for each side a number for each repeat."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for repeat in range(repeats + 1):
        for name, work in sides.items():
            start = time.perf_counter()
            done = work()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if repeat:
                found[name].append(done / (time.perf_counter() - start))
    return found


def compared(found: Mapping[str, list[float]], baseline: str) -> list[dict[str, Any]]:
    """A row for each side: median rate, its lowest and highest, and the same of its ratio to `baseline`."""
    rows = []
    for name, each in found.items():
        ratios = [one / other for one, other in zip(each, found[baseline], strict=True)]
        rows.append(
            {"side": name, "rate": statistics.median(each), "lowest": min(each), "highest": max(each)}
            | {"ratio": statistics.median(ratios), "lowest_ratio": min(ratios), "highest_ratio": max(ratios)}
        )
    return rows


def machine() -> dict[str, Any]:
    """What the figures depend on, without the machine's name."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": gpu,
        "torch": torch.__version__,
        "tf32": torch.backends.cuda.matmul.allow_tf32,
        "python": platform.python_version(),
    }


def tell(out: Path | None, name: str, about: Mapping[str, Any], parts: Mapping[str, list[dict[str, Any]]]) -> None:
    """Print the rows of each part; with a folder `out`, write `name`.json and `name`.png there."""
    for part, rows in parts.items():
        print(f"\n{part}\n{markdown(rows)}")
    if out:
        out.mkdir(parents=True, exist_ok=True)
        content = {"machine": machine(), **about, "parts": parts}
        (out / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")
        draw(out / f"{name}.png", str(about["claim"]), parts)


def markdown(rows: list[dict[str, Any]]) -> str:
    lines = ["| | faces/s | lowest to highest | ratio | lowest to highest |", "|---|---:|---:|---:|---:|"]
    for row in rows:
        lines.append(
            "| {side} | {rate:,.0f} | {lowest:,.0f} to {highest:,.0f} | {ratio:.2f} | "
            "{lowest_ratio:.2f} to {highest_ratio:.2f} |".format(**row)
        )
    return "\n".join(lines)


def draw(path: Path, claim: str, parts: Mapping[str, list[dict[str, Any]]]) -> None:
    """Bars of the rates, a panel for each part, with the ratio written at each."""
    height = 0.75 + 0.36 * max(len(rows) for rows in parts.values())
    with picture(path, claim, 1, len(parts), (4.6 * len(parts), height)) as (_, panels):
        for (part, rows), panel in zip(parts.items(), panels[0], strict=True):
            _bars(panel, part, rows)


def _bars(panel: Axes, title: str, rows: list[dict[str, Any]]) -> None:
    names, values = [row["side"] for row in rows], [row["rate"] for row in rows]
    colours = [PALETTE[0] if name.startswith("ours") else FAINT for name in names]
    places = range(len(rows), 0, -1)
    panel.barh(places, values, color=colours, height=0.62)
    for place, row in zip(places, rows, strict=True):
        panel.hlines(place, row["lowest"], row["highest"], color=INK, linewidth=1)
        words = f"{row['rate']:,.0f}  (×{row['ratio']:.2f})"
        panel.annotate(words, (row["highest"], place), (5, 0), textcoords="offset points", va="center", size=8)
    panel.set_yticks(list(places), names)
    panel.set(title=title, xlabel="faces in a second", xlim=(0, 1.45 * max(row["highest"] for row in rows)))
    panel.grid(visible=False, axis="y")
    panel.tick_params(axis="y", length=0)


def _processor() -> str:
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
