"""`fer export`: write a package as one ONNX file."""

import argparse
from pathlib import Path
from typing import Any

from fer.cli.paths import PACKAGE_FOLDER


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "export",
        help="write the packaged networks as ONNX",
        description="Write the packaged networks as one ONNX file, from grey faces (uint8, n × size × size) to "
        "calibrated probabilities and logits. Its metadata hold the package's manifest, with emotions and thresholds.",
    )
    parser.add_argument("--model", type=Path, default=PACKAGE_FOLDER, help="package folder (default: %(default)s)")
    parser.add_argument("-o", "--out", type=Path, default=Path("model.onnx"), help="file (default: %(default)s)")
    parser.set_defaults(call=export)


def export(args: argparse.Namespace) -> None:
    import torch

    from fer.serving import onnx
    from fer.serving.package import bundle

    package = bundle.load_package(args.model, torch.device("cpu"))
    difference = onnx.export_onnx(package, args.out)
    if difference is None:
        check = "not checked: onnxruntime is not installed"
    else:
        check = f"logits of ONNX Runtime and torch differ by at most {difference:.1e}"
    manifest = package.manifest
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB, opset {onnx.OPSET}; {check}")
    print(f"faces: uint8 (n, {manifest.size}, {manifest.size}) -> probabilities: {', '.join(manifest.emotions)}")
