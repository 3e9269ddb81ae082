"""Shards of a prediction: independent machines compute a part of the slices each, in a file of their own."""

import glob
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fer.nn.partial import PartialPredictions, partial_path
from fer.runtime.errors import InputError

MACHINE_KEYS = (
    "device",
    "compiled",
    "torch",
    "slice",
)  # of dependencies; machines that differ in them can't share work


@dataclass(frozen=True)
class Shard:
    """One of `count` parts of the slices."""

    number: int  # from 1
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def path(self, out: Path, dependencies: str) -> Path:
        """Return the file of this shard of `out`. Runs with other dependencies use other files, even at once."""
        return out.with_name(f".{out.name}.{self.number}of{self.count}-{_digest(dependencies)}.part")

    def select(self, starts: Sequence[int]) -> Sequence[int]:
        """Return every `count`-th of all slices."""
        return starts[self.number - 1 :: self.count]

    def finish(self, partial: PartialPredictions) -> None:
        """Say where the finished slices are.

        Raises:
            InputError: A slice is missing.
        """
        n_slices = len(self.select(partial.starts))
        partial.check_slices(self.select(partial.starts))
        print(f"shard {self}: {n_slices} of {len(partial.starts)} slices are in {partial.path}")


def parse_shard(text: str) -> Shard:
    """Return the shard that `text`, such as 3/8, names.

    Raises:
        InputError: The text is no such fraction.
    """
    match = re.fullmatch("([0-9]{1,6})/([0-9]{1,6})", text)
    if match and 1 <= int(match[1]) <= int(match[2]):
        return Shard(int(match[1]), int(match[2]))
    raise InputError(f"--shard {text}: write number/count, counted from 1: 1/8 to 8/8, for Slurm --array=1-8")


def hash_faces(faces: Path) -> str:
    """Return the SHA-256 of a file of faces, which is the same on all machines, unlike its modification time."""
    with faces.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def merge_shards(
    out: Path, shape: tuple[int, ...], faces: Path, inputs: Mapping[str, object]
) -> PartialPredictions | None:
    """Collect the slices of shards in the unfinished file of `out`, and return that; None without shards.

    Shards that were not computed from `faces` and `inputs` are named and ignored.

    Raises:
        InputError: The shards were computed in different ways.
    """
    shards = _find_shards(out, shape, faces, inputs)
    if not shards:
        return None
    for shard in shards:
        check_same_machine(shards[0].dependencies, shard.dependencies, f"{shards[0].path} was", str(shard.path))
    merged = replace(shards[0], path=partial_path(out))
    missing = set(merged.resume_or_create())
    for shard in shards:
        done = missing.difference(shard.missing_slices() or [])
        merged.copy_slices(shard, sorted(done))
        missing -= done
    print(f"{out}: {len(merged.starts) - len(missing)} of {len(merged.starts)} slices come from shards")
    return merged


def remove_shards(out: Path, dependencies: str) -> None:
    """Delete the files of the shards of `out` that were computed with `dependencies`."""
    for path in out.parent.glob(f".{glob.escape(out.name)}.*of*-{_digest(dependencies)}.part"):
        path.unlink(missing_ok=True)


def _find_shards(
    out: Path, shape: tuple[int, ...], faces: Path, inputs: Mapping[str, object]
) -> list[PartialPredictions]:
    if not (paths := sorted(out.parent.glob(f".{glob.escape(out.name)}.*of*-*.part"))):
        return []
    expected = json.loads(json.dumps({**inputs, "faces": hash_faces(faces)}))
    shards = []
    for path in paths:
        shard = PartialPredictions.read(path, shape)
        if shard and _without_machine(shard.dependencies) == expected:
            shards.append(shard)
        else:
            print(f"ignoring {path}: it is damaged, or has other faces, weights, settings or code")
    return shards


def check_same_machine(dependencies: str, other_dependencies: str, name: str, other_name: str) -> None:
    """Check that slices with these dependencies, computed by `name` and `other_name`, may be parts of one file.

    Raises:
        InputError: They may not, because the machines differ.
    """
    if dependencies != other_dependencies:
        way, other_way = (
            ", ".join(f"{key}={json.loads(text)[key]}" for key in MACHINE_KEYS)
            for text in (dependencies, other_dependencies)
        )
        raise InputError(
            f"{name} computed with {way}, but {other_name} with {other_way}; compute all on machines of one kind, or "
            "delete the shards of the other kind"
        )


def _digest(dependencies: str) -> str:
    return hashlib.sha256(dependencies.encode()).hexdigest()[:8]


def _without_machine(dependencies: str) -> dict[str, object]:
    return {key: value for key, value in json.loads(dependencies).items() if key not in MACHINE_KEYS}
