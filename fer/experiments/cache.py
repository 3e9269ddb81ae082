"""Results that take long: kept beside all that they follow from, and made again only where that has changed."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from fer.core.files import atomic_write, read_array, write_array
from fer.runtime.errors import InputError

RunResult = tuple[Float[np.ndarray, "..."], dict[str, Any]]  # an array, and what is to be told beside it


def cached_result(
    path: Path, fingerprint_inputs: Mapping[str, Any], compute: Callable[[], RunResult], name: str
) -> RunResult:
    """What `compute` gives; read from the JSON file `path` and the .npy beside it where the same `fingerprint_inputs` gave them.

    Raises:
        InputError: the files are damaged, or one is missing.
    """
    answers = path.with_suffix(".npy")
    earlier = _read_result(path, answers) if path.is_file() else None
    if earlier:
        run_with, said, told = earlier
        if run_with == fingerprint_inputs:
            return said, told
        other = [key for key, value in fingerprint_inputs.items() if run_with.get(key) != value]
        print(f"{name}: {path} was run with other {', '.join(other)}; running it again")
        path.unlink()  # it says that the answers are complete
    said, told = compute()
    with atomic_write(answers) as part:
        write_array(part, said)
    with atomic_write(path) as part:  # every digit, as what it was run with is compared
        part.write_text(json.dumps({"run_with": fingerprint_inputs} | told, indent=2) + "\n", encoding="utf-8")
    return said, told


def _read_result(about: Path, answers: Path) -> tuple[dict[str, Any], Float[np.ndarray, "..."], dict[str, Any]]:
    try:
        content = dict(json.loads(about.read_text(encoding="utf-8")))
        return dict(content.pop("run_with")), read_array(answers), content
    except (InputError, OSError, ValueError, TypeError, KeyError) as error:
        raise damaged_result_error(about) from error


def damaged_result_error(path: Path) -> InputError:
    return InputError(
        f"{path}: damaged, or without its {path.with_suffix('.npy').name}; delete it, and the run is repeated"
    )
