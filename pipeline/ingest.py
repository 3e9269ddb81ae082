"""A source in its owner's layout -> its faces, labels, hidden truth, what was left out, and a report."""

import argparse
from pathlib import Path

from fer.core.files import replacing_folder, write_json
from fer.data.ingest.detect import READERS, reader_named, recognise
from fer.data.ingest.ingest import ingest
from fer.data.ingest.report import in_words
from fer.params import load_params
from fer.runtime.stage import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("--root", type=Path, required=True, help="folder with the owner's files")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    rules = load_params().ingest

    named = rules.readers.get(args.source)
    reader, place = recognise(args.root, [reader_named(named)] if named else READERS)
    with replacing_folder(args.out) as out:
        report = ingest(args.source, reader, place, rules, out)
        write_json(out / "report.json", report)
    print(*in_words(report), sep="\n  ")


if __name__ == "__main__":
    run(main)
