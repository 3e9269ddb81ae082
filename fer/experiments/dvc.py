"""Run DVC in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

from fer.runtime.errors import InputError


def run_dvc(*arguments: str) -> str:
    """Return the standard output of a `dvc` command.

    Raises:
        InputError: DVC fails; the message quotes its first line that begins with ERROR, otherwise its last line.
    """
    process = subprocess.run([sys.executable, "-m", "dvc", *arguments], capture_output=True, text=True, check=False)
    if process.returncode:
        lines = [line.strip() for line in (process.stdout + process.stderr).splitlines() if line.strip()]
        reason = next((line for line in lines if line.startswith("ERROR")), (lines or ["it prints nothing"])[-1])
        raise InputError(f"`dvc {' '.join(arguments)}` failed: {reason.removeprefix('ERROR: ')}")
    return process.stdout


def run_dvc_repro(*stages: str) -> None:
    """Run `dvc repro` with its output on the terminal; its stages use the `python` that runs this process.

    Raises:
        CalledProcessError: DVC fails.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    command = [sys.executable, "-m", "dvc", "repro", *stages]
    process = subprocess.Popen(command, env=os.environ | {"PATH": path})
    try:
        code = process.wait()
    except KeyboardInterrupt:  # DVC receives Ctrl-C too; if it were killed early, a training would go on
        process.wait()
        raise
    if code:
        raise subprocess.CalledProcessError(code, command)
