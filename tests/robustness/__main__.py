"""Try to break the project in every way that docs/reliability.md names, and write what was found into that page.

python -m tests.robustness [NAME ...]        # or `make harden`
python -m tests.robustness --tables          # runs none, reads tests/robustness/results
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.measuring import format_rows
from fer.core.files import read_json

FOLDER = Path(__file__).parent
DOCS_PAGE, RESULTS = FOLDER.parents[1] / "docs" / "reliability.md", FOLDER / "results"
HARNESSES = ("kill", "lies", "hostile", "fuzz", "mutations", "large", "history")


def table_row(figures: dict[str, Any]) -> dict[str, Any]:
    return {
        "command": f"`{figures['command']}`",
        "tried": ", ".join(f"{count:,} {name}" for name, count in figures["tried"].items()),
        "lost": figures["lost"],
        "minutes": f"{figures['seconds'] / 60:.1f}",
    }


def fill_tables(page: str) -> str:
    """The page with the figures of `RESULTS` between its marks."""
    results = {name: read_json(RESULTS / f"{name}.json") for name in HARNESSES if (RESULTS / f"{name}.json").is_file()}
    tables = {
        "figures": [table_row(figures) for figures in results.values()],
        "memory": results.get("large", {}).get("jobs", []),
    }
    for mark, rows in tables.items():
        if rows:
            table = f"<!-- {mark} -->\n\n{format_rows(rows)}\n\n<!-- end -->"
            page = re.sub(f"<!-- {mark} -->.*?<!-- end -->", lambda _, table=table: table, page, flags=re.DOTALL)
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(HARNESSES))
    parser.add_argument("--tables", action="store_true", help="run none")
    args = parser.parse_args()
    if unknown := set(args.names) - set(HARNESSES):
        parser.error(f"{', '.join(sorted(unknown))}: there are {', '.join(HARNESSES)}")
    failed = []
    for name in [] if args.tables else args.names or HARNESSES:
        print(f"{name}:", flush=True)
        command = [sys.executable, "-m", f"tests.robustness.{name}", "--out", str(RESULTS)]
        failed += [name] if subprocess.run(command, check=False).returncode else []
    DOCS_PAGE.write_text(fill_tables(DOCS_PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    if failed:
        sys.exit(f"something was lost, or went wrong: {', '.join(failed)}")


if __name__ == "__main__":
    main()
