"""How a script says what it tried and what was lost."""

import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fer.tables import write_json


def end(out: Path | None, name: str, tried: Mapping[str, Any], lost: Sequence[str], begun: float) -> None:
    """Print it, write `name`.json into the folder `out`, and end with 1 if anything was lost."""
    seconds = round(time.monotonic() - begun)
    for line in lost:
        print(f"LOST: {line}")
    print(f"{name}: tried {', '.join(f'{key} {value}' for key, value in tried.items())}; lost {len(lost)}; {seconds} s")
    if out:
        command = shlex.join(["python", "-m", f"benchmarks.hardening.{name}"])
        figures = {"name": name, "command": command, "tried": tried, "lost": len(lost), "seconds": seconds}
        write_json(out / f"{name}.json", figures)
    sys.exit(1 if lost else 0)
