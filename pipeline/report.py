"""Metrics, plots, explanations, parameters and the hashes in dvc.lock -> one HTML page."""

import argparse
from dataclasses import fields
from pathlib import Path

from fer.core.files import atomic_write_folder
from fer.reporting.page.report import ReportInputs, render_report
from fer.runtime.stage import run_stage


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in (*(field.name for field in fields(ReportInputs)), "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    args = vars(parser.parse_args())
    out = args.pop("out")
    text = render_report(ReportInputs(**args))
    with atomic_write_folder(out) as folder:
        (folder / "index.html").write_text(text, encoding="utf-8")
    print(f"open {out / 'index.html'} in a browser ({len(text) / 1e6:.1f} MB)")


if __name__ == "__main__":
    run_stage(main)
