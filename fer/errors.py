"""What the user can put right, and how it is told: one line, exit code 1, no traceback."""

import sys
from collections.abc import Callable


class InputError(Exception):
    """A file, row, value or parameter is wrong; the message names it, what was allowed and what to do."""


class CutShortError(InputError):
    """The user, or the machine, ended the work; the message says what is left of it."""


def run(main: Callable[[], object]) -> None:
    """Call `main`; an `InputError` or an operating-system error about a file ends in one line and exit code 1."""
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        if error.filename is None:
            raise
        sys.exit(f"error: {error.filename}: {error.strerror}")
    except KeyboardInterrupt:
        sys.exit("error: interrupted")
