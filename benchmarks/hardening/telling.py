"""How a script says what it tried and what was lost."""

import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fer.tables import write_json


def end(out: Path | None, name: str, tried: Mapping[str, int], lost: Sequence[str], begun: float, **more: Any) -> None:
    """Print it, write it and `more` as `name`.json into the folder `out`, and end with 1 if anything was lost."""
    seconds = round(time.monotonic() - begun)
    for line in lost:
        print(f"LOST: {line}")
    counts = ", ".join(f"{count:,} {what}" for what, count in tried.items())
    print(f"{name}: tried {counts}; lost {len(lost)}; {seconds} s")
    if out:
        command = shlex.join(["python", "-m", f"benchmarks.hardening.{name}"])
        figures = {"name": name, "command": command, "tried": tried, "lost": len(lost), "seconds": seconds}
        write_json(out / f"{name}.json", figures | more)
    sys.exit(1 if lost else 0)
