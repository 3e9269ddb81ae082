"""The stages of `dvc.yaml`, a script each."""

import sys

from fer.runtime import errors

if sys.argv[0] == "-m":  # a stage begins; its modules take seconds to import
    errors.heed_signals()
    from fer.runtime import stage

    stage.end_with_dvc()
