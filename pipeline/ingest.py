"""A source in its owner's layout -> its faces, labels, hidden truth and report."""

import argparse
from pathlib import Path

from fer import params
from fer.datasets.detect import READERS, reader_named, recognise
from fer.datasets.ingesting import ingest
from fer.errors import run
from fer.faces import appending
from fer.tables import replacing_folder, write_csv, write_json


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("--root", type=Path, required=True, help="folder with the owner's files")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    rules = params.load().ingest

    named = rules.readers.get(args.source)
    reader, place = recognise(args.root, [reader_named(named)] if named else READERS)
    with replacing_folder(args.out) as out:
        with appending(out / "faces.npy", rules.size) as append:
            labels, truth, report = ingest(args.source, reader, place, rules.size, rules.max_dropped, append)
        write_csv(out / "labels.csv", labels)
        write_csv(out / "truth.csv", truth)
        write_json(out / "report.json", report)
    print(f"{args.source}: {report['faces']:,} faces by {report['reader']}", *report["notes"], sep="\n  ")


if __name__ == "__main__":
    run(main)
