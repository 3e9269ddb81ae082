"""Run the benchmarks on the CPU, all or those named, and write what was found into benchmarks/README.md.

python -m benchmarks [NAME ...]         # or `make bench`
python -m benchmarks --tables           # runs none, reads benchmarks/results
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

from benchmarks.measuring import markdown
from fer.core.files import read_json

HERE = Path(__file__).parent
PAGE, RESULTS = HERE / "README.md", HERE / "results"
RUNS = {
    "training": [],
    "augmentation": [],
    "prediction": [],
    "ranks": [],
    "ingest": ["--pictures", "5000", "--sizes", "1000", "10000"],
    "duplicates": ["--faces", "10000", "100000"],
    "pool": ["--repeats", "1"],
}


def section(name: str) -> str:
    """The tables of a benchmark, under the command and the machine that gave them."""
    found = read_json(RESULTS / f"{name}.json")
    about = found["machine"]
    lines = [f"    {found['command']}", "{device}, {cores} cores, {threads} threads, torch {torch}".format(**about)]
    for title, rows in found["tables"].items():
        lines += [f"**{title}**", markdown(rows)]
    if (RESULTS / f"{name}.png").is_file():
        lines.append(f"![{found['claim']}](results/{name}.png)")
    return "\n\n".join(lines)


def targets() -> str:
    files = sorted(RESULTS.glob("*.json"))
    rows = [row | {"met": "yes" if row["met"] else "no"} for path in files for row in read_json(path)["targets"]]
    return markdown(rows) if rows else "None measured yet."


def filled(page: str) -> str:
    """The page with what stands in `RESULTS` between its marks."""

    def between(mark: re.Match[str]) -> str:
        name = mark["name"]
        if name != "targets" and not (RESULTS / f"{name}.json").is_file():
            return mark[0]
        return f"<!-- {name} -->\n\n{targets() if name == 'targets' else section(name)}\n\n<!-- end -->"

    return re.sub(r"<!-- (?P<name>\w+) -->.*?<!-- end -->", between, page, flags=re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(RUNS))
    parser.add_argument("--tables", action="store_true", help="run none")
    args = parser.parse_args()
    if unknown := set(args.names) - RUNS.keys():
        parser.error(f"{', '.join(sorted(unknown))}: there are {', '.join(RUNS)}")
    for name in [] if args.tables else args.names or RUNS:
        print(f"\n{name}", flush=True)
        begun = [sys.executable, "-m", f"benchmarks.{name}", *RUNS[name], "--out", str(RESULTS)]
        subprocess.run(begun, env=os.environ | {"FER_DEVICE": "cpu"}, check=True)
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
