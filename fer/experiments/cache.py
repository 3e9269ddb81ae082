"""Results that take long: kept beside all that they follow from, and made again only where that has changed."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from fer.core.files import read_array, replacing, write_array
from fer.runtime.errors import InputError

Result = tuple[Float[np.ndarray, "..."], dict[str, Any]]  # an array, and what is to be told beside it


def stored(about: Path, facts: Mapping[str, Any], make: Callable[[], Result], name: str) -> Result:
    """What `make` gives; read from the JSON file `about` and the .npy beside it where the same `facts` gave them.

    Raises:
        InputError: the files are damaged, or one is missing.
    """
    answers = about.with_suffix(".npy")
    earlier = _earlier(about, answers) if about.is_file() else None
    if earlier:
        run_with, said, told = earlier
        if run_with == facts:
            return said, told
        other = [key for key, value in facts.items() if run_with.get(key) != value]
        print(f"{name}: {about} was run with other {', '.join(other)}; running it again")
        about.unlink()  # it says that the answers are complete
    said, told = make()
    with replacing(answers) as part:
        write_array(part, said)
    with replacing(about) as part:  # every digit, as what it was run with is compared
        part.write_text(json.dumps({"run_with": facts} | told, indent=2) + "\n", encoding="utf-8")
    return said, told


def _earlier(about: Path, answers: Path) -> tuple[dict[str, Any], Float[np.ndarray, "..."], dict[str, Any]]:
    try:
        content = dict(json.loads(about.read_text(encoding="utf-8")))
        return dict(content.pop("run_with")), read_array(answers), content
    except (InputError, OSError, ValueError, TypeError, KeyError) as error:
        raise damaged(about) from error


def damaged(about: Path) -> InputError:
    return InputError(
        f"{about}: damaged, or without its {about.with_suffix('.npy').name}; delete it, and the run is repeated"
    )
