"""User-facing errors. They are printed as one line, without a traceback, and exit with code 1."""

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
    """An error in a file, row, value or parameter that the user can correct; the message says where and how."""


class StoppedError(InputError):
    """An end of the work by the user or the machine; the message says what remains to be done."""


def escape_unprintable(text: str) -> str:
    """Return the text with line ends, terminal codes and direction marks escaped."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory ran out; libraries report that with several types of exception."""
    message = str(error).partition("\n")[0].lower()
    return isinstance(error, MemoryError) or any(text in message for text in OUT_OF_MEMORY_TEXTS)


def run_main(main: Callable[[], object]) -> None:
    """Call `main`. Turn an `InputError`, lack of memory or an error about a file into one line and exit code 1."""
    try:
        main()
    except InputError as error:
        sys.exit(escape_unprintable(f"error: {error}"))
    except RecursionError:
        sys.exit("error: input is nested too deeply (folders or brackets); flatten it")
    except (OSError, MemoryError, RuntimeError, ValueError) as error:
        if is_out_of_memory(error):
            message = escape_unprintable(str(error).partition("\n")[0])
            sys.exit(
                f"error: out of memory{message and f' ({message})'}; close other programs or lower train.batch or "
                "predict.batch in params.yaml, then run it again"
            )
        if isinstance(error, OSError) and error.filename is not None:
            sys.exit(escape_unprintable(f"error: {error.filename}: {error.strerror}"))
        raise
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED_MESSAGE)


def install_signal_handlers() -> None:
    """Make Ctrl-C and SIGTERM end this process with one line, whatever code is running."""

    def end(number: int, frame: FrameType | None) -> None:
        sys.excepthook = lambda *_: print(INTERRUPTED_MESSAGE, file=sys.stderr)  # A library may replace this exit.
        sys.exit(INTERRUPTED_MESSAGE)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
