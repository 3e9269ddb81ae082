"""Labelled training faces -> augmented copies that balance rare emotions, and the table row of each original."""

import argparse
from pathlib import Path

import numpy as np
import torch

from fer.core.files import atomic_write_folder, write_array
from fer.core.labels import encode_labels
from fer.core.store import open_faces
from fer.core.table import read_table
from fer.params import load_params
from fer.runtime.stage import run_stage
from fer.training.augmentation import select_rows_to_copy, transform_faces


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    params = load_params()

    faces, table = open_faces(args.faces), read_table(args.table)
    train_rows = np.flatnonzero(table["fold"] == "train")
    labels = encode_labels(table["emotion"].iloc[train_rows], params.emotions)
    generator = np.random.default_rng(params.seed)
    copied_rows = select_rows_to_copy(labels, params.augment.balance, params.augment.max_copies, generator)
    parents = train_rows[copied_rows]
    torch_generator = torch.Generator().manual_seed(params.seed)
    copies = transform_faces(torch.from_numpy(faces[parents]), params.transforms, torch_generator)

    with atomic_write_folder(args.out) as out:
        write_array(out / "faces.npy", (copies * 255).round().byte().numpy())
        write_array(out / "parents.npy", parents)


if __name__ == "__main__":
    run_stage(main)
