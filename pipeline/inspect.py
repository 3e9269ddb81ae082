"""Faces and table -> one sheet per source and a preview of augmentation."""

import numpy as np
import torch

from fer.core.files import atomic_write_folder
from fer.core.labels import encode_labels
from fer.core.store import open_faces
from fer.core.table import read_table
from fer.params import load_params
from fer.reporting.plots.plots import plot_montage
from fer.reporting.sheets.source_sheet import write_source_sheet
from fer.runtime.stage import run_stage
from fer.training.augmentation import transform_faces
from pipeline import parse_paths

PREVIEW_COPIES = 8  # of each face in the preview


def main() -> None:
    args = parse_paths(__doc__, "faces", "table", "out")
    params = load_params()

    faces, table = open_faces(args.faces), read_table(args.table)
    labels = np.where(table["fold"] == "train", encode_labels(table["emotion"], params.emotions), -1)
    codes, rows = np.unique(labels, return_index=True)
    emotions = [params.emotions[code] for code in codes if code >= 0]
    originals = faces[rows[codes >= 0]]
    generator = torch.Generator().manual_seed(params.seed)
    copies = transform_faces(
        torch.from_numpy(originals.repeat(PREVIEW_COPIES, axis=0)), params.transform_sets[params.transforms], generator
    )
    grid = (copies * 255).round().byte().numpy().reshape(len(originals), PREVIEW_COPIES, *originals.shape[1:])
    grid = np.concatenate([originals[:, None], grid], axis=1)
    columns = ["original", *(f"change {k}" for k in range(1, PREVIEW_COPIES + 1))]

    with atomic_write_folder(args.out) as out:
        (out / "sources").mkdir()
        for source in params.sources:
            write_source_sheet(out / "sources" / f"{source}.png", source, faces, table[table["source"] == source])
        plot_montage(out / "preview.png", grid, emotions, columns, "What augmentation does to a face")


if __name__ == "__main__":
    run_stage(main)
