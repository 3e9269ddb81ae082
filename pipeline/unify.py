"""All sources' faces and labels -> one array of faces, one table, the hidden truth and a report."""

import argparse
from pathlib import Path

import pandas as pd

from fer import params
from fer.errors import run
from fer.faces import concatenate
from fer.tables import read_json, replacing, write_csv, write_json
from fer.unification import unify


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sources", type=Path, required=True, help="folder with what ingest wrote for each source")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    chosen = params.load()

    tables, supplied = [], {}
    for source in chosen.sources:
        about = read_json(args.sources / source / "report.json")
        dropped = {reason: found["count"] for reason, found in about["dropped"].items()}
        kept = {key: about[key] for key in ("reader", "faces", "mean", "std", "notes")}
        supplied[source] = kept | {"dropped": dropped}
        table = pd.read_csv(args.sources / source / "labels.csv", dtype=str, keep_default_na=False)
        truth = pd.read_csv(args.sources / source / "truth.csv", dtype=str, keep_default_na=False)
        tables.append(table.assign(source=source, truth=truth["emotion"]))
    with replacing(args.out / "faces.npy") as path:
        faces = concatenate([args.sources / source / "faces.npy" for source in chosen.sources], path)
        table, truth, report = unify(
            pd.concat(tables, ignore_index=True), faces, chosen.emotions, chosen.unify, chosen.seed
        )
    write_csv(args.out / "table.csv", table)
    write_csv(args.out / "truth.csv", truth)
    write_json(args.out / "report.json", report | {"supplied": supplied})


if __name__ == "__main__":
    run(main)
