"""Ingest against plain Pillow decoding on the same cores, and its memory by the size of a source.

    python -m benchmarks.ingest [--pictures 20000] [--sizes 10000 100000] [--out benchmarks/results]

Both read the same tree of JPEG files with the same number of processes. Plain Pillow opens, converts to grey and scales
each image and returns the arrays, 64 at a time. Ours is the whole stage: it counts, decodes, checks, and writes faces,
labels and report. Repeats are interleaved. Memory is the peak of the main process, and of the largest worker.
"""

import argparse
import io
import multiprocessing
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import memory
from fer.core.store import open_faces
from fer.data.ingest.ingest import ingest
from fer.data.media.folders import Folder
from fer.data.readers import tree
from fer.params import load_params
from fer.runtime.parallel import worker_count

SIDES = (48, 224)  # FER-2013's and AffectNet's
DISTINCT_IMAGES = 500


def write_tree(root: Path, n_images: int, side: int) -> Path:
    """Write JPEG files of smooth noise, in folders of a thousand; return `root`."""
    generator = np.random.default_rng(0)
    contents = []
    for _ in range(DISTINCT_IMAGES):
        coarse = Image.fromarray(generator.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        coarse.resize((side, side), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
        contents.append(buffer.getvalue())
    for number in range(n_images):
        folder = root / f"{number // 1000:04}"
        if number % 1000 == 0:
            folder.mkdir(parents=True)
        (folder / f"{number:07}.jpg").write_bytes(contents[number % DISTINCT_IMAGES])
    return root


def read_with_pillow(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("L").resize((48, 48), Image.Resampling.LANCZOS))


def ingest_with_pillow(root: Path) -> int:
    paths = sorted(root.rglob("*.jpg"))
    with multiprocessing.get_context("spawn").Pool(worker_count()) as pool:
        return sum(1 for _ in pool.imap(read_with_pillow, paths, chunksize=64))


def ingest_with_fer(root: Path, out: Path) -> int:
    out.mkdir(exist_ok=True)
    ingest("benchmark", tree, Folder(root), load_params().ingest, out)
    return len(open_faces(out / "faces.npy"))


def measure_memory(n_images: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        root = write_tree(Path(folder) / "tree", n_images, SIDES[0])
        command = [sys.executable, "-m", "benchmarks.ingest", "--only", str(root), "--out", str(Path(folder) / "out")]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    main_megabytes, worker_megabytes = map(float, output.split())
    return {"pictures": n_images, "main_process": main_megabytes, "largest_other": worker_megabytes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--sizes", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--only", type=Path, help=argparse.SUPPRESS)  # for a process whose peak memory is measured
    args = parser.parse_args()
    if args.only:
        ingest_with_fer(args.only, args.out)
        print(memory.peak_megabytes(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
        return
    from benchmarks import measuring  # it imports torch, which would add to the memory measured above

    tables = {}
    for side in SIDES:
        with tempfile.TemporaryDirectory() as folder:
            root, out = write_tree(Path(folder) / "tree", args.pictures, side), Path(folder) / "out"
            workloads = {"plain Pillow": lambda: ingest_with_pillow(root), "ours": lambda: ingest_with_fer(root, out)}  # noqa: B023
            rates = measuring.measure_rates(workloads, args.repeats)
        tables[f"images of {side} pixels a second"] = measuring.summarize_rates(rates, "plain Pillow")
    if args.sizes:
        tables["megabytes of memory"] = [measure_memory(size) for size in args.sizes]
    facts = {"processes": worker_count(), "pictures": args.pictures}
    measuring.write_results(args.out, "ingest", "Ingest of a source", facts, tables)


if __name__ == "__main__":
    main()
