"""`fer predict`: pictures of faces -> a CSV with a row each."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "predict",
        help="name the apparent expression on pictures of faces",
        description="Name the apparent expression on pictures, each a face that fills it. Prints a CSV, a row for each "
        "picture; one that can't be read has the reason as its status.",
    )
    parser.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE", help="image files, or folders of them")
    parser.add_argument("--model", type=Path, default=Path("data/package"), help="a package (default: %(default)s)")
    parser.add_argument("-o", "--out", type=Path, help="file to write (default: standard output)")
    parser.set_defaults(call=predict)


def predict(args: argparse.Namespace) -> None:
    # torch takes seconds to import: `fer --help` must not wait for it
    import sys

    import numpy as np
    import pandas as pd
    from tqdm import tqdm

    from fer import packaging
    from fer.faces import UndecodableError, decode
    from fer.inference import device
    from fer.tables import guarded, write_csv

    predictor = packaging.load(args.model, device())
    about = predictor.about
    faces, rows = [], []
    for path in tqdm(list(pictures(args.pictures)), unit="picture", disable=None):
        try:
            faces.append(decode(path, about.size))
            rows.append({"source": str(path), "status": "ok"})
        except UndecodableError as error:
            rows.append({"source": str(path), "status": error.reason})
    table = pd.DataFrame(rows, columns=["source", "status"])
    probs = predictor(np.array(faces, dtype=np.uint8).reshape(-1, about.size, about.size)).astype(np.float64).round(6)
    read = np.flatnonzero(table["status"] == "ok")
    best = probs.argmax(axis=1)
    needed = np.array([about.thresholds[emotion] for emotion in about.emotions])[best]
    table.loc[read, "label"] = np.array(about.emotions, dtype=object)[best]
    table.loc[read, "confidence"] = probs.max(axis=1)
    table.loc[read, "accepted"] = probs.max(axis=1) >= needed
    for code, emotion in enumerate(about.emotions):
        table.loc[read, f"p_{emotion}"] = probs[:, code]
    table["source"] = guarded(table["source"])
    if args.out:
        write_csv(args.out, table)
    else:
        table.to_csv(sys.stdout, index=False)


def pictures(paths: list[Path]) -> Iterator[Path]:
    """The files among `paths` and all files in the folders among them, sorted."""
    for path in paths:
        yield from sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
