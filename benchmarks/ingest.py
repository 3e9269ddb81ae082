"""Ingest against plain Pillow decoding on the same cores, and the memory it takes as a source grows.

    python -m benchmarks.ingest [--pictures 20000] [--sizes 10000 100000] [--out ingest.json]

Both sides get the same tree of JPEG files and as many processes. Plain Pillow opens, converts to grey and scales each
picture and returns the arrays, 64 at a time; ours is the whole stage: it counts, decodes, checks, writes faces, labels
and report. Repeats are interleaved. Memory is the peak of the main process, and of the largest of the others.
"""

import argparse
import io
import json
import multiprocessing
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from fer import params
from fer.datasets import tree
from fer.datasets.files import Folder
from fer.datasets.ingesting import ingest
from fer.processes import cores

SIDES = (48, 224)  # FER-2013's and AffectNet's
DISTINCT = 500
REPEATS = 5


def write_tree(root: Path, pictures: int, side: int) -> Path:
    """JPEG files of smooth noise, in folders of a thousand."""
    generator = np.random.default_rng(0)
    contents = []
    for _ in range(DISTINCT):
        coarse = Image.fromarray(generator.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        coarse.resize((side, side), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
        contents.append(buffer.getvalue())
    for number in range(pictures):
        folder = root / f"{number // 1000:04}"
        if number % 1000 == 0:
            folder.mkdir(parents=True)
        (folder / f"{number:07}.jpg").write_bytes(contents[number % DISTINCT])
    return root


def plain(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("L").resize((48, 48), Image.Resampling.LANCZOS))


def with_plain_pillow(root: Path) -> None:
    paths = sorted(root.rglob("*.jpg"))
    with multiprocessing.get_context("spawn").Pool(cores()) as pool:
        for _ in pool.imap(plain, paths, chunksize=64):
            pass


def with_ours(root: Path, out: Path) -> None:
    out.mkdir(exist_ok=True)
    ingest("benchmark", tree, Folder(root), params.load().ingest, out)


def seconds(call: object, *arguments: Path) -> float:
    start = time.perf_counter()
    call(*arguments)  # type: ignore[operator]
    return time.perf_counter() - start


def peak_megabytes(pictures: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        root = write_tree(Path(folder) / "tree", pictures, SIDES[0])
        command = [sys.executable, "-m", "benchmarks.ingest", "--only", str(root), "--out", str(Path(folder) / "out")]
        found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    main, others = map(float, found.split())
    return {"pictures": pictures, "main": main, "largest_other": others}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--sizes", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--only", type=Path, help=argparse.SUPPRESS)  # one measured run in a process of its own
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.only:
        with_ours(args.only, args.out)
        usage = (resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        print(*usage)
        return

    rates: list[dict[str, float]] = []
    for side in SIDES:
        with tempfile.TemporaryDirectory() as folder:
            root = write_tree(Path(folder) / "tree", args.pictures, side)
            times: list[tuple[float, float]] = []
            for _ in range(REPEATS + 1):
                times.append((seconds(with_ours, root, Path(folder) / "out"), seconds(with_plain_pillow, root)))
            times = times[1:]  # the first warms the file cache
        ratios = [other / own for own, other in times]
        ours, pillow = (args.pictures / statistics.median(column) for column in zip(*times, strict=True))
        row = {"side": side, "ours": ours, "pillow": pillow, "ratio": statistics.median(ratios)}
        rates.append(row | {"lowest_ratio": min(ratios), "highest_ratio": max(ratios)})
        print(f"{side} pixels: {ours:,.0f} pictures/s, plain Pillow {pillow:,.0f}, ratio {row['ratio']:.2f}")
    memory = []
    for size in args.sizes:
        memory.append(peak_megabytes(size))
        print(
            "{pictures:,.0f} pictures: {main:.0f} MB, the largest other process {largest_other:.0f} MB".format(
                **memory[-1]
            )
        )
    if args.out:
        about = {"processes": cores(), "repeats": REPEATS, "rates": rates, "memory": memory}
        args.out.write_text(json.dumps(about, indent=2) + "\n")


if __name__ == "__main__":
    main()
