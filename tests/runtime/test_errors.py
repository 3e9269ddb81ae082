"""Errors as users see them: one line, whatever the name of a file contains."""

import errno
import signal
import subprocess
import sys

import pytest

from fer.runtime.errors import InputError, escape_unprintable, is_out_of_memory, run_main


@pytest.mark.parametrize("char", ["\n", "\r", "\x1b[2J", "\x07", "\0", "\u202e", "\ud800"])
def test_file_names_are_escaped_in_messages(char: str) -> None:
    def main() -> None:
        raise InputError(f"a{char}b.png: no image")

    with pytest.raises(SystemExit) as exit_info:
        run_main(main)
    assert str(exit_info.value).isprintable()
    assert str(exit_info.value).startswith("error: a\\")
    assert escape_unprintable("gâteau 微笑.png") == "gâteau 微笑.png"


def test_too_deep_nesting_is_reported_without_a_traceback() -> None:
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
def test_lack_of_memory_is_recognised_in_errors_of_all_libraries(error: Exception) -> None:
    def main() -> None:
        raise error

    with pytest.raises(SystemExit, match="error: out of memory"):
        run_main(main)
    assert not is_out_of_memory(RuntimeError("shapes differ\nCannot allocate memory"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_with_one_line_even_if_a_library_replaces_the_exit(number: signal.Signals) -> None:
    script = (
        "import os, signal; from fer.runtime import errors; errors.install_signal_handlers()\n"
        f"try: os.kill(os.getpid(), {number:d}); signal.sigtimedwait([], 9)\n"
        "except SystemExit as exit: raise ValueError('of a library') from exit"
    )
    completed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (completed.returncode, completed.stderr) == (1, "error: interrupted\n")
