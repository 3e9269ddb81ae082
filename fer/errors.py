"""What the user can put right, and how it is told: one line, exit code 1, no traceback."""

import signal
import sys
from collections.abc import Callable
from types import FrameType

TOO_LITTLE_MEMORY = ("can't allocate memory", "out of memory", "can't start new thread")  # of torch, Python, pandas


class InputError(Exception):
    """A file, row, value or parameter is wrong; the message names it, what was allowed and what to do."""


class CutShortError(InputError):
    """The user, or the machine, ended the work; the message says what is left of it."""


def in_one_line(text: str) -> str:
    """The text, with what a terminal would obey or hide written out: ends of lines, marks of direction."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def run(main: Callable[[], object]) -> None:
    """Call `main`; an `InputError`, too little memory or an error about a file ends in one line and exit code 1."""
    try:
        main()
    except InputError as error:
        sys.exit(in_one_line(f"error: {error}"))
    except OSError as error:
        if error.filename is None:
            raise
        sys.exit(in_one_line(f"error: {error.filename}: {error.strerror}"))
    except RecursionError:
        sys.exit("error: what was read is nested too deeply, be it folders or brackets; take out what nests")
    except (MemoryError, RuntimeError, ValueError) as error:
        said = str(error).partition("\n")[0]
        if not isinstance(error, MemoryError) and not any(words in said.lower() for words in TOO_LITTLE_MEMORY):
            raise
        sys.exit(
            f"error: out of memory{said and f' ({said})'}; end other programs, or lower `batch` of train or predict in "
            "params.yaml, and run it again"
        )
    except KeyboardInterrupt:
        sys.exit("error: interrupted")


def heed_signals() -> None:
    """From now on Ctrl-C and SIGTERM end this process in one line, whatever it is doing."""

    def end(number: int, frame: FrameType | None) -> None:
        sys.exit("error: interrupted")

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
