"""The peak memory of a process; this module imports no torch, which would add to it."""

from pathlib import Path


def peak_megabytes() -> float:
    """Return the peak resident memory of this process; getrusage would include the process that started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
