"""Memory and speed of prediction in slices, against all logits at once, by the size of the pool.

    OMP_NUM_THREADS=1 python -m benchmarks.pool [--sizes 100000 1000000] [--repeats 3] [--out benchmarks/results]
    OMP_NUM_THREADS=1 python -m benchmarks.pool --ways slices --sizes 100000 1000000 10000000 --repeats 1

The network has one layer, so that reading and writing are measured, not convolutions. Views and batch are those of
params.yaml. The faces are a sparse file of zeros (23 GB for ten million faces; their predictions take 0.6 GB). Each run
has its own process. Memory is the peak resident memory (VmHWM of /proc, so Linux is needed): anonymous pages, libraries
and the mapped pages of the faces. `beyond` is the increase over the process before the run.
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


def build_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, CLASSES))


def predict_in_slices(faces: Path, out: Path) -> None:
    params = load_params()
    predict = params.predict
    predict_pool(build_network(), faces, out, {}, views=predict.views, batch=predict.batch, precision=params.precision)


def predict_at_once(faces: Path, out: Path) -> None:
    params = load_params()
    predict = params.predict
    pool = open_faces(faces)
    views, batch = predict.views, predict.batch
    np.save(out, predict_logits(build_network(), pool, views=views, batch=batch, precision=params.precision))


WAYS = {"slices": predict_in_slices, "at_once": predict_at_once}


def measure_prediction(way: str, faces: Path) -> dict[str, float]:
    """Return the seconds and megabytes of one run in this process."""
    initial_peak = peak_megabytes()
    with tempfile.TemporaryDirectory(dir=faces.parent) as folder:
        start = time.perf_counter()
        WAYS[way](faces, Path(folder) / "predictions.npy")
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "peak_megabytes": peak_megabytes(), "beyond": peak_megabytes() - initial_peak}


def measure_in_new_process(way: str, faces: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.pool", "--only", way, str(faces)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(output.splitlines()[-1])


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

    from benchmarks import measuring  # it imports matplotlib, which would add to the memory measured above

    rows = []
    for size in args.sizes:
        with tempfile.TemporaryDirectory() as folder:
            faces = Path(folder) / "faces.npy"
            np.lib.format.open_memmap(faces, "w+", np.uint8, (size, SIDE, SIDE))
            runs = [(way, measure_in_new_process(way, faces)) for _ in range(args.repeats) for way in args.ways]
        for way in args.ways:
            way_runs = [run for name, run in runs if name == way]
            row = {key: statistics.median(run[key] for run in way_runs) for key in way_runs[0]}
            rows.append({"faces": size, "prediction": way, "faces_per_second": size / row.pop("seconds")} | row)
    targets = []
    if "slices" in args.ways:
        peaks = [row["peak_megabytes"] for row in rows if row["prediction"] == "slices"]
        sizes = f"{args.sizes[-1]:,} faces ÷ at {args.sizes[0]:,}"
        targets.append(measuring.check_target(f"pool: peak memory at {sizes}", peaks[-1] / peaks[0], maximum=1.05))
    facts = {"repeats": args.repeats, "pixels": SIDE}
    measuring.write_results(args.out, "pool", "Memory of prediction", facts, {"prediction of a pool": rows}, *targets)


if __name__ == "__main__":
    main()
