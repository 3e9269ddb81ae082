"""All comparisons that a CPU can make, one after another, and their tables in benchmarks/README.md.

make bench
"""

import json
import re
import subprocess
import sys
from pathlib import Path

from benchmarks.measuring import markdown

HERE = Path(__file__).parent
RESULTS, PAGE = HERE / "results", HERE / "README.md"
COMPARISONS = ("training", "augmentation", "prediction", "ranks")
SCALES = {
    "ingest": ["--pictures", "5000", "--sizes", "1000", "10000"],
    "duplicates": ["--faces", "10000", "100000"],
    "pool": ["--sizes", "100000", "1000000", "--repeats", "1"],
}


def main() -> None:
    RESULTS.mkdir(exist_ok=True)
    for name in COMPARISONS:
        run(name, "--out", str(RESULTS))
    for name, sizes in SCALES.items():
        run(name, *sizes, "--out", str(RESULTS / f"{name}.json"))
    text = PAGE.read_text(encoding="utf-8")
    for name in COMPARISONS:
        parts = json.loads((RESULTS / f"{name}.json").read_text())["parts"]
        tables = "\n\n".join(f"**{part}**\n\n{markdown(rows)}" for part, rows in parts.items())
        text = filled(text, name, tables)
    PAGE.write_text(text, encoding="utf-8")


def run(name: str, *arguments: str) -> None:
    print(f"\n== {name}", flush=True)
    subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *arguments], check=True)


def filled(text: str, name: str, tables: str) -> str:
    """The page with `tables` between the marks of `name`."""
    marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    return marked.sub(lambda found: f"{found[1]}{tables}\n{found[2]}", text)


if __name__ == "__main__":
    main()
