"""What the user can put right, and how it is told: one line, exit code 1, no traceback."""

import signal
import sys
from collections.abc import Callable
from types import FrameType

OUT_OF_MEMORY_TEXTS = (  # of the operating system, torch, Python, pandas
    "cannot allocate memory",
    "can't allocate memory",
    "out of memory",
    "can't start new thread",
)
INTERRUPTED_MESSAGE = "error: interrupted"


class InputError(Exception):
    """A file, row, value or parameter is wrong; the message names it, what was allowed and what to do."""


class StoppedError(InputError):
    """The user, or the machine, ended the work; the message says what is left of it."""


def escape_unprintable(text: str) -> str:
    """The text, with what a terminal would obey or hide written out: ends of lines, marks of direction."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether that is what is wrong, whatever kind of error a library makes of it."""
    said = str(error).partition("\n")[0].lower()
    return isinstance(error, MemoryError) or any(words in said for words in OUT_OF_MEMORY_TEXTS)


def run_main(main: Callable[[], object]) -> None:
    """Call `main`; an `InputError`, too little memory or an error about a file ends in one line and exit code 1."""
    try:
        main()
    except InputError as error:
        sys.exit(escape_unprintable(f"error: {error}"))
    except RecursionError:
        sys.exit("error: what was read is nested too deeply, be it folders or brackets; take out what nests")
    except (OSError, MemoryError, RuntimeError, ValueError) as error:
        if is_out_of_memory(error):
            said = escape_unprintable(str(error).partition("\n")[0])
            sys.exit(
                f"error: out of memory{said and f' ({said})'}; end other programs, or lower `batch` of train or "
                "predict in params.yaml, and run it again"
            )
        if isinstance(error, OSError) and error.filename is not None:
            sys.exit(escape_unprintable(f"error: {error.filename}: {error.strerror}"))
        raise
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED_MESSAGE)


def install_signal_handlers() -> None:
    """From now on Ctrl-C and SIGTERM end this process in one line, whatever it is doing."""

    def end(number: int, frame: FrameType | None) -> None:
        sys.excepthook = lambda *_: print(INTERRUPTED_MESSAGE, file=sys.stderr)  # of what a library makes of this exit
        sys.exit(INTERRUPTED_MESSAGE)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
