"""Does a clone have the committed results without running anything, and is damage noticed and mended?

    python -m tests.robustness.history [--out FOLDER]

A small project is run, committed and pushed to a folder. In fresh clones everything is pulled, and files are
damaged or deleted in the cache, among the results and on the remote: `dvc pull` with `verify`, or `fer doctor --files`,
has to name them, and `dvc repro` to run the one stage that makes them.
"""

import argparse
import shutil
import stat
import sys
import tempfile
import time
from pathlib import Path

from tests.robustness import harness
from tests.robustness.harness import call, commit_all, make_project, stages_run

LOGITS = "data/predictions/0/simple_cnn-0.npy"
WEIGHTS = "data/models/0/simple_cnn-0/weights.safetensors"
OUTPUT_STAGES = {LOGITS: "predict@0-simple_cnn-0", WEIGHTS: "train@simple_cnn-0"}
CHEAP_STAGES = {"evaluate", "package"}  # what has a part of a folder that could not be pulled may follow
FER_COMMAND = (sys.executable, "-c", "from fer.cli import main; main()")


def flip_bit(path: Path) -> None:
    """Change one bit and keep the file's mode, which DVC sets to read-only."""
    mode, content = path.stat().st_mode, bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(stat.S_IMODE(mode))


def object_path(store: Path, digest: str) -> Path:
    return store / "files" / "md5" / digest[:2] / digest[2:]


class CloneTrials:
    def __init__(self, scratch: Path) -> None:
        self.scratch, self.checks, self.failures = scratch, 0, list[str]()
        self.project = make_project(scratch / "project")
        self.remote = scratch / "remote"
        call(self.project, "dvc", "remote", "add", "--default", "store", str(self.remote))
        call(self.project, "dvc", "remote", "modify", "store", "verify", "true")
        commit_all(self.project)
        call(self.project, "dvc", "push")

    def clone(self, pull: bool = True) -> Path:
        folder = self.scratch / "clone"
        shutil.rmtree(folder, ignore_errors=True)
        call(self.scratch, "git", "clone", "--quiet", str(self.project), str(folder))
        if pull:
            call(folder, "dvc", "pull")
        return folder

    def check(self, statement: str, true: bool) -> None:
        self.checks += 1
        print(f"{'ok' if true else 'LOST'}: {statement}", flush=True)
        if not true:
            self.failures.append(statement)

    def check_clone(self) -> None:
        clone = self.clone()
        self.check("a clone that pulled has nothing to do", "up to date" in call(clone, "dvc", "status"))
        self.check("dvc repro runs nothing in it", stages_run(call(clone, "dvc", "repro")) == [])
        self.check("its metrics are the committed ones", call(clone, "git", "status", "--porcelain") == "")
        for path in OUTPUT_STAGES:
            same = (clone / path).read_bytes() == (self.project / path).read_bytes()
            self.check(f"{path} is that of the project", same)

    def check_local_damage(self, path: str, results: bool, cache: bool) -> None:
        clone = self.clone()
        good = (clone / path).read_bytes()
        object_ = object_path(clone / ".dvc/cache", self.digest(path))
        damaged = [clone / path] * results + [object_] * cache
        for file in damaged:
            flip_bit(file)
        output = call(clone, *FER_COMMAND, "doctor", "--files", fails=True)
        places = " and ".join(["the result"] * results + ["the cache"] * cache)
        self.check(f"{path}: damaged in {places}, it is named", all(file.name in output for file in damaged))
        for file in damaged:
            file.unlink()
        self.check_repair(clone, path, good, f"damaged in {places}", run=cache)

    def check_repair(self, clone: Path, path: str, good: bytes, how: str, run: bool) -> None:
        stages = stages_run(call(clone, "dvc", "repro"))
        self.check(
            f"{path}: {how}, it is rebuilt by {stages or 'the cache'}",
            stages[:1] == [OUTPUT_STAGES[path]] * run and not {*stages[1:]} - CHEAP_STAGES,
        )
        same = (clone / path).read_bytes() == good and "up to date" in call(clone, "dvc", "status")
        self.check(f"{path}: {how}, it is as it was", same)

    def check_remote_damage(self, path: str, missing: bool) -> None:
        object_ = object_path(self.remote, self.digest(path))
        content, good = object_.read_bytes(), (self.project / path).read_bytes()
        (Path.unlink if missing else flip_bit)(object_)
        clone = self.clone(pull=False)
        how = f"{'missing' if missing else 'damaged'} on the remote"
        output = call(clone, "dvc", "pull", fails=True)
        self.check(f"{path}: {how}, dvc pull says so", "failed to pull" in output)
        self.check_repair(clone, path, good, how, run=True)
        for file in (object_, *self.remote.glob("files/md5/*/*.dir")):  # without the lists of folders all is compared
            file.unlink(missing_ok=True)
        call(clone, "dvc", "push")
        self.check(f"{path}: {how}, dvc push mends the remote", object_.is_file() and object_.read_bytes() == content)

    def digest(self, path: str) -> str:
        import hashlib

        return hashlib.md5((self.project / path).read_bytes()).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder for history.json, with the figures")
    args = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        trials = CloneTrials(Path(scratch))
        trials.check_clone()
        for path in OUTPUT_STAGES:
            for results, cache in ((True, False), (False, True), (True, True)):
                trials.check_local_damage(path, results, cache)
            for missing in (True, False):
                trials.check_remote_damage(path, missing)
    harness.report(args.out, "history", {"checks": trials.checks}, trials.failures, begun)


if __name__ == "__main__":
    main()
