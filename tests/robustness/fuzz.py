"""Random and mutated input at every reader, guided by the code that it reaches: anything but a clear answer is a crash.

Atheris (`pip install '.[robustness]'`, Linux) mutates bytes towards code that was not reached yet, in a process for
each target; hypothesis writes what has a grammar (a target at a time, without it). A crash's input is printed and kept
in `--crashes`.

    python -m tests.robustness.fuzz [TARGET ...] [--seconds 360]
"""

import argparse
import contextlib
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fer.cli.predict import predict_sources
from fer.core.labels import EMOTIONS
from fer.core.store import open_faces
from fer.data.ingest.detect import READERS, detect_layout
from fer.data.ingest.extraction import extract_faces
from fer.data.media import archives
from fer.data.media.folders import Folder
from fer.data.media.images import UndecodableError, decode_face, decode_image, parse_pixels, read_image_size
from fer.nn.weights import read_model_config
from fer.params import load_params
from fer.pseudo_labels.review.answers import read_reviews
from fer.pseudo_labels.review.corrections import read_corrections
from fer.runtime.errors import InputError
from fer.serving.inputs import InputLoader
from fer.serving.package import bundle
from tests.robustness import harness
from tests.robustness import hostile_files as files

EXPECTED_ERRORS = (InputError, UndecodableError)
TABLE = pd.DataFrame({"source": ["s"], "id": ["a.png"]})
INGEST_PARAMS = load_params().ingest
PARAMS_BYTES = Path("params.yaml").read_bytes()
assert predict_sources  # the command is imported, so that the fuzzer sees its code


def fuzz_csv(folder: Path, data: bytes) -> None:
    (folder / "fer2013.csv").write_bytes(data)
    _read_source(folder)


def fuzz_layout(folder: Path, data: bytes) -> None:
    """Read a folder. The bytes are file names, one a line, then NUL and the contents, separated by NULs."""
    names, *contents = data.split(b"\0")
    for number, name in enumerate(names.split(b"\n")[:20]):
        path = Path(os.fsdecode(os.path.normpath(b"/" + name[:200])[1:]))
        with contextlib.suppress(OSError):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(contents[number % len(contents)] if contents else b"")
    _read_source(folder)


def fuzz_labels(folder: Path, data: bytes) -> None:
    """Read the bytes as a label file of RAF-DB, of ExpW and of AffectNet for YOLO."""
    for name in ("basic/EmoLabel/list_patition_label.txt", "label/label.lst", "data.yaml", "train/labels/a.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    for name in ("basic/Image/aligned/train_00001_aligned.jpg", "image/origin/a.jpg", "train/images/a.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(files.GOOD_JPEG)
    for reader in READERS:
        with contextlib.suppress(*EXPECTED_ERRORS):
            if reader.matches(Folder(folder)):
                list(reader.read(Folder(folder), INGEST_PARAMS))


def fuzz_params(folder: Path, data: bytes) -> None:
    (folder / "params.yaml").write_bytes(data)
    load_params(folder / "params.yaml")


def fuzz_review_sheets(folder: Path, data: bytes) -> None:
    for name in ("s.csv", "s.json"):
        (folder / name).write_bytes(data)
        with contextlib.suppress(*EXPECTED_ERRORS):
            read_corrections(folder / name, EMOTIONS, TABLE)
    read_reviews(folder / "s.csv")


def fuzz_images(folder: Path, data: bytes) -> None:
    for call in (read_image_size, decode_image, lambda bytes_: decode_face(bytes_, 48)):
        with contextlib.suppress(*EXPECTED_ERRORS):
            call(data)
    parse_pixels(data.decode("latin-1"), 8)


def fuzz_archives(folder: Path, data: bytes) -> None:
    """Predict the bytes as a zip file and as tar files."""
    for name in ("a.zip", "b.tar", "c.tgz"):
        (folder / name).write_bytes(data)
    archives.open_archive.cache_clear()
    for _ in InputLoader(1.0).load(str(folder)):
        pass


def fuzz_lists(folder: Path, data: bytes) -> None:
    os.chdir(folder)
    for line in data.split(b"\n")[:5]:
        if not re.match(rb"[0-9/~]|.*(\*\*|\.\.)", line):  # neither a camera nor the rest of the disk
            for _ in InputLoader(1.0).load(os.fsdecode(line)):
                pass


def fuzz_manifests(folder: Path, data: bytes) -> None:
    for name in ("package.json", "model.json", "weights.safetensors"):
        (folder / name).write_bytes(data)
    with contextlib.suppress(*EXPECTED_ERRORS):
        read_model_config(folder)
    import torch

    bundle.load_package(folder, torch.device("cpu"))


def fuzz_weights(folder: Path, data: bytes) -> None:
    """Read the bytes as a checkpoint, as weights and as an array."""
    from torch import nn

    from fer.nn.weights import load_weights
    from fer.training.checkpoint import Checkpoint

    (folder / "weights.safetensors").write_bytes(data)
    (folder / "faces.npy").write_bytes(data)
    network = nn.Linear(2, 2)
    with contextlib.suppress(*EXPECTED_ERRORS), contextlib.redirect_stdout(None):
        Checkpoint(folder / "weights.safetensors", "x").resume({"network": network})
    with contextlib.suppress(*EXPECTED_ERRORS):
        open_faces(folder / "faces.npy")
    load_weights(network, folder)


def _read_source(folder: Path) -> None:
    reader, place = detect_layout(folder)
    list(
        extract_faces((item for item in reader.read(place, INGEST_PARAMS) if not hasattr(item, "text")), INGEST_PARAMS)
    )


def seed_corpus(name: str) -> list[bytes]:
    """Return the first inputs: the files of `hostile`, and good ones."""
    small: list[bytes]
    match name:
        case "csv":
            small = [*files.hostile_csv_files().values()]
        case "layout":
            trees = [*files.hostile_label_files().values()]
            small = [b"\n".join(map(str.encode, tree)) + b"\0" + b"\0".join(tree.values()) for tree in trees]
        case "labels":
            small = [content for tree in files.hostile_label_files().values() for content in tree.values()]
        case "parameters":
            small = [PARAMS_BYTES, *files.hostile_params().values()]
        case "sheets":
            small = [content for _, content in files.hostile_review_sheets().values()]
        case "pictures":
            small = [files.GOOD_PNG, files.GOOD_JPEG, *files.hostile_images().values()]
        case "packed":
            small = [content for _, content in files.hostile_archives().values()]
        case "lists":
            small = [*files.hostile_stdin().values()]
        case _:
            small = [
                *files.hostile_checkpoints().values(),
                *files.hostile_arrays().values(),
                b'{"round": 1, "emotions": ["a", "b"]}',
            ]
    return [content for content in small if len(content) < 20_000]


TARGETS: dict[str, Callable[[Path, bytes], None]] = {
    "csv": fuzz_csv,
    "layout": fuzz_layout,
    "labels": fuzz_labels,
    "parameters": fuzz_params,
    "sheets": fuzz_review_sheets,
    "pictures": fuzz_images,
    "packed": fuzz_archives,
    "lists": fuzz_lists,
    "manifests": fuzz_manifests,
    "weights": fuzz_weights,
}
_CHILD = """import sys, atheris
with atheris.instrument_imports(include=["fer", "yaml"]):
    from tests.robustness import fuzz
fuzz.run_atheris(atheris, *sys.argv[1:])"""  # atheris measures the coverage of the modules imported in the block
_WORDS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [*EMOTIONS, "source,id,correction", "emotion,pixels,usage", "\n", ",", "\t", '"', "seed: ", "&a ", "*a "]
    ),
    st.integers().map(str),
    st.floats().map(str),
    st.dates().map(str),
)
_TEXTS = st.lists(_WORDS, max_size=30).map("".join).map(str.encode)
_KEYS = st.sampled_from(["data", "annotations", "result", "size", "emotions"])
_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner) | st.dictionaries(_KEYS, inner),
)


def run_target(name: str, data: bytes) -> None:
    """Run the target on the bytes, in a new folder."""
    start_folder = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder, contextlib.suppress(*EXPECTED_ERRORS):
        try:
            TARGETS[name](Path(folder), data)
        finally:
            os.chdir(start_folder)


def fuzz_by_grammar(name: str, seconds: float) -> int:
    """Return the number of inputs that hypothesis tried; raise the first crash, shrunk."""
    import json

    count, end = 0, time.monotonic() + seconds
    kinds = _TEXTS | _JSON.map(json.dumps).map(str.encode) | st.binary(max_size=300)

    @given(kinds)
    @settings(max_examples=50, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def tried(data: bytes) -> None:
        nonlocal count
        count += 1
        run_target(name, data)

    while time.monotonic() < end:
        tried()
    return count


def fuzz_by_coverage(name: str, seconds: int, corpus: Path, crashes: Path) -> tuple[int, str]:
    """Return the number of inputs that atheris tried, and its crash, if any."""
    limits = [
        f"-max_total_time={seconds}",
        "-max_len=20000",
        "-rss_limit_mb=3000",
        "-timeout=20",
        "-print_final_stats=1",
    ]
    call = [sys.executable, "-c", _CHILD, name, *limits]
    call += [f"-artifact_prefix={crashes}/{name}-", str(corpus)]
    done = subprocess.run(call, capture_output=True, text=True, errors="replace", check=False)
    output = done.stdout + done.stderr
    units = re.search(r"stat::number_of_executed_units:\s+(\d+)", output)
    why = re.findall(r"^.*(?:Error|Exception|ERROR).*$", output, re.MULTILINE)
    crash = "" if done.returncode == 0 else " | ".join(why[:3]) or output[-300:]
    return int(units[1]) if units else 0, crash


def run_atheris(atheris: Any, name: str, *arguments: str) -> None:
    """Mutate inputs until the time limit among the arguments."""
    atheris.Setup([sys.argv[0], *arguments], lambda data: run_target(name, data))
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=360, help="altogether (default: %(default)s)")
    parser.add_argument("--crashes", type=Path, default=Path("crashes"), help="folder (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="folder for fuzz.json, with the figures")
    args = parser.parse_args()
    if unknown := set(args.targets) - TARGETS.keys():
        parser.error(f"{', '.join(sorted(unknown))}: there are {', '.join(TARGETS)}")
    os.environ |= {"FER_NPROC": "1", "FER_DEVICE": "cpu"}
    begun, counts, lost = time.monotonic(), dict[str, int](), list[str]()
    targets, guided = args.targets or [*TARGETS], importlib.util.find_spec("atheris") is not None
    if not guided:
        print("atheris is not installed (`pip install '.[robustness]'`): by hypothesis alone")
    seconds_per_run = args.seconds / len(targets) / (2 if guided else 1)
    for name in targets:
        crash = ""
        with tempfile.TemporaryDirectory(prefix="corpus-") as corpus:
            for number, content in enumerate(seed_corpus(name)):
                (Path(corpus) / str(number)).write_bytes(content)
            try:
                for file in sorted(Path(corpus).iterdir()):
                    run_target(name, file.read_bytes())
                counts[name] = fuzz_by_grammar(name, seconds_per_run)
            except Exception as error:
                crash = f"{type(error).__name__}: {error} {getattr(error, '__notes__', '')}"[:2000]
            if guided and not crash:
                args.crashes.mkdir(parents=True, exist_ok=True)
                guided_count, crash = fuzz_by_coverage(name, max(1, round(seconds_per_run)), Path(corpus), args.crashes)
                counts[name] += guided_count
        lost += [f"{name}: {crash}"] if crash else []
        print(f"{'LOST' if crash else 'ok  '} {name}: {counts.get(name, 0):,} inputs", flush=True)
    harness.report(args.out, "fuzz", counts, lost, begun, guided=guided)


if __name__ == "__main__":
    main()
