"""Training and prediction by several processes: the stages as users run them, with FER_NPROC.

    python -m benchmarks.ranks [--processes 1 2] [--stages train predict] [--repeats 3] [--out benchmarks/results]

Each stage runs on few faces and on many. The rate is the difference of faces over the difference of seconds, so it
does not include the start-up, which has its own column. The processes share the cores: two processes of one thread,
say, against one process of one or two threads. Prediction distributes slices of 16,384 faces, so it uses the smallest
network and faces of 24 pixels.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml

from benchmarks import measuring
from fer.core.labels import EMOTIONS
from fer.core.table import TABLE_COLUMNS
from fer.data.synthetic.sample import draw_faces
from fer.nn import weights
from fer.nn.pool import FACES_PER_SLICE
from fer.runtime.parallel import count_cores

ROOT = Path(__file__).parents[1]
BATCH, DISTINCT_FACES = 64, 256
START_UP_FACES = BATCH
STAGES = {
    "train": {"network": measuring.NETWORK, "pixels": measuring.SIZE, "faces": START_UP_FACES + 8 * BATCH},
    "predict": {"network": "simple_cnn", "pixels": 24, "faces": 2 * FACES_PER_SLICE},
}


def write_project(folder: Path, stage: str, count: int) -> Path:
    """Write the inputs of a stage with `count` faces, and params.yaml for one epoch; return `folder`."""
    folder.mkdir()
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["train"] |= {"epochs": 1, "batch": BATCH}
    params["predict"] |= {"views": ["plain"]}
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")

    network, size = STAGES[stage]["network"], STAGES[stage]["pixels"]
    pixels, labels = draw_faces(DISTINCT_FACES, 0, size)
    rows = np.arange(count + 1) % DISTINCT_FACES  # the last face is for validation
    np.save(folder / "faces.npy", pixels[rows])
    table = pd.DataFrame("", index=range(len(rows)), columns=list(TABLE_COLUMNS))
    table["emotion"], table["fold"] = [EMOTIONS[code] for code in labels[rows]], ["train"] * count + ["valid"]
    table.to_csv(folder / "table.csv", index=False)
    for name in ("augmented", "model"):
        (folder / name).mkdir()
    np.save(folder / "augmented" / "faces.npy", pixels[:0])
    np.save(folder / "augmented" / "parents.npy", labels[:0])
    torch.manual_seed(0)
    config = weights.ModelConfig(network=network, emotions=EMOTIONS[:7], size=size, dropout=0.0, input_px=None)
    weights.save_model(config.build(), config, folder / "model")
    return folder


def stage_arguments(stage: str) -> list[str]:
    if stage == "predict":
        return ["--faces", "faces.npy", "--model", "model", "--out", "logits.npy"]
    paths = ["--faces", "faces.npy", "--table", "table.csv", "--augmented", "augmented", "--out", "trained"]
    return [STAGES[stage]["network"], "--replica", "0", *paths]


def time_stage(folder: Path, stage: str, processes: int, threads: int) -> float:
    environment = os.environ | {"FER_NPROC": str(processes), "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", f"pipeline.{stage}", *stage_arguments(stage)]
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return time.perf_counter() - start


def process_layouts(processes: list[int], cores: int) -> dict[str, tuple[int, int]]:
    """Return the processes and the threads of each by name: with the fewest threads, and with all cores."""
    min_threads = max(1, cores // max(processes))
    pairs = [(count, threads) for count in processes for threads in (min_threads, max(1, cores // count))]
    return {
        f"ours, {count} process{'es' * (count > 1)}, {count * threads} thread{'s' * (count * threads > 1)}": (
            count,
            threads,
        )
        for count, threads in pairs
    }


def measure_stage(stage: str, processes: list[int], repeats: int) -> list[measuring.Row]:
    count = STAGES[stage]["faces"]
    rates: dict[str, list[float]] = {}
    start_up: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        small, large = (
            write_project(Path(folder) / name, stage, n) for name, n in (("few", START_UP_FACES), ("many", count))
        )
        for _ in range(repeats):
            for name, layout in process_layouts(processes, count_cores()).items():
                seconds, large_seconds = time_stage(small, stage, *layout), time_stage(large, stage, *layout)
                rates.setdefault(name, []).append((count - START_UP_FACES) / (large_seconds - seconds))
                start_up.setdefault(name, []).append(seconds - START_UP_FACES / rates[name][-1])
    rows = measuring.summarize_rates(rates, next(iter(rates)))
    return [row | {"start_up_seconds": statistics.median(start_up[row["way"]])} for row in rows]


def main() -> None:
    parser = measuring.make_parser(__doc__, repeats=3)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    args = parser.parse_args()
    tables = {
        f"{stage}, faces a second by {STAGES[stage]['network']}": measure_stage(stage, args.processes, args.repeats)
        for stage in args.stages
    }
    facts = {"stages": STAGES, "faces_at_start_up": START_UP_FACES, "batch": BATCH}
    measuring.write_results(args.out, "ranks", "Several processes in one stage", facts, tables)


if __name__ == "__main__":
    main()
