"""Start a stage on several machines by the command `FER_LAUNCH`, such as `srun torchrun …`."""

import os
import shlex
import signal
import subprocess
import sys

from fer.runtime.errors import InputError

COPY_COUNTS = {  # how often one command was started; `sbatch` and `salloc` set none of them for the shell of a job
    "SLURM_STEP_NUM_TASKS": "srun",
    "OMPI_COMM_WORLD_SIZE": "mpirun",
    "PMI_SIZE": "mpirun",
}


def refuse_copies() -> None:
    """Raise an error if a launcher has started this process several times.

    Raises:
        InputError: The copies would write the same files.
    """
    for name, launcher in COPY_COUNTS.items():
        if (copies := os.environ.get(name, "1")) != "1":
            raise InputError(
                f"{launcher} started this stage {copies} times ({name}), and all would write the same files; start "
                f"`dvc repro` once, without {launcher}, and set FER_LAUNCH='{launcher} torchrun …' (docs/clusters.md)"
            )


def run_launcher(launcher: str) -> None:
    """Run this stage again by the command `launcher`; exit with its code if it fails.

    Ctrl-C and SIGTERM are passed on as SIGTERM.

    Raises:
        InputError: The command cannot be run.
    """
    child: subprocess.Popen[bytes] | None = None
    stop_requested = False

    def stop(*_: object) -> None:
        nonlocal stop_requested
        stop_requested = True
        if child:
            child.terminate()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # `nohup`
            signal.signal(number, stop)
    # This process, not its copies, watches DVC: on other machines they would take an unrelated process for it.
    environment = {name: value for name, value in os.environ.items() if name not in ("FER_LAUNCH", "DVC_STAGE")}
    try:  # in a session of its own, where Ctrl-C at the terminal does not arrive a second time
        command = [*shlex.split(launcher), *sys.orig_argv[1:]]
        child = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)
    except (OSError, ValueError) as error:
        reason = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else error
        raise InputError(f"FER_LAUNCH={launcher!r}: {reason}") from error
    if stop_requested:
        child.terminate()
    if code := child.wait():
        cause = f"exit code {code}" if code > 0 else signal.Signals(-code).name
        print(f"error: FER_LAUNCH={launcher!r} ended with {cause}; its messages are above", file=sys.stderr)
        sys.exit(code if code > 0 else 128 - code)
