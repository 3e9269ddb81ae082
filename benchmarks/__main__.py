"""Run the benchmarks on the CPU and write their results into benchmarks/README.md.

python -m benchmarks [NAME ...]         # default: all, as `make bench` does
python -m benchmarks --tables           # run none, read benchmarks/results
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

from benchmarks.measuring import format_rows
from fer.core.files import read_json

BENCHMARKS_FOLDER = Path(__file__).parent
README, RESULTS_FOLDER = BENCHMARKS_FOLDER / "README.md", BENCHMARKS_FOLDER / "results"
BENCHMARK_ARGUMENTS = {
    "training": [],
    "augmentation": [],
    "prediction": [],
    "ranks": [],
    "ingest": ["--pictures", "5000", "--sizes", "1000", "10000"],
    "duplicates": ["--faces", "10000", "100000"],
    "pool": ["--repeats", "1"],
}


def format_section(name: str) -> str:
    """Return the tables of a benchmark, below its command and machine."""
    results = read_json(RESULTS_FOLDER / f"{name}.json")
    machine = "{device}, {cores} cores, {threads} threads, torch {torch}".format(**results["machine"])
    lines = [f"    {results['command']}", machine]
    for title, rows in results["tables"].items():
        lines += [f"**{title}**", format_rows(rows)]
    if (RESULTS_FOLDER / f"{name}.png").is_file():
        lines.append(f"![{results['claim']}](results/{name}.png)")
    return "\n\n".join(lines)


def format_targets() -> str:
    files = sorted(RESULTS_FOLDER.glob("*.json"))
    rows = [row | {"met": "yes" if row["met"] else "no"} for path in files for row in read_json(path)["targets"]]
    return format_rows(rows) if rows else "None measured yet."


def fill_page(page: str) -> str:
    """Return the page with the results of `RESULTS_FOLDER` between its markers."""

    def fill(match: re.Match[str]) -> str:
        name = match["name"]
        if name != "targets" and not (RESULTS_FOLDER / f"{name}.json").is_file():
            return match[0]
        return f"<!-- {name} -->\n\n{format_targets() if name == 'targets' else format_section(name)}\n\n<!-- end -->"

    return re.sub(r"<!-- (?P<name>\w+) -->.*?<!-- end -->", fill, page, flags=re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARK_ARGUMENTS))
    parser.add_argument("--tables", action="store_true", help="run no benchmark")
    args = parser.parse_args()
    if unknown := set(args.names) - BENCHMARK_ARGUMENTS.keys():
        parser.error(f"{', '.join(sorted(unknown))}: no such benchmark; use {', '.join(BENCHMARK_ARGUMENTS)}")
    for name in [] if args.tables else args.names or BENCHMARK_ARGUMENTS:
        print(f"\n{name}", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}", *BENCHMARK_ARGUMENTS[name], "--out", str(RESULTS_FOLDER)]
        subprocess.run(command, env=os.environ | {"FER_DEVICE": "cpu"}, check=True)
    README.write_text(fill_page(README.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
