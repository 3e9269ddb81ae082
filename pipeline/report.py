"""Metrics, pictures, parameters and what DVC noted of the inputs -> one page that tells all of it."""

import argparse
from dataclasses import fields
from pathlib import Path

from fer.core.files import replacing_folder
from fer.reporting.page.report import Inputs, page
from fer.runtime.stage import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in (*(field.name for field in fields(Inputs)), "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    args = vars(parser.parse_args())
    out = args.pop("out")
    text = page(Inputs(**args))
    with replacing_folder(out) as folder:
        (folder / "index.html").write_text(text, encoding="utf-8")
    print(f"open {out / 'index.html'} in a browser ({len(text) / 1e6:.1f} MB)")


if __name__ == "__main__":
    run(main)
