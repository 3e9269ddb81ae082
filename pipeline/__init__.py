"""The stages of `dvc.yaml`, a script each."""

import sys

from fer import errors

if sys.argv[0] == "-m":  # a stage begins; its modules take seconds to import
    errors.heed_signals()
    from fer import stages

    stages.end_with_dvc()
