"""A cache of training results, which are recomputed only if their inputs have changed."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from fer.core.files import atomic_write, read_array, write_array
from fer.runtime.errors import InputError

RunResult = tuple[Float[np.ndarray, "..."], dict[str, Any]]  # logits, and metadata for the JSON file


def cached_result(
    path: Path, fingerprint_inputs: Mapping[str, Any], compute: Callable[[], RunResult], name: str
) -> RunResult:
    """Return the result of `compute`, from the JSON file `path` and the .npy file beside it if the inputs are the same.

    Raises:
        InputError: A file is damaged or missing, or of a version with other inputs.
    """
    array_path = path.with_suffix(".npy")
    stored = _read_result(path, array_path) if path.is_file() else None
    if stored:
        stored_inputs, array, metadata = stored
        if stored_inputs == fingerprint_inputs:
            return array, metadata
        if stored_inputs.keys() != fingerprint_inputs.keys():
            raise InputError(f"{path}: a run of another version of fer; use another --out, or delete {path.parent}")
        changed = [key for key, value in fingerprint_inputs.items() if stored_inputs.get(key) != value]
        print(f"{name}: {path} was run with other {', '.join(changed)}; running it again")
        path.unlink()  # an existing JSON file means that the array beside it is complete
    array, metadata = compute()
    with atomic_write(array_path) as part:
        write_array(part, array)
    with atomic_write(path) as part:  # with all digits: the inputs are compared later
        part.write_text(json.dumps({"run_with": fingerprint_inputs} | metadata, indent=2) + "\n", encoding="utf-8")
    return array, metadata


def _read_result(path: Path, array_path: Path) -> tuple[dict[str, Any], Float[np.ndarray, "..."], dict[str, Any]]:
    try:
        metadata = dict(json.loads(path.read_text(encoding="utf-8")))
        return dict(metadata.pop("run_with")), read_array(array_path), metadata
    except (InputError, OSError, ValueError, TypeError, KeyError) as error:
        raise damaged_result_error(path) from error


def damaged_result_error(path: Path) -> InputError:
    return InputError(
        f"{path}: damaged, or without its {path.with_suffix('.npy').name}; delete it, and the run is repeated"
    )
