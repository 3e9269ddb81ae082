"""The command `fer`."""

import argparse

from fer.errors import run


def main() -> None:
    """Parse the command line and hand over to the module of the command named."""
    from fer.cli import (
        add,
        benchmark,
        compare,
        doctor,
        explain,
        export,
        landmarks,
        predict,
        remove,
        review,
        rounds,
        search,
    )

    parser = argparse.ArgumentParser(prog="fer", description="Facial expression recognition with pseudo-labels.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (
        add,
        remove,
        doctor,
        compare,
        benchmark,
        search,
        rounds,
        review,
        predict,
        explain,
        export,
        landmarks,
    ):
        command.add_to(commands)
    args = parser.parse_args()
    run(lambda: args.call(args))
