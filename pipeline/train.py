"""Labelled faces and their augmented copies -> one trained network and its learning curve."""

import argparse
from pathlib import Path

import pandas as pd
import torch

from fer import models, params
from fer.errors import run
from fer.examples import read_labelled
from fer.inference import device
from fer.tables import replacing_folder, write_csv
from fer.training import fit, steps_for


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network")
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--augmented", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    chosen = params.load()

    train, valid = read_labelled(args.faces, args.table, args.augmented, chosen.emotions, chosen.train.targets)
    facts = models.Facts(args.network, tuple(chosen.emotions), train.size, chosen.train.dropout)
    torch.manual_seed(chosen.seed)
    network = models.build(facts).to(device())
    curve = fit(
        network,
        train,
        valid,
        recipe=chosen.train,
        transforms=chosen.transforms,
        steps=steps_for(train, chosen.train),
        seed=chosen.seed,
        precision=chosen.precision,
        name=args.network,
    )
    with replacing_folder(args.out) as out:
        models.save(network, facts, out)
        write_csv(out / "curve.csv", pd.DataFrame(curve))


if __name__ == "__main__":
    run(main)
