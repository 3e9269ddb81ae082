"""Labelled training faces -> augmented copies that balance rare emotions, and the table row of each original."""

import numpy as np
import torch

from fer.core.files import atomic_write_folder, write_array
from fer.core.labels import encode_labels
from fer.core.store import open_faces
from fer.core.table import read_table
from fer.params import load_params
from fer.runtime.stage import run_stage
from fer.training.augmentation import select_rows_to_copy, transform_faces
from pipeline import parse_paths


def main() -> None:
    args = parse_paths(__doc__, "faces", "table", "out")
    params = load_params()

    faces, table = open_faces(args.faces), read_table(args.table)
    train_rows = np.flatnonzero(table["fold"] == "train")
    labels = encode_labels(table["emotion"].iloc[train_rows], params.emotions)
    generator = np.random.default_rng(params.seed)
    copied_rows = select_rows_to_copy(labels, params.augment.balance, params.augment.max_copies, generator)
    parents = train_rows[copied_rows]
    torch_generator = torch.Generator().manual_seed(params.seed)
    copies = transform_faces(
        torch.from_numpy(faces[parents]), params.transform_sets[params.transforms], torch_generator
    )

    with atomic_write_folder(args.out) as out:
        write_array(out / "faces.npy", (copies * 255).round().byte().numpy())
        write_array(out / "parents.npy", parents)


if __name__ == "__main__":
    run_stage(main)
