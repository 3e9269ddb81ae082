"""`fer export`: a package -> one ONNX file."""

import argparse
from pathlib import Path
from typing import Any


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "export",
        help="write the packaged networks as ONNX",
        description="Write the packaged networks as one ONNX file, from grey faces (uint8, n × size × size) to "
        "calibrated probabilities and logits. Emotions, thresholds and all that the package says are in its metadata.",
    )
    parser.add_argument("--model", type=Path, default=Path("data/package"), help="a package (default: %(default)s)")
    parser.add_argument(
        "-o", "--out", type=Path, default=Path("model.onnx"), help="file to write (default: %(default)s)"
    )
    parser.set_defaults(call=export)


def export(args: argparse.Namespace) -> None:
    import torch

    from fer.serving import onnx
    from fer.serving.package import bundle

    package = bundle.load_package(args.model, torch.device("cpu"))
    difference = onnx.export_onnx(package, args.out)
    about = package.manifest
    if difference is None:
        checked = "not checked: onnxruntime is not installed"
    else:
        checked = f"ONNX Runtime's logits are torch's within {difference:.1e}"
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB, opset {onnx.OPSET}; {checked}")
    print(f"faces: uint8 (n, {about.size}, {about.size}) -> probabilities: {', '.join(about.emotions)}")
