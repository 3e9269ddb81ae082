"""`fer landmarks`: write the landmarks of faces, and the distances between them, to a CSV file."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "landmarks",
        help="find the 68 landmarks of faces and the distances between them",
        description="Find the 68 landmarks in images, each filled by one face, and eight distances between them. "
        "Writes a CSV file with a row for each image; the status of an unreadable image is the reason. x_0 and y_0 are "
        "the first landmark as fractions of the side of the image's centre square, from its left and its top.",
    )
    parser.add_argument(
        "pictures",
        nargs="+",
        type=Path,
        metavar="IMAGE",
        help="image files, folders of images, or a faces.npy of the pipeline, whose faces keep their order",
    )
    parser.add_argument("-o", "--out", type=Path, required=True, help="file to write")
    parser.add_argument("--draw", type=Path, metavar="DIR", help="folder for drawings, each named by its row, from 0")
    parser.set_defaults(call=landmarks)


def landmarks(args: argparse.Namespace) -> None:
    import numpy as np
    import pandas as pd
    from PIL import Image
    from tqdm import tqdm

    from fer.core.store import open_faces
    from fer.core.table import escape_formulas, write_csv
    from fer.serving.landmarks import DISTANCE_NAMES, draw_landmarks, find_landmarks, measure_distances

    paths = list(list_image_files(args.pictures))
    total = sum(len(open_faces(path)) if path.suffix == ".npy" else 1 for path in paths)
    coordinate_names = [f"{axis}_{k}" for k in range(68) for axis in "xy"]
    rows: list[tuple[str, str]] = []
    features = np.full((total, len(DISTANCE_NAMES) + len(coordinate_names)), np.nan)
    for source, face in tqdm(_read_face_images(paths), total=total, unit="face", disable=None):
        if isinstance(face, str):
            rows.append((source, face))
            continue
        points, size = find_landmarks(face), len(face)
        features[len(rows)] = [*measure_distances(points), *((points + 0.5) / size).ravel()]
        if args.draw:
            args.draw.mkdir(parents=True, exist_ok=True)
            Image.fromarray(draw_landmarks(points, size)).save(args.draw / f"{len(rows):06}.png")
        rows.append((source, "ok"))
    table = pd.DataFrame(rows, columns=["source", "status"])
    table["source"] = escape_formulas(table["source"])
    write_csv(args.out, table.join(pd.DataFrame(features, columns=[*DISTANCE_NAMES, *coordinate_names])))


def list_image_files(paths: list[Path]) -> Iterator[Path]:
    """Yield each file of `paths`, and the sorted files of each folder."""
    for path in paths:
        yield from sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def _read_face_images(paths: list[Path]) -> Iterator[tuple[str, Any]]:
    """Yield the name of each face, and its pixels or the reason why there are none."""
    from fer.core.store import open_faces
    from fer.data.media.images import UndecodableError, decode_face
    from fer.serving.landmarks import MODEL_INPUT_PX

    for path in paths:
        if path.suffix == ".npy":
            for row, face in enumerate(open_faces(path)):
                yield f"{path}#{row}", face
            continue
        try:
            yield str(path), decode_face(path, MODEL_INPUT_PX)
        except UndecodableError as error:
            yield str(path), error.reason
