"""Prediction in slices against all logits at once: the memory it takes as the pool grows, and how fast it is.

    OMP_NUM_THREADS=1 python -m benchmarks.pool [--sizes 100000 1000000] [--repeats 3] [--out benchmarks/results]
    OMP_NUM_THREADS=1 python -m benchmarks.pool --ways slices --sizes 100000 1000000 10000000 --repeats 1

The network is one layer, so that reading, writing and what holds both together are measured, not convolutions; views
and batch are those of params.yaml, the faces a file of zeros that takes no blocks on disk (23 GB for ten million; their
predictions take 0.6 GB). Each run has a process of its own. Memory is the peak of everything resident (VmHWM of
/proc, so Linux is needed): anonymous pages, libraries, and the pages of the faces that are mapped. `beyond` is what the
run added to the process as it stood before.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.memory import peak_megabytes
from fer.core.store import open_faces
from fer.nn.inference import predict_logits
from fer.nn.pool import predict_pool
from fer.params import load_params

SIDE, CLASSES = 48, 7


def build_linear_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, CLASSES))


def predict_in_slices(faces: Path, out: Path) -> None:
    chosen = load_params()
    settings = chosen.predict
    predict_pool(
        build_linear_network(), faces, out, {}, views=settings.views, batch=settings.batch, precision=chosen.precision
    )


def predict_at_once(faces: Path, out: Path) -> None:
    chosen = load_params()
    settings = chosen.predict
    pool = open_faces(faces)
    np.save(
        out,
        predict_logits(
            build_linear_network(), pool, views=settings.views, batch=settings.batch, precision=chosen.precision
        ),
    )


WAYS = {"slices": predict_in_slices, "at_once": predict_at_once}


def measure_prediction(way: str, faces: Path) -> dict[str, float]:
    """Seconds and megabytes of one run in this process."""
    before = peak_megabytes()
    with tempfile.TemporaryDirectory(dir=faces.parent) as folder:
        start = time.perf_counter()
        WAYS[way](faces, Path(folder) / "predictions.npy")
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "peak_megabytes": peak_megabytes(), "beyond": peak_megabytes() - before}


def measure_in_new_process(way: str, faces: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.pool", "--only", way, str(faces)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(told.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.only:
        print(json.dumps(measure_prediction(args.only[0], Path(args.only[1]))))
        return

    from benchmarks import measuring  # with what draws, which would count as memory above

    rows = []
    for size in args.sizes:
        with tempfile.TemporaryDirectory() as folder:
            faces = Path(folder) / "faces.npy"
            np.lib.format.open_memmap(faces, "w+", np.uint8, (size, SIDE, SIDE))
            runs = [(way, measure_in_new_process(way, faces)) for _ in range(args.repeats) for way in args.ways]
        for way in args.ways:
            own = [run for name, run in runs if name == way]
            row = {key: statistics.median(run[key] for run in own) for key in own[0]}
            rows.append({"faces": size, "prediction": way, "faces_per_second": size / row.pop("seconds")} | row)
    targets = []
    if "slices" in args.ways:
        peaks = [row["peak_megabytes"] for row in rows if row["prediction"] == "slices"]
        sizes = f"{args.sizes[-1]:,} faces ÷ at {args.sizes[0]:,}"
        targets.append(measuring.check_target(f"pool: peak memory at {sizes}", peaks[-1] / peaks[0], most=1.05))
    facts = {"repeats": args.repeats, "pixels": SIDE}
    measuring.write_results(args.out, "pool", "Memory of prediction", facts, {"prediction of a pool": rows}, *targets)


if __name__ == "__main__":
    main()
