"""Run a pipeline stage, which stops on SIGTERM or when DVC exits and fails if its inputs change while it runs.

DVC would otherwise record the changed inputs as the source of the result.
"""

import hashlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import yaml

from fer.runtime import errors
from fer.runtime.errors import InputError
from fer.runtime.yaml_files import read_yaml

PROJECT_ROOT = Path(__file__).parents[2]
OUTPUT_OPTIONS = ("--out", "--history")  # their values are paths that a stage writes
DVC_POLL_SECONDS = 0.5


def exit_with_dvc() -> None:
    """Send SIGTERM to this process when the DVC that started it ends, so that no stage runs twice at a time."""
    if "DVC_STAGE" in os.environ:
        process = psutil.Process()
        threading.Thread(target=_exit_after_dvc, args=[[process, *process.parents()]], daemon=True).start()


def _exit_after_dvc(ancestors: list[psutil.Process]) -> None:
    try:
        # DVC is the nearest ancestor without DVC_STAGE. Its child is the stage or a shell, in the same process group.
        child, dvc = next(pair for pair in pairwise(ancestors) if "DVC_STAGE" not in pair[1].environ())
        group = os.getpgid(child.pid)  # If DVC has ended already, `dvc` is an unrelated process of another group.
        while dvc.is_running() and dvc.status() != psutil.STATUS_ZOMBIE and os.getpgid(dvc.pid) == group:
            time.sleep(DVC_POLL_SECONDS)
    except (psutil.NoSuchProcess, ProcessLookupError):
        pass
    except (psutil.AccessDenied, StopIteration):  # The ancestors of this process cannot be inspected.
        return
    os.kill(os.getpid(), signal.SIGTERM)


def run_stage(main: Callable[[], object]) -> None:
    """Run the `main` of a stage; fail at its end if an input changed while it ran."""
    errors.run_main(lambda: fail_if_inputs_changed(main))


def fail_if_inputs_changed(main: Callable[[], object]) -> None:
    """Call `main`; raise an InputError if parameters, loaded code or data changed while it ran."""
    params, code, data = _read_stage_params(), _hash_code(), _stat_inputs()
    main()
    params_now = _read_stage_params()
    changed = [name for name, value in params.items() if params_now.get(name) != value]
    changed += [
        path for path, digest in _hash_code().items() if code.get(path) != digest and path in _list_loaded_code()
    ]
    changed += [path for path, stats in _stat_inputs().items() if path in data and data[path] != stats]
    if changed:
        raise InputError(f"{', '.join(changed)}: changed while this stage ran; run `dvc repro` again")


def _read_stage_params() -> dict[str, Any]:
    """Return the sections of `params.yaml` that `dvc.yaml` lists for the running stage."""
    name = os.environ.get("DVC_STAGE", "").partition("@")[0]
    if not name:
        return {}
    stage = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"][name]
    params = read_yaml(Path("params.yaml"))
    keys = stage.get("params") or stage.get("do", {}).get("params", [])
    return {f"{section} in params.yaml": params.get(section) for section in (key.partition(".")[0] for key in keys)}


def _hash_code() -> dict[str, str]:
    files = (file for folder in ("fer", "pipeline") for file in (PROJECT_ROOT / folder).rglob("*.py"))
    return {file.relative_to(PROJECT_ROOT).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def _list_loaded_code() -> set[str]:
    files = (Path(file) for module in sys.modules.values() if (file := getattr(module, "__file__", None)))
    return {file.relative_to(PROJECT_ROOT).as_posix() for file in files if file.is_relative_to(PROJECT_ROOT)}


def _stat_inputs() -> dict[str, list[tuple[str, int, int]]]:
    """Return size and modification time of every file below the input paths on the command line."""
    options = dict(zip(sys.argv[1:], sys.argv[:-1], strict=True))  # argument: the argument before it
    outputs = [Path(value) for value, option in options.items() if option in OUTPUT_OPTIONS]
    paths = (Path(value) for value, option in options.items() if option not in OUTPUT_OPTIONS)
    return {
        str(path): sorted(
            (str(file), file.stat().st_size, file.stat().st_mtime_ns)
            for file in (path.rglob("*") if path.is_dir() else [path])
            if file.is_file()
        )
        for path in paths
        if path.exists() and not any(output.is_relative_to(path) for output in outputs)
    }
