"""Labelled training faces -> changed copies that balance rare emotions, and the row that each comes from."""

import argparse
from pathlib import Path

import numpy as np
import torch

from fer.core.files import atomic_write_folder, write_array
from fer.core.labels import encode_labels, read_table
from fer.core.store import open_faces
from fer.params import load_params
from fer.runtime.stage import run_stage
from fer.training.augmentation import select_rows_to_copy, transform_faces


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    chosen = load_params()

    faces, table = open_faces(args.faces), read_table(args.table)
    train = np.flatnonzero(table["fold"] == "train")
    label = encode_labels(table["emotion"].iloc[train], chosen.emotions)
    copied = select_rows_to_copy(
        label, chosen.augment.balance, chosen.augment.max_copies, np.random.default_rng(chosen.seed)
    )
    random = torch.Generator().manual_seed(chosen.seed)
    copies = transform_faces(torch.from_numpy(faces[train[copied]]), chosen.transforms, random)

    with atomic_write_folder(args.out) as out:
        write_array(out / "faces.npy", (copies * 255).round().byte().numpy())
        write_array(out / "parents.npy", train[copied])


if __name__ == "__main__":
    run_stage(main)
