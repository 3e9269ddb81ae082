"""Metrics, plots, explanations, parameters and the hashes in dvc.lock -> one HTML page."""

from dataclasses import fields

from fer.core.files import atomic_write_folder
from fer.reporting.page.report import ReportInputs, render_report
from fer.runtime.stage import run_stage
from pipeline import parse_paths


def main() -> None:
    args = vars(parse_paths(__doc__, *(field.name for field in fields(ReportInputs)), "out"))
    out = args.pop("out")
    text = render_report(ReportInputs(**args))
    with atomic_write_folder(out) as folder:
        (folder / "index.html").write_text(text, encoding="utf-8")
    print(f"open {out / 'index.html'} in a browser ({len(text) / 1e6:.1f} MB)")


if __name__ == "__main__":
    run_stage(main)
