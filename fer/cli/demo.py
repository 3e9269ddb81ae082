"""`fer demo`: a page on this computer that names the expressions on photographs."""

import argparse
import errno
from pathlib import Path
from typing import Any


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "demo",
        help="try the network on photographs and the camera, in the browser",
        description="Serve a page to this computer alone: drop a photograph or use the camera. Nothing is stored, nor "
        "sent elsewhere.",
    )
    parser.add_argument("--model", type=Path, default=Path("data/package"), help="a package (default: %(default)s)")
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
            f"port {args.port} is taken; try --port {args.port + 1 if args.port < 65535 else 8000}"
        ) from error
    print(f"{server.url}   (Ctrl-C ends it)", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print()


def _parse_port(text: str) -> int:
    if not 1024 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is not within 1024 to 65535")
    return int(text)
