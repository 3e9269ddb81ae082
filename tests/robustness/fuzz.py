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

from fer.cli.predict import look
from fer.core.labels import EMOTIONS
from fer.core.store import open_faces
from fer.data.ingest.detect import READERS, recognise
from fer.data.ingest.extraction import extract
from fer.data.media import archives
from fer.data.media.folders import Folder
from fer.data.media.images import UndecodableError, decode, decode_colour, dimensions, undigit
from fer.nn.weights import read_facts
from fer.params import load_params
from fer.pseudo_labels.review.answers import read_reviews
from fer.pseudo_labels.review.corrections import read_corrections
from fer.runtime.errors import InputError
from fer.serving.inputs import Inputs
from fer.serving.package import bundle
from tests.robustness import harness
from tests.robustness import hostile_files as files

EXPECTED = (InputError, UndecodableError)
TABLE = pd.DataFrame({"source": ["s"], "id": ["a.png"]})
RULES = load_params().ingest
TEXT = Path("params.yaml").read_bytes()
assert look  # the command is imported, so that the fuzzer sees its code


def csv(folder: Path, data: bytes) -> None:
    (folder / "fer2013.csv").write_bytes(data)
    _read(folder)


def layout(folder: Path, data: bytes) -> None:
    """The bytes are names, one a line, and after a NUL contents, apart by NULs, taken in turn."""
    names, *contents = data.split(b"\0")
    for number, name in enumerate(names.split(b"\n")[:20]):
        path = Path(os.fsdecode(os.path.normpath(b"/" + name[:200])[1:]))
        with contextlib.suppress(OSError):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(contents[number % len(contents)] if contents else b"")
    _read(folder)


def labels(folder: Path, data: bytes) -> None:
    """A list of RAF-DB, of ExpW and of AffectNet for YOLO."""
    for name in ("basic/EmoLabel/list_patition_label.txt", "label/label.lst", "data.yaml", "train/labels/a.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    for name in ("basic/Image/aligned/train_00001_aligned.jpg", "image/origin/a.jpg", "train/images/a.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(files.JPEG)
    for reader in READERS:
        with contextlib.suppress(*EXPECTED):
            if reader.recognises(Folder(folder)):
                list(reader.read(Folder(folder), RULES))


def parameters(folder: Path, data: bytes) -> None:
    (folder / "params.yaml").write_bytes(data)
    load_params(folder / "params.yaml")


def sheets(folder: Path, data: bytes) -> None:
    for name in ("s.csv", "s.json"):
        (folder / name).write_bytes(data)
        with contextlib.suppress(*EXPECTED):
            read_corrections(folder / name, EMOTIONS, TABLE)
    read_reviews(folder / "s.csv")


def pictures(folder: Path, data: bytes) -> None:
    for call in (dimensions, decode_colour, lambda bytes_: decode(bytes_, 48)):
        with contextlib.suppress(*EXPECTED):
            call(data)
    undigit(data.decode("latin-1"), 8)


def packed(folder: Path, data: bytes) -> None:
    """The bytes as a zip and as tars, predicted."""
    for name in ("a.zip", "b.tar", "c.tgz"):
        (folder / name).write_bytes(data)
    archives.opened.cache_clear()
    for _ in Inputs(1.0).named(str(folder)):
        pass


def lists(folder: Path, data: bytes) -> None:
    os.chdir(folder)
    for line in data.split(b"\n")[:5]:
        if not re.match(rb"[0-9/~]|.*(\*\*|\.\.)", line):  # neither a camera nor the rest of the disk
            for _ in Inputs(1.0).named(os.fsdecode(line)):
                pass


def manifests(folder: Path, data: bytes) -> None:
    for name in ("package.json", "model.json", "weights.safetensors"):
        (folder / name).write_bytes(data)
    with contextlib.suppress(*EXPECTED):
        read_facts(folder)
    import torch

    bundle.load(folder, torch.device("cpu"))


def weights(folder: Path, data: bytes) -> None:
    """Checkpoints, weights and arrays."""
    from torch import nn

    from fer.nn.weights import load_weights
    from fer.training.checkpoint import Checkpoint

    (folder / "weights.safetensors").write_bytes(data)
    (folder / "faces.npy").write_bytes(data)
    network = nn.Linear(2, 2)
    with contextlib.suppress(*EXPECTED), contextlib.redirect_stdout(None):
        Checkpoint(folder / "weights.safetensors", "x").resume({"network": network})
    with contextlib.suppress(*EXPECTED):
        open_faces(folder / "faces.npy")
    load_weights(network, folder)


def _read(folder: Path) -> None:
    reader, place = recognise(folder)
    list(extract((item for item in reader.read(place, RULES) if not hasattr(item, "text")), RULES))


def seeds(name: str, folder: Path) -> list[bytes]:
    """What the mutations begin with: the files of `hostile`, and good ones."""
    small: list[bytes]
    match name:
        case "csv":
            small = [*files.tables().values()]
        case "layout":
            trees = [*files.lists().values()]
            small = [b"\n".join(map(str.encode, tree)) + b"\0" + b"\0".join(tree.values()) for tree in trees]
        case "labels":
            small = [content for tree in files.lists().values() for content in tree.values()]
        case "parameters":
            small = [TEXT, *files.parameters().values()]
        case "sheets":
            small = [content for _, content in files.sheets().values()]
        case "pictures":
            small = [files.GOOD, files.JPEG, *files.pictures().values()]
        case "packed":
            small = [content for _, content in files.archives().values()]
        case "lists":
            small = [*files.listed().values()]
        case _:
            small = [
                *files.checkpoints(folder).values(),
                *files.arrays().values(),
                b'{"round": 1, "emotions": ["a", "b"]}',
            ]
    return [content for content in small if len(content) < 20_000]


TARGETS: dict[str, Callable[[Path, bytes], None]] = {
    "csv": csv,
    "layout": layout,
    "labels": labels,
    "parameters": parameters,
    "sheets": sheets,
    "pictures": pictures,
    "packed": packed,
    "lists": lists,
    "manifests": manifests,
    "weights": weights,
}
_CHILD = """import sys, atheris
with atheris.instrument_imports(include=["fer", "yaml"]):
    from tests.robustness import fuzz
fuzz.child(atheris, *sys.argv[1:])"""  # coverage is seen of what is imported within
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


def once(name: str, data: bytes) -> None:
    """Hand the bytes to the target, in a folder of its own."""
    here = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder, contextlib.suppress(*EXPECTED):
        try:
            TARGETS[name](Path(folder), data)
        finally:
            os.chdir(here)


def by_grammar(name: str, seconds: float) -> int:
    """How many inputs of hypothesis were tried; the first crash is raised, made as small as it can be."""
    import json

    count, end = 0, time.monotonic() + seconds
    kinds = _TEXTS | _JSON.map(json.dumps).map(str.encode) | st.binary(max_size=300)

    @given(kinds)
    @settings(max_examples=50, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def tried(data: bytes) -> None:
        nonlocal count
        count += 1
        once(name, data)

    while time.monotonic() < end:
        tried()
    return count


def by_coverage(name: str, seconds: int, corpus: Path, crashes: Path) -> tuple[int, str]:
    """How many inputs of atheris were tried, and how it crashed."""
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
    said = done.stdout + done.stderr
    found = re.search(r"stat::number_of_executed_units:\s+(\d+)", said)
    why = re.findall(r"^.*(?:Error|Exception|ERROR).*$", said, re.MULTILINE)
    crash = "" if done.returncode == 0 else " | ".join(why[:3]) or said[-300:]
    return int(found[1]) if found else 0, crash


def child(atheris: Any, name: str, *arguments: str) -> None:
    """Mutate for ever, or as long as the arguments say."""
    atheris.Setup([sys.argv[0], *arguments], lambda data: once(name, data))
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
    chosen, guided = args.targets or [*TARGETS], importlib.util.find_spec("atheris") is not None
    if not guided:
        print("atheris is not installed (`pip install '.[robustness]'`): by hypothesis alone")
    each = args.seconds / len(chosen) / (2 if guided else 1)
    for name in chosen:
        crash = ""
        with tempfile.TemporaryDirectory(prefix="corpus-") as corpus:
            for number, content in enumerate(seeds(name, Path(corpus))):
                (Path(corpus) / str(number)).write_bytes(content)
            try:
                for file in sorted(Path(corpus).iterdir()):
                    once(name, file.read_bytes())
                counts[name] = by_grammar(name, each)
            except Exception as error:
                crash = f"{type(error).__name__}: {error} {getattr(error, '__notes__', '')}"[:2000]
            if guided and not crash:
                args.crashes.mkdir(parents=True, exist_ok=True)
                more, crash = by_coverage(name, max(1, round(each)), Path(corpus), args.crashes)
                counts[name] += more
        lost += [f"{name}: {crash}"] if crash else []
        print(f"{'LOST' if crash else 'ok  '} {name}: {counts.get(name, 0):,} inputs", flush=True)
    harness.report(args.out, "fuzz", counts, lost, begun, guided=guided)


if __name__ == "__main__":
    main()
