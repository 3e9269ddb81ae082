"""`fer demo`: a web page on this computer that names the expressions in images."""

import argparse
import errno
from contextlib import suppress
from pathlib import Path
from typing import Any

from fer.cli.paths import PACKAGE_FOLDER


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "demo",
        help="try the network on images and the camera, in the browser",
        description="Serve a web page to this computer alone, for images and the camera. Nothing is stored or sent "
        "elsewhere.",
    )
    parser.add_argument("--model", type=Path, default=PACKAGE_FOLDER, help="package folder (default: %(default)s)")
    parser.add_argument("--port", type=_parse_port, default=8000, help="default: %(default)s")
    parser.set_defaults(call=demo)


def demo(args: argparse.Namespace) -> None:
    from fer.runtime.errors import InputError
    from fer.serving.demo import DemoServer
    from fer.serving.predictor import Predictor

    predictor, card = Predictor.load(args.model), args.model / "card.md"
    try:
        server = DemoServer(predictor, card.read_text(encoding="utf-8") if card.is_file() else "", args.port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise InputError(
            f"port {args.port} is in use; try --port {args.port + 1 if args.port < 65535 else 8000}"
        ) from error
    print(f"{server.url}   (press Ctrl-C to stop)", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print()


def _parse_port(text: str) -> int:
    with suppress(ValueError):
        if 1024 <= int(text) <= 65535:
            return int(text)
    raise argparse.ArgumentTypeError(f"{text} is not an integer between 1024 and 65535")
