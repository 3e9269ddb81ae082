"""Faces, table and source reports -> one sheet per source and a preview of augmentation."""

import argparse
from pathlib import Path

import numpy as np
import torch

from fer.core.files import atomic_write_folder, read_json
from fer.core.labels import encode_labels
from fer.core.store import open_faces
from fer.core.table import read_table
from fer.params import load_params
from fer.reporting.plots.plots import plot_montage
from fer.reporting.sheets.source_sheet import write_source_sheet
from fer.runtime.stage import run_stage
from fer.training.augmentation import transform_faces

PREVIEW_COPIES = 8  # of each face in the preview


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sources", type=Path, required=True, help="folder with the output of ingest for each source")
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    params = load_params()

    faces, table = open_faces(args.faces), read_table(args.table)
    labels = np.where(table["fold"] == "train", encode_labels(table["emotion"], params.emotions), -1)
    codes, rows = np.unique(labels, return_index=True)
    emotions = [params.emotions[code] for code in codes if code >= 0]
    originals = faces[rows[codes >= 0]]
    generator = torch.Generator().manual_seed(params.seed)
    copies = transform_faces(torch.from_numpy(originals.repeat(PREVIEW_COPIES, axis=0)), params.transforms, generator)
    grid = (copies * 255).round().byte().numpy().reshape(len(originals), PREVIEW_COPIES, *originals.shape[1:])
    grid = np.concatenate([originals[:, None], grid], axis=1)
    columns = ["original", *(f"change {k}" for k in range(1, PREVIEW_COPIES + 1))]

    with atomic_write_folder(args.out) as out:
        (out / "sources").mkdir()
        for source in params.sources:
            report = read_json(args.sources / source / "report.json")
            write_source_sheet(
                out / "sources" / f"{source}.png", source, faces, table[table["source"] == source], report
            )
        plot_montage(out / "preview.png", grid, emotions, columns, "What augmentation does to a face")


if __name__ == "__main__":
    run_stage(main)
