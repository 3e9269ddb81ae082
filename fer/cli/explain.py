"""`fer explain`: pictures -> for each a picture of its faces and of what in them speaks for an emotion."""

import argparse
import sys
from pathlib import Path
from typing import Any


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "explain",
        help="show what in a face speaks for its apparent expression",
        description="Write a PNG for each picture: its faces, and below each, as heat, what in it speaks for the "
        "likeliest emotion (Grad-CAM of the package's network, of several the one with most weight).",
        epilog="exit code: 0; 1 if a picture can't be read; 2 if the command is wrong",
    )
    parser.add_argument(
        "sources", nargs="+", metavar="PICTURE", help="a picture, or what else `fer predict` takes: each frame is one"
    )
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="folder to write into")
    parser.add_argument(
        "--faces",
        choices=("auto", "whole", "detect"),
        default="auto",
        help="as in `fer predict` (default: %(default)s)",
    )
    parser.add_argument("--model", type=Path, default=Path("data/package"), help="a package (default: %(default)s)")
    parser.set_defaults(call=explain, parser=parser)


def explain(args: argparse.Namespace) -> None:
    # torch takes seconds to import: `fer --help` must not wait for it
    import numpy as np

    from fer.reporting.explanation.gallery import write_image_page
    from fer.serving.inputs import InputLoader
    from fer.serving.package.bundle import strongest_member
    from fer.serving.predictor import Predictor
    from fer.serving.statuses import FAILED_STATUSES

    if args.out.exists() and not args.out.is_dir():
        args.parser.error(f"--out: {args.out} is there, and is no folder")
    predictor, inputs = Predictor.load(args.model, args.faces), InputLoader()
    voter, failed = strongest_member(predictor.package), False
    for number, seen in enumerate(predictor.stream(item for source in args.sources for item in inputs.load(source)), 1):
        if seen.faces:
            path = args.out / f"{number:04}.explained.png"  # a name that no picture of the user's own has
            probs = np.array([list(face.probabilities.values()) for face in seen.faces], dtype=np.float32)
            write_image_page(path, voter, np.array([face.face for face in seen.faces]), probs)
            print(f"{path}: {seen.input.source}{'' if seen.input.frame is None else f', frame {seen.input.frame}'}")
        else:
            print(f"{seen.input.source}: {seen.detail or 'no face'}", file=sys.stderr)
        failed |= seen.status in FAILED_STATUSES
    if failed:
        sys.exit(1)
