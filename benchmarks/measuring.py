"""What the benchmarks share: ways measured in turn, their ratios, and how these are told.

In every repeat each way runs once, all in one process; a ratio is of two rates of the same repeat. The first warms up.
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
from fer.nn.inference import default_device
from fer.params import load_params
from fer.reporting.plots.plots import GREY, INK, PALETTE, plot_file
from fer.runtime.parallel import count_cores

NETWORK, EXPECTED_PARAMETERS, SIZE = "improved_se", 5_232_071, 48
Workload = Callable[[], int]  # does the work, and says how much it was: the number of faces, say
Row = dict[str, Any]


def make_parser(description: str | None, repeats: int = 5) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=repeats)
    parser.add_argument("--out", type=Path, help="a folder for figures (.json) and picture (.png)")
    return parser


def measure_rates(workloads: Mapping[str, Workload], repeats: int) -> dict[str, list[float]]:
    """How much was done in a second: for each way a number for each repeat."""
    found: dict[str, list[float]] = {name: [] for name in workloads}
    for repeat in range(repeats + 1):
        for name, work in workloads.items():
            start = time.perf_counter()
            done = work()
            if default_device().type == "cuda":
                torch.cuda.synchronize()
            if repeat:
                found[name].append(done / (time.perf_counter() - start))
    return found


def summarize_rates(rates: Mapping[str, Sequence[float]], baseline: str) -> list[Row]:
    """Median, lowest and highest rate of each way, and the same of its ratio to `baseline`."""
    rows = []
    for name, each in rates.items():
        ratios = [one / other for one, other in zip(each, rates[baseline], strict=True)]
        row = {"way": name, "per_second": statistics.median(each), "lowest": min(each), "highest": max(each)}
        row |= {"ratio": statistics.median(ratios), "lowest_ratio": min(ratios), "highest_ratio": max(ratios)}
        rows.append(row)
    return rows


def median_ratio(numerator: Sequence[float], denominator: Sequence[float]) -> float:
    """Of two ways, by their rates in each repeat."""
    return statistics.median(one / other for one, other in zip(numerator, denominator, strict=True))


def check_target(claim: str, measured: float, *, least: float = 0, most: float = math.inf) -> Row:
    wanted = f"at least {least}" if least else f"at most {most}"
    return {"target": claim, "wanted": wanted, "measured": measured, "met": least <= measured <= most}


def write_results(
    out: Path | None, name: str, claim: str, facts: Mapping[str, Any], tables: Mapping[str, list[Row]], *targets: Row
) -> None:
    """Print the tables; with a folder `out`, write `name`.json there, and `name`.png of the tables that have ratios."""
    for title, rows in tables.items():
        print(f"\n{title}\n\n{format_rows(rows)}")
    for one in targets:
        print("\n{target}: {measured:.2f}, wanted {wanted}".format(**one))
    if not out:
        return
    place = sys.argv.index("--out")
    command = shlex.join(["python", "-m", f"benchmarks.{name}", *sys.argv[1:place], *sys.argv[place + 2 :]])
    content = {"claim": claim, "command": command, "machine": describe_machine(), "facts": facts, "tables": tables}
    write_json(out / f"{name}.json", content | {"targets": targets})
    if with_ratios := {title: rows for title, rows in tables.items() if "ratio" in rows[0]}:
        draw_rates(out / f"{name}.png", claim, with_ratios)


def describe_machine() -> Row:
    """What figures depend on, without the machine's name."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text(encoding="utf-8").splitlines() if about.is_file() else []
    processor = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    facts = {"device": processor, "cores": count_cores(), "threads": torch.get_num_threads()}
    if default_device().type == "cuda":
        tf32 = {"matmul": torch.backends.cuda.matmul.allow_tf32, "cudnn": torch.backends.cudnn.allow_tf32}
        facts |= {"device": torch.cuda.get_device_name(), "tf32": tf32}
    openmp = {name: value for name, value in os.environ.items() if name.startswith(("OMP_", "GOMP_"))}
    return facts | {"openmp": openmp, "torch": torch.__version__, "python": platform.python_version()}


def format_rows(rows: Sequence[Row]) -> str:
    """A table with the keys as heads, numbers to three digits."""
    left = [index for index, value in enumerate(rows[0].values()) if not isinstance(value, int | float)]
    head = [key.replace("_", " ") for key in rows[0]]
    return markdown_table(head, [[_format_cell(value) for value in row.values()] for row in rows], left)


def draw_rates(path: Path, claim: str, tables: Mapping[str, list[Row]]) -> None:
    """Bars of the rates, a panel for each table, with the ratio written at each."""
    heights = [len(rows) + 1.6 for rows in tables.values()]
    inches = 0.27 * sum(heights) / len(tables)
    with plot_file(path, claim, len(tables), 1, (6.8, inches), gridspec_kw={"height_ratios": heights}) as (_, panels):
        for (title, rows), panel in zip(tables.items(), panels[:, 0], strict=True):
            _draw_bars(panel, title, rows)


def build_network(seed: int) -> nn.Module:
    """The network of the benchmarks, on the device, with weights drawn from `seed`."""
    chosen = load_params()
    facts = weights.ModelConfig(
        network=NETWORK, emotions=tuple(chosen.emotions), size=SIZE, dropout=chosen.train.dropout, input_px=None
    )
    torch.manual_seed(seed)
    network = facts.build()
    found = weights.count_parameters(network)[0]
    assert found == EXPECTED_PARAMETERS, f"{NETWORK} has {found} parameters, not {EXPECTED_PARAMETERS}: another network"
    return network.to(default_device())


def _draw_bars(panel: Axes, title: str, rows: Sequence[Row]) -> None:
    places = range(len(rows), 0, -1)
    colours = [PALETTE[0] if row["way"].startswith("ours") else GREY for row in rows]
    panel.barh(places, [row["per_second"] for row in rows], color=colours, height=0.66)
    for place, row in zip(places, rows, strict=True):
        panel.hlines(place, row["lowest"], row["highest"], color=INK, linewidth=1)
        words = f"{_format_cell(row['per_second'])}  (× {row['ratio']:.2f})"
        panel.annotate(words, (row["highest"], place), (5, 0), textcoords="offset points", va="center")
    panel.set_yticks(list(places), [row["way"] for row in rows])
    panel.set(title=title, xlim=(0, 1.35 * max(row["highest"] for row in rows)))
    panel.xaxis.set_major_formatter("{x:,.0f}")
    panel.grid(visible=False, axis="y")
    panel.tick_params(axis="y", length=0)


def _format_cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
