"""Training and prediction by one process and by several, each a stage as users start it.

    python -m benchmarks.ranks [--processes 1 2] [--faces 4000] [--repeats 3] [--out benchmarks/results]

The faces are noise with random labels. Start-up, what the same stage takes for 64 faces, is told apart and taken off.
Every process has its share of the threads: on the cores of one machine there is little to win.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from benchmarks import measuring
from fer import params
from fer.labels import COLUMNS

SIZE, FEW, BATCH = 48, 64, 32
ROOT = Path(__file__).parents[1]


def write_project(folder: Path, count: int) -> Path:
    """What `unify` and `augment` leave, with as many validation faces as a batch has, and params.yaml for one epoch."""
    folder.mkdir()
    chosen = yaml.safe_load(Path("params.yaml").read_text())
    chosen["train"] |= {"epochs": 1, "batch": BATCH}
    (folder / "params.yaml").write_text(yaml.safe_dump(chosen, sort_keys=False))
    random, emotions = np.random.default_rng(0), params.load().emotions
    np.save(folder / "faces.npy", random.integers(0, 256, (count, SIZE, SIZE), dtype=np.uint8))
    table = pd.DataFrame("", index=range(count), columns=list(COLUMNS))
    table["emotion"] = [emotions[code] for code in random.integers(0, len(emotions), count)]
    table["fold"], table["twin_in_train"] = ["valid"] * BATCH + ["train"] * (count - BATCH), "False"
    table.to_csv(folder / "table.csv", index=False)
    (folder / "augmented").mkdir()
    np.save(folder / "augmented" / "faces.npy", np.zeros((0, SIZE, SIZE), dtype=np.uint8))
    np.save(folder / "augmented" / "parents.npy", np.zeros(0, dtype=np.int64))
    return folder


def stage(folder: Path, processes: int, *command: str) -> float:
    """Seconds that a stage takes."""
    environment = os.environ | {"FER_NPROC": str(processes), "PYTHONPATH": str(ROOT)}
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", *command], cwd=folder, env=environment, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    parser = measuring.arguments(__doc__, "ranks")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--faces", type=int, default=4_000)
    parser.set_defaults(repeats=3)
    args = parser.parse_args()
    network = next(iter(params.load().ensemble))
    data = ("--faces", "faces.npy")
    train = ("pipeline.train", network, *data, "--table", "table.csv", "--augmented", "augmented", "--out", "model")
    predict = ("pipeline.predict", *data, "--model", "model", "--out", "said.npy")
    parts, start_up = {}, {}
    with tempfile.TemporaryDirectory() as temporary:
        many = write_project(Path(temporary) / "many", args.faces)
        few = write_project(Path(temporary) / "few", FEW)
        for name, command in {"train": train, "predict": predict}.items():
            found: dict[str, list[float]] = {}
            for _ in range(args.repeats):
                for count in args.processes:
                    least = stage(few, count, *command)
                    seconds = stage(many, count, *command) - least
                    side = f"ours, {count} process{'es' * (count > 1)}"
                    found.setdefault(side, []).append((args.faces - FEW) / seconds)
                    start_up[f"{name}, {count}"] = least
            parts[name] = measuring.compared(found, next(iter(found)))
    about = {
        "claim": f"Several processes, {network}",
        "faces": args.faces,
        "batch": BATCH,
        "start_up_seconds": start_up,
    }
    measuring.tell(args.out, "ranks", about, parts)
    print("\nstart-up in seconds: " + ", ".join(f"{name} {seconds:.1f}" for name, seconds in start_up.items()))


if __name__ == "__main__":
    main()
