"""Break the important lines one by one, and check that the tests notice each.

    python -m tests.robustness.mutations [--out FOLDER] [--only TEXT]

In a copy of the project each mutation of mutations.yaml is made, the tests named beside it are run, and at least one
must fail. An error in collecting or running the tests does not count: it would say nothing of what they check.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple, TypeVar

import yaml

from tests.robustness import harness

Result = TypeVar("Result")

ROOT = Path(__file__).parents[2]
WORKERS = 2  # mutations, each tested on a core
TEST_TIMEOUT = 1800  # for the tests of one, also on a busy machine
TESTS_FAILED = 1  # pytest's exit code where tests fail


class Mutation(NamedTuple):
    """A replacement of the only `line` in `file` by `instead`, which one of `tests`, separated by blanks, notices."""

    broken: str  # what is then wrong
    file: str
    line: str
    instead: str
    tests: str


MUTATIONS = [
    Mutation(file=file, **entry)
    for file, entries in yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8")).items()
    for entry in entries
]


def copy_tracked_files(place: Path) -> Path:
    """Copy the files that git knows, as they are, into the new folder `place`."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, place / name)
    return place


def run_tests(place: Path, tests: Iterable[str]) -> subprocess.CompletedProcess[str]:
    """Run pytest on `tests` in the copy at `place` until the first failure."""
    command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", *sorted(tests)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(place)}
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=TEST_TIMEOUT)


def run_mutation(place: Path, mutation: Mutation) -> int:
    """Return the exit code of the tests with the mutation applied, and undo the mutation."""
    file = place / mutation.file
    text = file.read_text(encoding="utf-8")
    if text.count(mutation.line) != 1:
        raise ValueError(f"{mutation.file} has not {mutation.line!r} once; {mutation.broken!r} must follow the code")
    file.write_text(text.replace(mutation.line, mutation.instead), encoding="utf-8")
    try:
        return run_tests(place, mutation.tests.split()).returncode
    finally:
        file.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder for mutations.json, with the figures")
    parser.add_argument("--only", default="", help="only mutations whose file or description contains this text")
    args = parser.parse_args()
    mutations = [mutation for mutation in MUTATIONS if args.only in f"{mutation.file} {mutation.broken}"]
    begun, lost = time.monotonic(), list[str]()
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(WORKERS) as threads:
        places: SimpleQueue[Path] = SimpleQueue()
        for number in range(WORKERS):
            places.put(copy_tracked_files(Path(scratch) / str(number)))

        def in_a_copy(call: Callable[[Path], Result]) -> Result:
            place = places.get()
            try:
                return call(place)
            finally:
                places.put(place)

        files = sorted({file for mutation in mutations for file in mutation.tests.split()})
        halves = filter(None, (files[::2], files[1::2]))
        for baseline in threads.map(lambda tests: in_a_copy(partial(run_tests, tests=tests)), halves):
            if baseline.returncode:
                sys.exit(f"{baseline.stdout}the tests fail without any mutation")
        for mutation, code in zip(
            mutations,
            threads.map(lambda mutation: in_a_copy(partial(run_mutation, mutation=mutation)), mutations),
            strict=True,
        ):
            verdict = {0: "not noticed", TESTS_FAILED: "noticed"}.get(code, f"pytest ended with {code}")
            print(line := f"{verdict}: {mutation.broken} ({mutation.file})", flush=True)
            lost += [line] if code != TESTS_FAILED else []
    harness.report(args.out, "mutations", {"mutations": len(mutations)}, lost, begun)


if __name__ == "__main__":
    main()
