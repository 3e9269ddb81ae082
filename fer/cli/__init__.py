"""The command `fer`."""

import argparse
from importlib import import_module

from fer.runtime.errors import run_main

COMMANDS = "add remove doctor compare benchmark search rounds review predict explain demo export landmarks"


def main() -> None:
    """Parse the command line and hand over to the module of the command named."""
    parser = argparse.ArgumentParser(prog="fer", description="Facial expression recognition with pseudo-labels.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name in COMMANDS.split():
        import_module(f"fer.cli.{name}").add_to(commands)
    args = parser.parse_args()
    run_main(lambda: args.call(args))
