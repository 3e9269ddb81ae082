"""What a user reads when something is wrong: one line, which no file's name can turn into two."""

import errno
import signal
import subprocess
import sys

import pytest

from fer.runtime.errors import InputError, escape_unprintable, is_out_of_memory, run_main


@pytest.mark.parametrize("hidden", ["\n", "\r", "\x1b[2J", "\x07", "\0", "\u202e", "\ud800"])
def test_a_name_can_neither_break_the_line_nor_command_the_terminal(hidden: str) -> None:
    def main() -> None:
        raise InputError(f"a{hidden}b.png: no picture")

    with pytest.raises(SystemExit) as end:
        run_main(main)
    assert str(end.value).isprintable()
    assert str(end.value).startswith("error: a\\")
    assert escape_unprintable("gâteau 微笑.png") == "gâteau 微笑.png"


def test_what_is_nested_too_deeply_is_no_traceback() -> None:
    def main() -> None:
        main()

    with pytest.raises(SystemExit, match="nested too deeply"):
        run_main(main)
    assert sys.getrecursionlimit() >= 1000


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("unable to mmap 7 bytes from file <a>: Cannot allocate memory (12)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you"),
        RuntimeError("CUDA out of memory. Tried to allocate 7 GiB."),
        RuntimeError("can't start new thread"),
    ],
)
def test_too_little_memory_is_one_line_whoever_says_so(error: Exception) -> None:
    def main() -> None:
        raise error

    with pytest.raises(SystemExit, match="error: out of memory"):
        run_main(main)
    assert not is_out_of_memory(RuntimeError("shapes differ\nCannot allocate memory"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_one_line_also_where_a_library_makes_something_else_of_it(number: signal.Signals) -> None:
    library = (
        "import os, signal; from fer.runtime import errors; errors.install_signal_handlers()\n"
        f"try: os.kill(os.getpid(), {number:d}); signal.sigtimedwait([], 9)\n"
        "except SystemExit as exit: raise ValueError('of a library') from exit"
    )
    done = subprocess.run([sys.executable, "-c", library], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "error: interrupted\n")
