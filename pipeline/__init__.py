"""The stages of `dvc.yaml`, one script each."""

import sys

from fer.runtime import errors

if sys.argv[0] == "-m":  # A stage starts. Handle signals now, because its imports take seconds.
    errors.install_signal_handlers()
    from fer.runtime import stage

    stage.exit_with_dvc()
