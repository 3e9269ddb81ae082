"""A day's work in miniature: is memory flat, and is every row accounted for?

    python -m tests.robustness.large [--faces 1000000] [--frames 20000] [--out FOLDER]

Faces go through `predict` with a stub of a network, which reads off each face the number that is written into its
pixels, and through the stage `pseudo_label`; the frames of a drawn video through `fer predict` with a small network.
Each job has a process of its own. Its memory is what psutil finds resident twenty times a second, mapped files and
threads included; flat means that the peak of the second half of the job's time is at most 1.05 of the first's, where a
peak is what 99 of 100 samples do not exceed: a busy machine lets single batches wait beside each other for a moment.
`pseudo_label` holds a row of every face: it may take 200 MB and 600 bytes a face.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import psutil
import torch
from torch import nn

from fer.core.files import write_json
from fer.core.table import TABLE_COLUMNS
from fer.data.synthetic.sample import draw_faces
from fer.nn import weights
from fer.nn.pool import predict_pool
from fer.nn.weights import PIXEL_MEAN, PIXEL_STD
from fer.params import load_params
from fer.serving.package.manifest import PackageManifest, save_package
from tests.robustness import harness

ROOT = Path(__file__).parents[2]
SIDE, CLASSES, BASE = 48, 7, 256
MAX_GROWTH = 1.05
BASE_MEGABYTES, MEGABYTES_PER_MILLION = 200, 600  # MB that `pseudo_label` may take
TRUE_LOGIT_MARGIN = 4.0  # by how much the logit of what a face is exceeds the others, which are normal
VIEWS = ("plain", "flip")
HEIGHT, WIDTH, FACE_SIDE = 120, 160, 80
MIN_FACE_SHARE = 0.2  # of the frames: all show one, drawn and blurred by the video's coding
SAMPLE_SECONDS = 0.05


def measure_job(command: list[str], folder: Path, flat: bool = True) -> tuple[dict[str, float], list[str]]:
    """Return the peaks of a process's memory in both halves of its time, and its failures."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    begun, samples = time.monotonic(), []
    with (folder / "output").open("w") as output:
        process = psutil.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
        while process.poll() is None:
            samples.append((time.monotonic() - begun, process.memory_info().rss / 1e6))
            time.sleep(SAMPLE_SECONDS)
    if process.returncode:
        return {}, [f"ends with {process.returncode}: {(folder / 'output').read_text()[-500:]}"]
    seconds, megabytes = np.array([row for row in samples if row[1]]).T
    halves = [
        float(np.percentile(megabytes[part], 99)) for part in (seconds < seconds[-1] / 2, seconds >= seconds[-1] / 2)
    ]
    grows = flat and halves[1] > MAX_GROWTH * halves[0]
    lost = ["memory grows: peaks of {:.0f} and then {:.0f} MB".format(*halves)] if grows else []
    return {"seconds": float(seconds[-1]), "first_half_megabytes": halves[0], "second_half_megabytes": halves[1]}, lost


class StubNetwork(nn.Module):
    """A network whose logits are the first pixels of a face."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(PIXEL_STD))

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        return (faces[:, 0, 0, :CLASSES] * self.scale + PIXEL_MEAN) * 255


def predict_numbers(faces: Path, out: Path) -> None:
    predict_pool(StubNetwork(), faces, out, {}, views=VIEWS, batch=BASE, precision="fp32")


def to_digits(numbers: np.ndarray) -> np.ndarray:
    return numbers[:, None] // BASE ** np.arange(4) % BASE


def run_predict(folder: Path, count: int) -> tuple[dict[str, float], list[str]]:
    faces, out = folder / "faces.npy", folder / "logits.npy"
    pixels = np.lib.format.open_memmap(faces, "w+", np.uint8, (count, SIDE, SIDE))
    pixels[:, 0, :4] = to_digits(np.arange(count))
    del pixels
    figures, lost = measure_job(
        [sys.executable, "-m", "tests.robustness.large", "--only", str(faces), str(out)], folder
    )
    if not lost:
        logits = np.load(out, mmap_mode="r")
        numbers = logits[:, 0, :4].round().astype(np.int64) @ BASE ** np.arange(4)
        wrong = int((numbers != np.arange(count)).sum()) if len(numbers) == count else count
        lost += [f"{wrong} faces have not their own prediction"] if wrong else []
    return figures, lost


def run_pseudo_label(folder: Path, count: int) -> tuple[dict[str, float], list[str]]:
    shutil.copy(ROOT / "params.yaml", folder)
    params, random = load_params(folder / "params.yaml"), np.random.default_rng(0)
    emotions, labelled = np.array(params.emotions), count // 20
    truth = random.integers(len(emotions), size=count)
    fold = np.where(np.arange(count) < labelled, "valid", "unlabelled")
    table = pd.DataFrame("", index=range(count), columns=list(TABLE_COLUMNS))
    table["id"] = [f"photos/{number:07}.jpg" for number in range(count)]
    table["source"], table["fold"], table["twin_in_train"] = "photos", fold, False
    table.loc[: labelled - 1, "emotion"] = emotions[truth[:labelled]]
    table.to_csv(folder / "table.csv", index=False)
    (folder / "reviews.csv").write_bytes((ROOT / "data/reviews.csv").read_bytes())
    for member in params.members:
        network, _, replica = member.rpartition("-")
        logits = random.standard_normal((count, len(VIEWS), len(emotions)), dtype=np.float32)
        logits[np.arange(count), :, truth] += TRUE_LOGIT_MARGIN
        (folder / "predictions").mkdir(exist_ok=True)
        np.save(folder / "predictions" / f"{member}.npy", logits)
        manifest = {"network": network, "replica": int(replica), "weights_sha256": "0", "views": list(VIEWS)}
        write_json(folder / "predictions" / f"{member}.json", manifest | {"emotions": params.emotions})
    command = "-m pipeline.pseudo_label --round 1 --teacher 0 --table table.csv --predictions predictions"
    command += " --reviews reviews.csv --out labels"
    del table, logits
    figures, lost = measure_job([sys.executable, *command.split()], folder, flat=False)
    peak = max(figures["first_half_megabytes"], figures["second_half_megabytes"]) if figures else 0
    if peak > BASE_MEGABYTES + MEGABYTES_PER_MILLION * count / 1e6:
        lost.append(f"memory: {peak:.0f} MB")
    if not lost:
        rows = pd.read_csv(folder / "labels" / "labels.csv")
        accepted = np.load(folder / "labels" / "accepted.npy")
        if rows["id"].tolist() != [f"photos/{number:07}.jpg" for number in range(labelled, count)]:
            lost.append(
                f"labels.csv has {len(rows)} rows, not each of the {count - labelled} faces of the pool in order"
            )
        elif not np.array_equal(rows["accepted"], accepted[labelled:]) or accepted[:labelled].any():
            lost.append("labels.csv and accepted.npy differ")
    return figures, lost


def run_fer_predict(folder: Path, count: int) -> tuple[dict[str, float], list[str]]:
    params = load_params(ROOT / "params.yaml")
    facts = weights.ModelConfig(
        network="simple_cnn", emotions=tuple(params.emotions), size=SIDE, dropout=0.0, input_px=None
    )
    trained = folder / "trained" / facts.network
    trained.mkdir(parents=True)
    weights.save_model(facts.build(), facts, trained)
    manifest = PackageManifest(
        round=0,
        emotions=facts.emotions,
        size=SIDE,
        align=False,
        views=("plain",),
        precision="fp32",
        vote={facts.network: 1.0},
        temperatures={facts.network: 1.0},
        thresholds=dict.fromkeys(facts.emotions, 0.5),
        weights_sha256={facts.network: weights.hash_weights(trained)},
    )
    (folder / "package").mkdir()
    save_package(manifest, trained.parent, folder / "package")
    faces = draw_faces(64, 0, FACE_SIDE)[0]
    writer = cv2.VideoWriter(str(folder / "film.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25, (WIDTH, HEIGHT))
    for number in range(count):
        frame = np.full((HEIGHT, WIDTH), 200, np.uint8)
        x = number % (WIDTH - FACE_SIDE)
        frame[20 : 20 + FACE_SIDE, x : x + FACE_SIDE] = faces[number // 25 % len(faces)]
        writer.write(cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR))
    writer.release()
    call = "from fer.cli import main; main()"
    command = [sys.executable, "-c", call, "predict", "film.avi", "--model", "package", "-o", "found.csv"]
    figures, lost = measure_job(command, folder)
    if not lost:
        rows = pd.read_csv(folder / "found.csv")
        if (
            rows["frame"].drop_duplicates().tolist() != list(range(count))
            or not rows["status"].isin(["ok", "no_face"]).all()
        ):
            lost.append(f"not each of {count} frames has its rows, in order")
        if (with_a_face := (rows.groupby("frame")["status"].first() == "ok").mean()) < MIN_FACE_SHARE:
            lost.append(f"a face is found in {with_a_face:.0%} of the frames only")
    return figures, lost


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=1_000_000)
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--out", type=Path, help="folder for large.json, with the figures")
    parser.add_argument("--only", type=Path, nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        predict_numbers(*args.only)
        return
    begun, tried, jobs_measured, lost = time.monotonic(), dict[str, int](), [], list[str]()
    jobs = {
        "faces through predict": (run_predict, args.faces),
        "faces through pseudo_label": (run_pseudo_label, args.faces),
        "frames through fer predict": (run_fer_predict, args.frames),
    }
    for name, (job, count) in jobs.items():
        with tempfile.TemporaryDirectory() as folder:
            figures, wrong = job(Path(folder), count)
        words = ", ".join(f"{key.replace('_', ' ')} {value:,.4g}" for key, value in figures.items())
        print(f"{count:,} {name}: {words}", flush=True)
        tried[name] = count
        jobs_measured.append({"job": f"{count:,} {name}", **figures})
        lost += [f"{name}: {line}" for line in wrong]
    harness.report(args.out, "large", tried, lost, begun, jobs=jobs_measured)


if __name__ == "__main__":
    main()
