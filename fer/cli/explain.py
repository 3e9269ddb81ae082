"""`fer explain`: draw the faces of images and which pixels support the predicted emotion."""

import argparse
import sys
from pathlib import Path
from typing import Any

from fer.cli.paths import PACKAGE_FOLDER


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "explain",
        help="show which parts of a face support its predicted expression",
        description="Write a PNG for each image: its faces, and below each a heat map of the pixels that support the "
        "likeliest emotion (Grad-CAM of the package's network; of several networks, the one with the largest weight).",
        epilog="exit code: 0; 1 if an image can't be read; 2 if the command is wrong",
    )
    parser.add_argument("sources", nargs="+", metavar="IMAGE", help="an image or another source of `fer predict`")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="folder to write into")
    parser.add_argument(
        "--faces",
        choices=("auto", "whole", "detect"),
        default="auto",
        help="as in `fer predict` (default: %(default)s)",
    )
    parser.add_argument("--model", type=Path, default=PACKAGE_FOLDER, help="package folder (default: %(default)s)")
    parser.set_defaults(call=explain, parser=parser)


def explain(args: argparse.Namespace) -> None:
    import numpy as np

    from fer.reporting.explanation.gallery import write_image_page
    from fer.serving.inputs import InputLoader
    from fer.serving.package.bundle import strongest_member
    from fer.serving.predictor import Predictor
    from fer.serving.statuses import FAILED_STATUSES

    if args.out.exists() and not args.out.is_dir():
        args.parser.error(f"--out: {args.out} exists and is not a folder")
    predictor, inputs = Predictor.load(args.model, args.faces), InputLoader()
    member, has_failure = strongest_member(predictor.package), False
    results = predictor.stream(item for source in args.sources for item in inputs.load(source))
    for number, result in enumerate(results, 1):
        if result.faces:
            path = args.out / f"{number:04}.explained.png"  # unlikely to be the name of a user's image
            probs = np.array([list(face.probabilities.values()) for face in result.faces], dtype=np.float32)
            write_image_page(path, member, np.array([face.face for face in result.faces]), probs)
            frame = "" if result.input.frame is None else f", frame {result.input.frame}"
            print(f"{path}: {result.input.source}{frame}")
        else:
            print(f"{result.input.source}: {result.detail or 'no face'}", file=sys.stderr)
        has_failure |= result.status in FAILED_STATUSES
    if has_failure:
        sys.exit(1)
