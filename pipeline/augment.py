"""Labelled training faces -> changed copies that balance rare emotions, and the row that each comes from."""

import argparse
from pathlib import Path

import numpy as np
import torch

from fer.core.files import replacing_folder, write_array
from fer.core.labels import codes, read_table
from fer.core.store import open_faces
from fer.params import load_params
from fer.runtime.stage import run
from fer.training.augmentation import balancing_rows, transform


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    chosen = load_params()

    faces, table = open_faces(args.faces), read_table(args.table)
    train = np.flatnonzero(table["fold"] == "train")
    label = codes(table["emotion"].iloc[train], chosen.emotions)
    copied = balancing_rows(
        label, chosen.augment.balance, chosen.augment.max_copies, np.random.default_rng(chosen.seed)
    )
    random = torch.Generator().manual_seed(chosen.seed)
    copies = transform(torch.from_numpy(faces[train[copied]]), chosen.transforms, random)

    with replacing_folder(args.out) as out:
        write_array(out / "faces.npy", (copies * 255).round().byte().numpy())
        write_array(out / "parents.npy", train[copied])


if __name__ == "__main__":
    run(main)
