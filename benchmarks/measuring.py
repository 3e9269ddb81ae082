"""Shared code of the benchmarks: measure workloads in turn, compute their ratios, write the results.

In every repeat each workload runs once, all in one process. A ratio is of two rates of the same repeat. The first
repeat is a warm-up and does not count.
"""

import argparse
import math
import os
import platform
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from torch import nn

from fer.core.files import write_json
from fer.core.formatting import markdown_table
from fer.nn import weights
from fer.nn.devices import default_device
from fer.params import load_params
from fer.reporting.plots.plots import GREY, INK, PALETTE, plot_file
from fer.runtime.parallel import count_cores

NETWORK, EXPECTED_PARAMETERS, SIZE = "improved_se", 5_232_071, 48
Workload = Callable[[], int]  # returns the amount of work, such as the number of faces
Row = dict[str, Any]


def make_parser(description: str | None, repeats: int = 5) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=repeats)
    parser.add_argument("--out", type=Path, help="folder for the results (.json) and the plot (.png)")
    return parser


def measure_rates(workloads: Mapping[str, Workload], repeats: int) -> dict[str, list[float]]:
    """Return the amount of work per second of each workload, in each repeat."""
    rates: dict[str, list[float]] = {name: [] for name in workloads}
    for repeat in range(repeats + 1):
        for name, work in workloads.items():
            start = time.perf_counter()
            amount = work()
            if default_device().type == "cuda":
                torch.cuda.synchronize()
            if repeat:
                rates[name].append(amount / (time.perf_counter() - start))
    return rates


def summarize_rates(rates: Mapping[str, Sequence[float]], baseline: str) -> list[Row]:
    """Return the median, lowest and highest rate of each workload, and of its ratio to the workload `baseline`."""
    rows = []
    for name, values in rates.items():
        ratios = [rate / reference for rate, reference in zip(values, rates[baseline], strict=True)]
        row = {"way": name, "per_second": statistics.median(values), "lowest": min(values), "highest": max(values)}
        row |= {"ratio": statistics.median(ratios), "lowest_ratio": min(ratios), "highest_ratio": max(ratios)}
        rows.append(row)
    return rows


def median_ratio(numerator: Sequence[float], denominator: Sequence[float]) -> float:
    """Return the median over the repeats of the ratio of two workloads' rates."""
    return statistics.median(a / b for a, b in zip(numerator, denominator, strict=True))


def check_target(target: str, measured: float, *, minimum: float = 0, maximum: float = math.inf) -> Row:
    bound = f"at least {minimum}" if minimum else f"at most {maximum}"
    return {"target": target, "wanted": bound, "measured": measured, "met": minimum <= measured <= maximum}


def write_results(
    out: Path | None, name: str, claim: str, facts: Mapping[str, Any], tables: Mapping[str, list[Row]], *targets: Row
) -> None:
    """Print the tables; with a folder `out`, write `name`.json, and `name`.png of the tables that have ratios."""
    for title, rows in tables.items():
        print(f"\n{title}\n\n{format_rows(rows)}")
    for target in targets:
        print("\n{target}: {measured:.2f}, wanted {wanted}".format(**target))
    if not out:
        return
    position = sys.argv.index("--out")
    command = shlex.join(["python", "-m", f"benchmarks.{name}", *sys.argv[1:position], *sys.argv[position + 2 :]])
    content = {"claim": claim, "command": command, "machine": describe_machine(), "facts": facts, "tables": tables}
    write_json(out / f"{name}.json", content | {"targets": targets})
    if with_ratios := {title: rows for title, rows in tables.items() if "ratio" in rows[0]}:
        draw_rates(out / f"{name}.png", claim, with_ratios)


def describe_machine() -> Row:
    """Return the properties of the machine that rates depend on, without its name."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    processor = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    facts = {"device": processor, "cores": count_cores(), "threads": torch.get_num_threads()}
    if default_device().type == "cuda":
        tf32 = {"matmul": torch.backends.cuda.matmul.allow_tf32, "cudnn": torch.backends.cudnn.allow_tf32}
        facts |= {"device": torch.cuda.get_device_name(), "tf32": tf32}
    openmp = {name: value for name, value in os.environ.items() if name.startswith(("OMP_", "GOMP_"))}
    return facts | {"openmp": openmp, "torch": torch.__version__, "python": platform.python_version()}


def format_rows(rows: Sequence[Row]) -> str:
    """Return a Markdown table with the keys as column heads and numbers to three digits."""
    left_columns = [index for index, value in enumerate(rows[0].values()) if not isinstance(value, int | float)]
    head = [key.replace("_", " ") for key in rows[0]]
    return markdown_table(head, [[_format_cell(value) for value in row.values()] for row in rows], left_columns)


def draw_rates(path: Path, claim: str, tables: Mapping[str, list[Row]]) -> None:
    """Draw bars of the rates, labelled with their ratios, in one panel for each table."""
    heights = [len(rows) + 1.6 for rows in tables.values()]
    inches = 0.27 * sum(heights) / len(tables)
    with plot_file(path, claim, len(tables), 1, (6.8, inches), gridspec_kw={"height_ratios": heights}) as (_, panels):
        for (title, rows), panel in zip(tables.items(), panels[:, 0], strict=True):
            _draw_bars(panel, title, rows)


def build_network(seed: int) -> nn.Module:
    """Return the network of the benchmarks on the default device, with weights drawn from `seed`."""
    params = load_params()
    config = weights.ModelConfig(
        network=NETWORK, emotions=tuple(params.emotions), size=SIZE, dropout=params.train.dropout, input_px=None
    )
    torch.manual_seed(seed)
    network = config.build()
    count = weights.count_parameters(network)[0]
    assert count == EXPECTED_PARAMETERS, f"{NETWORK} has {count} parameters, not {EXPECTED_PARAMETERS}: another network"
    return network.to(default_device())


def _draw_bars(panel: Axes, title: str, rows: Sequence[Row]) -> None:
    positions = range(len(rows), 0, -1)
    colours = [PALETTE[0] if row["way"].startswith("ours") else GREY for row in rows]
    panel.barh(positions, [row["per_second"] for row in rows], color=colours, height=0.66)
    for y, row in zip(positions, rows, strict=True):
        panel.hlines(y, row["lowest"], row["highest"], color=INK, linewidth=1)
        label = f"{_format_cell(row['per_second'])}  (× {row['ratio']:.2f})"
        panel.annotate(label, (row["highest"], y), (5, 0), textcoords="offset points", va="center")
    panel.set_yticks(list(positions), [row["way"] for row in rows])
    panel.set(title=title, xlim=(0, 1.35 * max(row["highest"] for row in rows)))
    panel.xaxis.set_major_formatter("{x:,.0f}")
    panel.grid(visible=False, axis="y")
    panel.tick_params(axis="y", length=0)


def _format_cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
