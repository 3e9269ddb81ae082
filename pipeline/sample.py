"""Seed and sample sizes -> drawn faces in the layouts of three datasets."""

from fer.data.synthetic import sample
from fer.params import load_params
from fer.runtime.stage import run_stage
from pipeline import parse_paths


def main() -> None:
    args = parse_paths(__doc__, "out")
    params = load_params()

    sizes = params.sample
    sample.write_sample(args.out, params.seed, labelled=sizes.labelled, tests=sizes.tests, photos=sizes.photos)


if __name__ == "__main__":
    run_stage(main)
