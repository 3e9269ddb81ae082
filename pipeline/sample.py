"""seed -> data/raw/sample_fer2013, sample_rafdb, sample_photos: drawn faces in three owners' layouts."""

import argparse
from pathlib import Path

from fer import errors, params, sample


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write the three folders into")
    out = parser.parse_args().out
    numbers = params.load()
    sizes = numbers.sample
    sample.write(out, numbers.seed, labelled=sizes.labelled, tests=sizes.tests, photos=sizes.photos)


if __name__ == "__main__":
    errors.run(main)
