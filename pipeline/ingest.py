"""A source in its owner's layout -> its faces, labels, hidden truth, what was left out, and a report."""

import argparse
from pathlib import Path

from fer import params
from fer.datasets.accounts import in_words
from fer.datasets.detect import READERS, reader_named, recognise
from fer.datasets.ingesting import ingest
from fer.stages import run
from fer.tables import replacing_folder, write_json


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
        report = ingest(args.source, reader, place, rules, out)
        write_json(out / "report.json", report)
    print(*in_words(report), sep="\n  ")


if __name__ == "__main__":
    run(main)
