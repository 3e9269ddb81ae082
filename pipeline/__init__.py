"""The stages of `dvc.yaml`, one script each."""

import argparse
import sys
from pathlib import Path

from fer.runtime import errors

if sys.argv[0] == "-m":  # A stage starts. Handle signals now, because its imports take seconds.
    errors.install_signal_handlers()
    from fer.runtime import stage

    stage.exit_with_dvc()


def parse_paths(description: str | None, *names: str) -> argparse.Namespace:
    """Return the paths that a stage's command line must name, as `--faces PATH` does."""
    parser = argparse.ArgumentParser(description=description)
    for name in names:
        parser.add_argument(f"--{name}", type=Path, required=True)
    return parser.parse_args()
