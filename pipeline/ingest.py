"""A source in its original layout -> its faces, labels, hidden truth, list of skipped items, and report."""

import argparse
from pathlib import Path

from fer.core.files import atomic_write_folder, write_json
from fer.data.ingest.detect import READERS, detect_layout, find_reader
from fer.data.ingest.ingest import ingest
from fer.data.ingest.report import format_ingest_report
from fer.params import load_params
from fer.runtime.stage import run_stage


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("--root", type=Path, required=True, help="folder with the files of the source")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    params = load_params()

    name = params.ingest.readers.get(args.source)
    reader, root = detect_layout(args.root, [find_reader(name)] if name else READERS)
    with atomic_write_folder(args.out) as out:
        report = ingest(args.source, reader, root, params.ingest, out)
        write_json(out / "report.json", report)
    print(*format_ingest_report(report), sep="\n  ")


if __name__ == "__main__":
    run_stage(main)
