"""`fer doctor`: is everything there that the pipeline needs? In plain words."""

import argparse
import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from fer.cli.paths import RAW_FOLDER
from fer.data.ingest.add_source import dvc_file
from fer.experiments.dvc_experiments import run_dvc
from fer.params import load_params

Severity = Literal["ok", "warning", "problem"]
Finding = tuple[Severity, str]

PYPROJECT_FILE = Path(__file__).parents[2] / "pyproject.toml"
_BUILDS = ("opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless")  # that also hold cv2
_FREE_BYTES = 5e9


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "doctor",
        help="check the installation, the data, the device and params.yaml",
        description="Check the installation, the data, the device and params.yaml. Ends with 1 if there is a problem.",
    )
    parser.add_argument(
        "--files",
        action="store_true",
        help="read every file of DVC's cache and every result, too, and name those that are damaged: DVC trusts them",
    )
    parser.set_defaults(call=doctor)


def doctor(args: argparse.Namespace) -> None:
    worst, told = False, set[str]()
    for check in (
        check_installation,
        check_project,
        check_params,
        check_sources,
        check_device,
        check_disk,
        *([check_files] if args.files else []),
    ):
        for state, text in run_check(check):
            if text in told:  # several checks need params.yaml
                continue
            told.add(text)
            print(f"{state:8} {text}")
            worst |= state == "problem"
    if worst:
        sys.exit(1)


def run_check(check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """What a check finds; one that fails itself is a finding."""
    from fer.runtime.errors import InputError

    try:
        yield from check()
    except InputError as error:
        yield "problem", str(error)
    except Exception as error:
        yield "problem", f"{check.__name__} could not be checked: {type(error).__name__}: {error}"


def check_installation() -> Iterator[Finding]:
    import tomllib

    yield ("ok" if sys.version_info >= (3, 11) else "problem"), f"Python {sys.version.split()[0]} (3.11 or newer)"
    about = tomllib.loads(PYPROJECT_FILE.read_text(encoding="utf-8"))["project"]
    for line in about["dependencies"]:
        yield check_requirement(line, "problem", "run `make setup`")
    for extra, lines in about["optional-dependencies"].items():
        for line in lines if extra != "dev" else []:
            yield check_requirement(line, "ok", f"only the extra {extra} needs it: pip install '.[{extra}]'")
    try:
        import torchvision  # noqa: F401
    except Exception as error:
        yield "problem", f"torchvision does not import ({error}); install the pair of requirements.lock: `make setup`"
    import cv2

    if not hasattr(cv2, "CascadeClassifier"):
        yield "problem", f"OpenCV {cv2.__version__} has no cascades; pip install 'opencv-python-headless<5'"


def check_requirement(requirement_line: str, severity_if_missing: Severity, remedy: str) -> Finding:
    """What is found of a package, by a line of pyproject.toml such as `numpy>=2.0`."""
    from importlib.metadata import PackageNotFoundError, version

    from packaging.requirements import Requirement  # comes with DVC and matplotlib

    needed = Requirement(requirement_line)
    for name in (needed.name, *(_BUILDS if needed.name.startswith("opencv") else ())):
        try:
            found = version(name)
        except PackageNotFoundError:
            continue
        if needed.specifier.contains(found, prereleases=True):
            return "ok", f"{name} {found}"
        return "problem", f"{name} is {found}, but must be {needed.specifier}; {remedy}"
    return severity_if_missing, f"{needed.name} is not installed; {remedy}"


def check_project() -> Iterator[Finding]:
    for what, place, remedy in (("a git repository", ".git", "git init"), ("DVC", ".dvc", "dvc init")):
        there = any((folder / place).exists() for folder in (Path.cwd(), *Path.cwd().parents))
        yield ("ok", f"{what} is here") if there else ("problem", f"{what} is not here; run `{remedy}`")
    python = shutil.which("python")
    if python is None or not os.path.samefile(Path(python).parent, Path(sys.executable).parent):
        found = f"is {python}, not {sys.executable}" if python else "is not found"
        yield "warning", f'the `python` of DVC\'s stages {found}; export PATH="{Path(sys.executable).parent}:$PATH"'
    for name in ("dvc.yaml", "params.yaml"):
        if not Path(name).is_file():
            yield "problem", f"{name} is not here; run this in the project's folder"


def check_params() -> Iterator[Finding]:

    chosen = load_params()
    yield "ok", f"params.yaml is valid: {len(chosen.emotions)} emotions, networks {', '.join(chosen.ensemble)}"
    detector = chosen.ingest.detector
    if detector != "haar" and not Path(detector).is_file():
        yield "problem", f"ingest.detector is {detector}, which is not there; a detector is haar or a YuNet model"


def check_sources() -> Iterator[Finding]:

    from fer.core.files import read_json
    from fer.data.ingest.detect import READERS, detect_layout, find_reader, get_reader_name
    from fer.runtime.errors import InputError

    chosen = load_params()
    for source in chosen.sources:
        folder = RAW_FOLDER / source
        pointer = dvc_file(folder)
        if source.startswith("sample_") and not folder.exists():
            yield "ok", f"{source}: will be drawn by `dvc repro`"
            continue
        if not folder.exists() and pointer.exists():
            yield "warning", f"{source}: not here; `dvc pull {pointer}` gets it"
            continue
        named = chosen.ingest.readers.get(source)
        try:
            reader, _ = detect_layout(folder, [find_reader(named)] if named else READERS)
        except InputError as error:
            yield "problem", str(error)
            continue
        yield "ok", f"{source}: read as {get_reader_name(reader)}; {reader.LICENSE_TERMS}"
        if not (pointer.exists() or source.startswith("sample_")):
            yield "warning", f"{source}: its files are not versioned; `dvc add {folder}`"
    report = Path("data/unified/report.json")
    if not report.is_file():
        yield "ok", "nothing was run yet: `dvc repro`"
        return
    told = read_json(report)
    twins = told["similar_twins_as_supplied"]["test_in_train"]
    if twins:
        yield "warning", f"{twins} test faces have a twin in training; the twins are excluded from training"
    for source, about in told["supplied"].items():
        for note in about["notes"]:
            yield "warning", f"{source}: {note}"


def check_device() -> Iterator[Finding]:
    import torch

    from fer.nn.inference import SLOW_BF16_WARNING, supports_bf16
    from fer.nn.inference import default_device as chosen_device
    from fer.runtime.parallel import worker_count

    where = chosen_device()
    if where.type == "cuda":
        memory = torch.cuda.get_device_properties(where).total_memory / 1e9
        yield "ok", f"GPU: {torch.cuda.get_device_name(where)}, {memory:.0f} GB"
    else:
        yield "ok", f"no GPU is used ({where.type}); training takes minutes on drawn faces, hours on large sets"
    yield "ok", f"{worker_count()} processes, {torch.get_num_threads()} threads"
    for name in ("FER_DEVICE", "FER_NPROC"):
        if name in os.environ:
            yield "ok", f"{name} is {os.environ[name]}"
    if load_params().precision == "bf16" and where.type == "cpu":
        fast = supports_bf16(Path("/proc/cpuinfo"))
        yield ("ok", "the processor computes in bf16") if fast else ("warning", SLOW_BF16_WARNING)


def check_disk() -> Iterator[Finding]:
    free = shutil.disk_usage(".").free
    state: Severity = "ok" if free > _FREE_BYTES else "warning"
    yield state, f"{free / 1e9:.0f} GB of disk are free"


def check_files() -> Iterator[Finding]:
    """What is in the cache, under the MD5 of its content, and in the results of `dvc.lock`."""
    import json

    import yaml

    kept = Path(run_dvc("cache", "dir").strip()) / "files" / "md5"
    expected = [(path, path.parent.name + path.name.removesuffix(".dir")) for path in sorted(kept.glob("??/*"))]
    lock = Path("dvc.lock")
    stages = yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"].values() if lock.is_file() else []
    for out in (out for stage in stages for out in stage.get("outs", [])):
        path, digest = Path(out["path"]), out["md5"]
        listed = kept / digest[:2] / digest[2:]
        if not digest.endswith(".dir"):
            expected.append((path, digest))
        elif listed.is_file() and _md5(listed) + ".dir" == digest:
            expected += [(path / part["relpath"], part["md5"]) for part in json.loads(listed.read_bytes())]
    here = [(path, digest) for path, digest in expected if path.is_file()]
    damaged = [path for path, digest in here if _md5(path) != digest]
    for path in damaged:
        yield "problem", f"{path}: not the content that DVC noted; delete it, then `dvc pull` or `dvc repro`"
    if not damaged:
        yield "ok", f"{len(here):,} files in DVC's cache and among the results are as DVC noted them"


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
