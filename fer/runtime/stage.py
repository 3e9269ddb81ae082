"""How a stage is run: it ends when it is told to, or with DVC, and what it reads must not change meanwhile.

DVC would record the new version as what the result follows from.
"""

import hashlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import yaml

from fer.runtime import errors
from fer.runtime.errors import InputError
from fer.runtime.yaml_files import read_yaml

PROJECT_ROOT = Path(__file__).parents[2]
OUTPUT_OPTIONS = ("--out", "--history")
DVC_POLL_SECONDS = 0.5  # whether DVC still runs


def exit_with_dvc() -> None:
    """End this process, as by SIGTERM, when DVC, which started it, has ended."""
    if "DVC_STAGE" in os.environ:
        me = psutil.Process()
        threading.Thread(target=_exit_after_dvc, args=[[me, *me.parents()]], daemon=True).start()


def _exit_after_dvc(line: list[psutil.Process]) -> None:
    """DVC, where it is killed, would leave the stage running, and start it a second time beside it."""
    try:
        child, dvc = next(pair for pair in pairwise(line) if "DVC_STAGE" not in pair[1].environ())  # child: or a shell
        group = os.getpgid(child.pid)  # and DVC's: where DVC has ended already, `dvc` is a process of another group
        while dvc.is_running() and dvc.status() != psutil.STATUS_ZOMBIE and os.getpgid(dvc.pid) == group:
            time.sleep(DVC_POLL_SECONDS)
    except (psutil.NoSuchProcess, ProcessLookupError):
        pass
    except (psutil.AccessDenied, StopIteration):  # it can't be looked at
        return
    os.kill(os.getpid(), signal.SIGTERM)


def run_stage(main: Callable[[], object]) -> None:
    """`errors.run` of a stage's `main`, which fails at its end if something that it read was changed meanwhile."""
    errors.run_main(lambda: fail_if_inputs_changed(main))


def fail_if_inputs_changed(main: Callable[[], object]) -> None:
    """Call `main`.

    Raises:
        InputError: its parameters, code or data are not those with which it began.
    """
    code, numbers, data = _hash_code(), _read_stage_params(), _stat_inputs()
    main()
    changed = [name for name, value in numbers.items() if _read_stage_params().get(name) != value]
    changed += [
        path for path, digest in _hash_code().items() if code.get(path) != digest and path in _list_loaded_code()
    ]
    changed += [path for path, facts in _stat_inputs().items() if path in data and data[path] != facts]
    if changed:
        raise InputError(f"{', '.join(changed)}: changed while this stage ran; run `dvc repro` again")


def _read_stage_params() -> dict[str, Any]:
    """The parameters that `dvc.yaml` names for the stage that DVC is running."""
    stage = os.environ.get("DVC_STAGE", "").partition("@")[0]
    if not stage:
        return {}
    about = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"][stage]
    chosen = read_yaml(Path("params.yaml"))
    named = about.get("params") or about.get("do", {}).get("params", [])
    return {f"{key} in params.yaml": chosen.get(key) for key in (name.partition(".")[0] for name in named)}


def _hash_code() -> dict[str, str]:
    files = (file for folder in ("fer", "pipeline") for file in (PROJECT_ROOT / folder).rglob("*.py"))
    return {file.relative_to(PROJECT_ROOT).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def _list_loaded_code() -> set[str]:
    files = (Path(file) for module in sys.modules.values() if (file := getattr(module, "__file__", None)))
    return {file.relative_to(PROJECT_ROOT).as_posix() for file in files if file.is_relative_to(PROJECT_ROOT)}


def _stat_inputs() -> dict[str, list[tuple[str, int, int]]]:
    """Size and time of change of every file that is named on the command line, but for what is written."""
    given = dict(zip(sys.argv[1:], sys.argv[:-1], strict=True))
    out = [Path(value) for value, before in given.items() if before in OUTPUT_OPTIONS]
    paths = (Path(value) for value, before in given.items() if before not in OUTPUT_OPTIONS)
    return {
        str(path): sorted((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in _list_files(path))
        for path in paths
        if path.exists() and not any(each.is_relative_to(path) for each in out)
    }


def _list_files(path: Path) -> Iterator[Path]:
    yield from (file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
