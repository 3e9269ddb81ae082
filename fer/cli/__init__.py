"""The command `fer`."""

import argparse
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module

from fer import __version__
from fer.runtime.errors import run_main

COMMANDS = (
    "add remove doctor profile compare benchmark search policies rounds review predict explain demo export landmarks"
)


def main() -> None:
    """Parse the command line and run the command it names; print the help if it names none."""
    parser = argparse.ArgumentParser(prog="fer", description="Facial expression recognition with pseudo-labels.")
    parser.add_argument("--version", action="version", version=f"fer {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND")
    for name in COMMANDS.split():
        import_module(f"fer.cli.{name}").add_to(commands)
    args = parser.parse_args()
    if "call" in args:
        run_main(lambda: args.call(args))
    else:
        parser.print_help()


def int_at_least(minimum: int) -> Callable[[str], int]:
    """Return a type for `add_argument` that accepts integers of at least `minimum`."""

    def parse(text: str) -> int:
        with suppress(ValueError):
            if int(text) >= minimum:
                return int(text)
        raise argparse.ArgumentTypeError(f"{text} is not an integer of at least {minimum}")

    return parse
