"""The stages of `dvc.yaml`, a script each."""

import sys

from fer.runtime import errors

if sys.argv[0] == "-m":  # a stage begins; its modules take seconds to import
    errors.install_signal_handlers()
    from fer.runtime import stage

    stage.exit_with_dvc()
