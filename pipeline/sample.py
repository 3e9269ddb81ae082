"""Seed and sample sizes -> drawn faces in the layouts of three datasets."""

import argparse
from pathlib import Path

from fer.data.synthetic import sample
from fer.params import load_params
from fer.runtime.stage import run_stage


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="parent of the three folders")
    args = parser.parse_args()
    params = load_params()

    sizes = params.sample
    sample.write_sample(args.out, params.seed, labelled=sizes.labelled, tests=sizes.tests, photos=sizes.photos)


if __name__ == "__main__":
    run_stage(main)
