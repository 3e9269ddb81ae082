"""Faces and labels of all sources -> one array of faces, one table, the hidden truth and a report."""

import pandas as pd

from fer.core.files import atomic_write, read_json, write_json
from fer.core.store import concatenate_faces
from fer.core.table import write_csv
from fer.data.curation.unify import summarize_source_report, unify
from fer.params import load_params
from fer.runtime.stage import run_stage
from pipeline import parse_paths


def main() -> None:
    args = parse_paths(__doc__, "sources", "out")
    params = load_params()

    tables, reports = [], {}
    for source in params.sources:
        reports[source] = read_json(args.sources / source / "report.json")
        table = pd.read_csv(args.sources / source / "labels.csv", dtype=str, keep_default_na=False)
        truth = pd.read_csv(args.sources / source / "truth.csv", dtype=str, keep_default_na=False)
        tables.append(table.assign(source=source, truth=truth["emotion"]))
    with atomic_write(args.out / "faces.npy") as path:
        faces = concatenate_faces([args.sources / source / "faces.npy" for source in params.sources], path)
        table, truth, report = unify(
            pd.concat(tables, ignore_index=True), faces, params.emotions, params.unify, params.seed
        )
    write_csv(args.out / "table.csv", table)
    write_csv(args.out / "truth.csv", truth)
    report |= {"supplied": {source: summarize_source_report(reports[source]) for source in reports}}
    write_json(args.out / "report.json", report)


if __name__ == "__main__":
    run_stage(main)
