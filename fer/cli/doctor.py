"""`fer doctor`: check that everything the pipeline needs is present."""

import argparse
import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from fer.cli.paths import PARAMS_FILE, RAW_FOLDER, UNIFIED_FOLDER
from fer.data.ingest.add_source import dvc_file
from fer.experiments.dvc import run_dvc

Severity = Literal["ok", "hint", "warning", "problem"]
Finding = tuple[Severity, str]

PYPROJECT_FILE = Path(__file__).parents[2] / "pyproject.toml"
_OTHER_OPENCV_BUILDS = ("opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless")
_MIN_FREE_BYTES = 5e9


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "doctor",
        help="check the installation, the data, the device and params.yaml",
        description="Check the installation, the data, the device and params.yaml. Exit with 1 if there is a problem.",
    )
    parser.add_argument(
        "--files",
        action="store_true",
        help="also read every file of DVC's cache and of the results, and list damaged files; DVC does not notice them",
    )
    parser.set_defaults(call=doctor)


def doctor(args: argparse.Namespace) -> None:
    has_problem, printed = False, set[str]()
    for check in (
        check_installation,
        check_project,
        check_params,
        check_sources,
        check_device,
        check_disk,
        *([check_files] if args.files else []),
    ):
        for severity, text in run_check(check):
            if text in printed:  # several checks read params.yaml
                continue
            printed.add(text)
            print(f"{severity:8} {text}")
            has_problem |= severity == "problem"
    if has_problem:
        sys.exit(1)


def run_check(check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Yield the findings of a check; an exception in it is a problem too."""
    from fer.runtime.errors import InputError

    try:
        yield from check()
    except InputError as error:
        yield "problem", str(error)
    except Exception as error:
        yield "problem", f"{check.__name__} failed: {type(error).__name__}: {error}"


def check_installation() -> Iterator[Finding]:
    import tomllib

    from fer.runtime.public_api import foreign_distribution_warning

    yield ("ok" if sys.version_info >= (3, 11) else "problem"), f"Python {sys.version.split()[0]} (3.11 or newer)"
    if warning := foreign_distribution_warning():
        yield "problem", warning
    project = tomllib.loads(PYPROJECT_FILE.read_text(encoding="utf-8"))["project"]
    for line in project["dependencies"]:
        yield check_requirement(line, "problem", "run `make setup`")
    for extra, lines in project["optional-dependencies"].items():
        for line in lines if extra != "dev" else []:
            yield check_requirement(line, "ok", f"only the extra {extra} needs it: pip install '.[{extra}]'")
    try:
        import torchvision  # noqa: F401
    except Exception as error:
        yield "problem", f"torchvision can't be imported ({error}); run `make setup` to install the versions that match"
    import cv2

    if not hasattr(cv2, "CascadeClassifier"):
        yield "problem", f"OpenCV {cv2.__version__} has no cascades; pip install 'opencv-python-headless<5'"


def check_requirement(requirement_line: str, severity_if_missing: Severity, remedy: str) -> Finding:
    """Compare the installed version of a package with a line of pyproject.toml such as `numpy>=2.0`."""
    from importlib.metadata import PackageNotFoundError, version

    from packaging.requirements import Requirement  # comes with DVC and matplotlib

    requirement = Requirement(requirement_line)
    for name in (requirement.name, *(_OTHER_OPENCV_BUILDS if requirement.name.startswith("opencv") else ())):
        try:
            installed = version(name)
        except PackageNotFoundError:
            continue
        if requirement.specifier.contains(installed, prereleases=True):
            return "ok", f"{name} {installed}"
        return "problem", f"{name} is {installed}, but must be {requirement.specifier}; {remedy}"
    return severity_if_missing, f"{requirement.name} is not installed; {remedy}"


def check_project() -> Iterator[Finding]:
    for name, folder, remedy in (("a git repository", ".git", "git init"), ("DVC", ".dvc", "dvc init")):
        exists = any((parent / folder).exists() for parent in (Path.cwd(), *Path.cwd().parents))
        yield ("ok", f"{name} is here") if exists else ("problem", f"{name} is not here; run `{remedy}`")
    python = shutil.which("python")
    if python is None or not os.path.samefile(Path(python).parent, Path(sys.executable).parent):
        state = f"is {python}, not {sys.executable}" if python else "is not found"
        yield "warning", f'the `python` of DVC\'s stages {state}; export PATH="{Path(sys.executable).parent}:$PATH"'
    for name in ("dvc.yaml", "params.yaml"):
        if not Path(name).is_file():
            yield "problem", f"{name} is not here; run this command in the project's folder"


def check_params() -> Iterator[Finding]:
    from fer.params import load_params

    params = load_params(PARAMS_FILE)
    yield "ok", f"params.yaml is valid: {len(params.emotions)} emotions, networks {', '.join(params.members)}"
    detector = params.ingest.detector
    if detector != "haar" and not Path(detector).is_file():
        yield "problem", f"ingest.detector={detector} in params.yaml does not exist; use haar or a YuNet model"


def check_sources() -> Iterator[Finding]:
    from fer.core.files import read_json
    from fer.data.ingest.detect import READERS, detect_layout, find_reader, get_reader_name
    from fer.params import load_params
    from fer.runtime.errors import InputError

    params = load_params(PARAMS_FILE)
    for source in params.sources:
        folder = RAW_FOLDER / source
        pointer = dvc_file(folder)
        if source.startswith("sample_") and not folder.exists():
            yield "ok", f"{source}: will be drawn by `dvc repro`"
            continue
        if not folder.exists() and pointer.exists():
            yield "warning", f"{source}: not here; run `dvc pull {pointer}`"
            continue
        reader_name = params.ingest.readers.get(source)
        try:
            reader, _ = detect_layout(folder, [find_reader(reader_name)] if reader_name else READERS)
        except InputError as error:
            yield "problem", str(error)
            continue
        yield "ok", f"{source}: read as {get_reader_name(reader)}; {reader.LICENSE_TERMS}"
        if not (pointer.exists() or source.startswith("sample_")):
            yield "warning", f"{source}: its files are not versioned; run `dvc add {folder}`"
    report_file = UNIFIED_FOLDER / "report.json"
    if not report_file.is_file():
        yield "ok", "nothing has been run yet; run `dvc repro`"
        return
    report = read_json(report_file)
    n_twins = report["similar_twins_as_supplied"]["test_in_train"]
    if n_twins:
        yield "warning", f"{n_twins} test faces have a near duplicate in training; training leaves the duplicates out"
    for source, source_report in report["supplied"].items():
        for note in source_report["notes"]:
            yield "warning", f"{source}: {note}"


def check_device() -> Iterator[Finding]:
    import torch

    from fer.nn import devices
    from fer.params import load_params
    from fer.params.profiles import faster_profile_hint
    from fer.runtime.parallel import requested_workers, worker_count

    if not os.environ.get("FER_DEVICE") and (warning := devices.unusable_gpu_warning()):
        yield "problem", warning
        return
    device = devices.default_device()
    if device.type == "cuda":
        yield "ok", f"GPU: {devices.describe_gpu(device)}"
        devices.check_gpu_count(device, requested_workers() or 1)
    else:
        yield "ok", f"device {device.type}; training takes minutes on drawn faces, hours on large sets"
    yield "ok", f"{worker_count()} processes, {torch.get_num_threads()} threads"
    for name in ("FER_DEVICE", "FER_NPROC", "FER_LAUNCH"):
        if name in os.environ:
            yield "ok", f"{name} is {os.environ[name]}"
    params = load_params(PARAMS_FILE)
    yield (
        "ok",
        f"precision {params.precision}, train.batch {params.train.batch}, predict.batch {params.predict.batch}",
    )
    has_bf16 = devices.supports_bf16(device)
    if params.precision == "bf16" and has_bf16 is False:
        yield "warning", devices.SLOW_BF16_WARNING
    if hint := faster_profile_hint(params, next(iter(params.members)), device.type, has_bf16):
        yield "hint", hint


def check_disk() -> Iterator[Finding]:
    free = shutil.disk_usage(".").free
    severity: Severity = "ok" if free > _MIN_FREE_BYTES else "warning"
    yield severity, f"{free / 1e9:.0f} GB of disk space are free"


def check_files() -> Iterator[Finding]:
    """Compare the MD5 of every file in DVC's cache, and of every result in `dvc.lock`, with the recorded one."""
    import json

    import yaml

    cache = Path(run_dvc("cache", "dir").strip()) / "files" / "md5"
    expected = [(path, path.parent.name + path.name.removesuffix(".dir")) for path in sorted(cache.glob("??/*"))]
    lock = Path("dvc.lock")
    stages = yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"].values() if lock.is_file() else []
    for out in (out for stage in stages for out in stage.get("outs", [])):
        path, digest = Path(out["path"]), out["md5"]
        listing = cache / digest[:2] / digest[2:]
        if not digest.endswith(".dir"):
            expected.append((path, digest))
        elif listing.is_file() and _md5(listing) + ".dir" == digest:
            expected += [(path / entry["relpath"], entry["md5"]) for entry in json.loads(listing.read_bytes())]
    present = [(path, digest) for path, digest in expected if path.is_file()]
    damaged = [path for path, digest in present if _md5(path) != digest]
    for path in damaged:
        yield "problem", f"{path}: differs from what DVC recorded; delete it, then run `dvc pull` or `dvc repro`"
    if not damaged:
        yield "ok", f"{len(present):,} files in DVC's cache and among the results are as DVC recorded them"


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
