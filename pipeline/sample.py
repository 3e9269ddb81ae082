"""Seed and sizes -> the drawn faces, in the layouts of three owners."""

import argparse
from pathlib import Path

from fer.data.synthetic import sample
from fer.params import load_params
from fer.runtime.stage import run_stage


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write the three folders into")
    args = parser.parse_args()
    chosen = load_params()

    sizes = chosen.sample
    sample.write_sample(args.out, chosen.seed, labelled=sizes.labelled, tests=sizes.tests, photos=sizes.photos)


if __name__ == "__main__":
    run_stage(main)
