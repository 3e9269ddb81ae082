"""A GPU: does it compute what a CPU computes, how fast is it, and how near to its limits?

    python -m benchmarks.gpu [--parts ceilings correct speed predict profile] [--seconds 600] [--out FOLDER] [--tiny]

Correctness comes first. Every finding is a line of FOLDER/gpu.jsonl, written at once; "ok" says whether it is as it
should be. What no longer fits into `--seconds` is left out and named. `--tiny` makes a dry run of all parts, on a CPU
too. The exit code is 1 if a finding is not ok.

Ways to take a step: "eager", "graph" (recorded as a CUDA graph), "fused" (compiled) and "fused graph", the default.
"""

import argparse
import contextlib
import io
import itertools
import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from benchmarks import measuring
from benchmarks.measuring import Row
from fer.data.synthetic.sample import draw_faces
from fer.nn.devices import default_device, to_device
from fer.nn.inference import predict_logits
from fer.nn.pool import predict_pool
from fer.nn.weights import build_model, list_models
from fer.params import load_params
from fer.runtime.errors import StoppedError
from fer.training import augmentation, checkpoint, loop
from fer.training import step as training_step
from fer.training.examples import LabelledSet, UnlabelledPool
from fer.training.params import Recipe, Transforms, resolve_recipe
from fer.training.step import TrainingStep

PARTS = ("ceilings", "correct", "speed", "predict", "profile")
CPU, SIZE, CLASSES = torch.device("cpu"), 48, 7
NETWORKS = {"improved_se": 0.670e9, "se_resnet9": 1.28e9}  # operations per face, forward and backward
WAYS = {"eager": (False, False), "graph": (True, False), "fused": (False, True), "fused graph": (True, True)}
TARGETS = {  # faces per second on an H200
    ("training", "improved_se", 512): 130_000,
    ("training", "se_resnet9", 512): 130_000,
    ("training", "improved_se", 32): 25_000,
    ("prediction", "improved_se", 1): 450_000,
}
PARAMS = load_params()
TRANSFORMS = PARAMS.transform_sets[PARAMS.transforms]
NO_TRANSFORMS = Transforms(**dict.fromkeys(Transforms.model_fields, 0.0) | {"camera": None})


class EagerStep:
    """Stands in for `RecordedStep`."""

    def __init__(self, step: Callable[[], None], *_: Any) -> None:
        self.step = step

    def __call__(self) -> None:
        self.step()


@contextlib.contextmanager
def run_as(way: str) -> Iterator[None]:
    """Take steps in this way, and print nothing."""
    record, fuse = WAYS[way]
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        if not record:
            stack.enter_context(patch.object(training_step, "RecordedStep", EagerStep))
        if not fuse:
            stack.enter_context(patch.object(training_step, "fuse", lambda function, *_: function))
        yield


class Checks:
    """The parts of the benchmark; each yields its findings."""

    def __init__(self, device: torch.device, tiny: bool) -> None:
        self.device, self.tiny = device, tiny
        n_drawn, n_faces = (16, 64) if tiny else (512, 32_768)
        pixels, labels = draw_faces(n_drawn, 0, SIZE)
        rows = np.random.default_rng(0).integers(0, n_drawn, n_faces)
        targets = np.eye(CLASSES, dtype=np.float32)[labels]
        self.train_set = LabelledSet(pixels[rows], targets[rows], np.ones(n_faces, dtype=np.float32))
        self.valid_set = LabelledSet(pixels[:64], targets[:64], np.ones(len(pixels[:64]), dtype=np.float32))
        self.networks = ["simple_cnn"] if tiny else list(NETWORKS)

    def ceilings(self) -> Iterator[Row]:
        """Yield the measured rates of arithmetic and memory."""
        n, length = (256, 2**16) if self.tiny else (8192, 2**30)
        first, second = (torch.randn(n, n, device=self.device, dtype=torch.bfloat16) for _ in range(2))
        yield {"what": "TFLOP/s of a bf16 matmul", "value": 2 * n**3 / self.time(lambda: first @ second, 10) / 1e12}
        source = torch.empty(length, device=self.device)
        copy = torch.empty_like(source)
        yield {"what": "TB/s of a copy", "value": 8 * length / self.time(lambda: copy.copy_(source), 10) / 1e12}

    def correct(self) -> Iterator[Row]:
        """Compare transforms, logits, losses, recorded steps and a resumed training with what they must equal."""
        yield self.compare_transforms()
        plain_networks = [name for name in list_models() if not PARAMS.networks[name].transfer]
        for name in self.networks if self.tiny else plain_networks:
            yield from self.compare_logits(name)
        steps, batch = (2, 8) if self.tiny else (40, 32)
        with numbers_like_cpu():
            recipe = make_recipe(self.networks[0], batch=batch, dropout=0.0)
            reference, _ = self.train(recipe, steps, "eager", device=CPU, transforms=NO_TRANSFORMS)
            for way in WAYS:
                losses, _ = self.train(recipe, steps, way, transforms=NO_TRANSFORMS)
                error = float(np.abs(losses - reference)[:4].max())  # later AdamW amplifies rounding
                yield {"what": "losses equal those of the CPU", "way": way, "error": error, "ok": error < 1e-3}
        with deterministic():
            recipe = make_recipe(self.networks[0], batch=batch, mixup=0.2)
            for policy in (None, "fixmatch", "freematch", "softmatch"):
                runs = [self.train(recipe, steps, way, precision="bf16", policy=policy) for way in ("eager", "graph")]
                error = largest_difference(runs[0][1], runs[1][1])
                yield {"what": "a graph equals the eager step", "policy": policy, "error": error, "ok": error == 0}
            error = self.compare_resumed_training(recipe, steps)
            yield {"what": "a resumed training equals a whole one", "error": error, "ok": error == 0}

    def compare_transforms(self) -> Row:
        pixels = torch.from_numpy(self.valid_set.pixels)
        draws = augmentation.draw_transforms(len(pixels), SIZE, TRANSFORMS, torch.Generator().manual_seed(0))
        expected = augmentation.apply_transforms(pixels, draws)
        on_device = draws._replace(
            **{name: draw.to(self.device) for name, draw in draws._asdict().items() if draw is not None}
        )
        found = augmentation.apply_transforms(pixels.to(self.device), on_device).cpu()
        error = float((found - expected).abs().max())
        return {"what": "transforms equal those of the CPU", "error": error, "ok": error < 1e-4}

    def compare_logits(self, name: str) -> Iterator[Row]:
        torch.manual_seed(0)
        network = to_device(build_model(name, CLASSES, SIZE), CPU).eval()
        faces = self.valid_set.pixels
        options = {"views": ["plain"], "batch": 64}
        expected = predict_logits(network, faces, precision="fp32", **options)
        moved = to_device(deepcopy(network), self.device)
        for numbers, precision, most in (("fp32", "fp32", 1e-5), ("tf32", "fp32", 5e-3), ("bf16", "bf16", 4e-2)):
            with numbers_like_cpu() if numbers == "fp32" else contextlib.nullcontext():
                found = predict_logits(moved, faces, precision=precision, **options)
            error = float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
            what = "logits equal those of the CPU"
            yield {"what": what, "network": name, "numbers": numbers, "error": error, "ok": error < most}

    def compare_resumed_training(self, recipe: Recipe, steps: int) -> float:
        """Return the largest difference of the weights of a training that was cut and of one that was not."""

        def train(path: Path, stop_at: int | None) -> list[np.ndarray]:
            network, calls = make_network(self.networks[0], self.device, 0), itertools.count()
            save = checkpoint.Checkpoint.save_if_due

            def save_if_due(self: checkpoint.Checkpoint, parts: Any) -> None:
                if next(calls) == stop_at:
                    self._stop_time = time.monotonic()
                save(self, parts)

            with run_as("graph"), patch.object(checkpoint.Checkpoint, "save_if_due", save_if_due):
                loop.train_network(
                    network,
                    self.train_set,
                    self.valid_set,
                    recipe=recipe.model_copy(update={"epochs": 2}),
                    transforms=TRANSFORMS,
                    seed=0,
                    precision="bf16",
                    name="resumed",
                    epoch_faces=steps * recipe.batch,
                    checkpoint=path,
                )
            return get_weights(network)

        with tempfile.TemporaryDirectory() as folder:
            whole = train(Path(folder) / "whole", None)
            with contextlib.suppress(StoppedError):
                train(Path(folder) / "cut", steps + steps // 2)
            return largest_difference(whole, train(Path(folder) / "cut", None))

    def speed(self) -> Iterator[Row]:
        """Yield faces per second of training, for each network, batch and way."""
        for network, batch, way in itertools.product(self.networks, (8,) if self.tiny else (32, 512, 2048, 128), WAYS):
            for precision in ("fp32", "bf16") if way == "eager" else ("bf16",):
                row = {"network": network, "batch": batch, "way": way, "precision": precision}
                try:
                    rate, first_seconds = self.measure_training(network, batch, way, precision)
                except RuntimeError as error:
                    yield row | {"error": str(error).partition("\n")[0], "ok": False}
                    continue
                row |= {
                    "faces_per_second": rate,
                    "tflops": rate * NETWORKS.get(network, math.nan) / 1e12,
                    "first_seconds": first_seconds,
                }
                target = TARGETS.get(("training", network, batch)) if way == "fused graph" else None
                yield row | ({"target": target, "met": rate >= target} if target else {})

    def measure_training(self, network: str, batch: int, way: str, precision: str) -> tuple[float, float]:
        """Return faces per second, and the seconds until the first steps were taken."""
        n_first, n_steps = 6, 2 if self.tiny else max(40, min(400, 200_000 // batch))
        start = time.perf_counter()
        with run_as(way):
            step = self.make_step(network, batch, precision)
            self.take_steps(step, 0, n_first)
            first_seconds = time.perf_counter() - start
            start = time.perf_counter()
            self.take_steps(step, n_first, n_first + n_steps)
        return n_steps * batch / (time.perf_counter() - start), first_seconds

    def predict(self) -> Iterator[Row]:
        """Yield faces per second of prediction of a pool, from file to file."""
        n_faces = 64 if self.tiny else 1_000_000
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "faces.npy"
            faces = np.lib.format.open_memmap(path, "w+", np.uint8, (n_faces, SIZE, SIZE))
            for start in range(0, n_faces, len(self.train_set)):
                faces[start : start + len(self.train_set)] = self.train_set.pixels[: n_faces - start]
            faces.flush()
            for network, views, batch in itertools.product(
                self.networks, (["plain"], ["plain", "flip"]), (32,) if self.tiny else (256, 1024, 4096)
            ):
                options = {"views": views, "batch": batch, "precision": "bf16"}
                model = make_network(network, self.device, 0).eval()
                seconds = []
                for _ in range(2):  # the first one compiles
                    (Path(folder) / "logits.npy").unlink(missing_ok=True)
                    start = time.perf_counter()
                    predict_pool(model, path, Path(folder) / "logits.npy", {}, **options)
                    seconds.append(time.perf_counter() - start)
                rate, target = n_faces / seconds[1], TARGETS.get(("prediction", network, len(views)))
                row = {"network": network, "views": len(views), "batch": batch, "faces_per_second": rate}
                yield (
                    row | {"first_seconds": seconds[0]} | ({"target": target, "met": rate >= target} if target else {})
                )

    def profile(self) -> Iterator[Row]:
        """Yield the kernels that a step spends its time in."""
        activity = ProfilerActivity.CUDA if self.device.type == "cuda" else ProfilerActivity.CPU
        for network, way in itertools.product(self.networks, ("eager", "fused")):
            with run_as(way):
                step = self.make_step(network, 8 if self.tiny else 512, "bf16")
                self.take_steps(step, 0, 4)
                with profile(activities=[activity]) as profiler:
                    self.take_steps(step, 4, 8)
            events = profiler.key_averages()
            time_name = "self_device_time_total" if self.device.type == "cuda" else "self_cpu_time_total"
            longest = sorted(events, key=lambda event: -getattr(event, time_name))[:20]
            kernels = [[event.key[:90], event.count / 4, getattr(event, time_name) / 4e3] for event in longest]
            total = sum(getattr(event, time_name) for event in events) / 4e3
            launches = sum(event.count for event in events) / 4
            row = {"network": network, "way": way, "ms_per_step": total, "launches_per_step": launches}
            yield row | {"kernels": kernels}

    def make_step(self, network: str, batch: int, precision: str) -> TrainingStep:
        recipe = make_recipe(network, batch=batch)
        model = make_network(network, self.device, 0)
        options = {"recipe": recipe, "transforms": TRANSFORMS, "seed": 0, "precision": precision}
        return TrainingStep(model, self.train_set, None, **options)

    def take_steps(self, step: TrainingStep, first_step: int, end_step: int) -> None:
        step.start_epoch(first_step, end_step)
        for number in range(first_step, end_step):
            step.take(number)
        step.totals.tolist()  # waits for the GPU

    def train(
        self,
        recipe: Recipe,
        steps: int,
        way: str,
        *,
        precision: str = "fp32",
        device: torch.device | None = None,
        transforms: Transforms = TRANSFORMS,
        policy: str | None = None,
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return the loss of each step and the last weights."""
        network, pool = make_network(self.networks[0], device or self.device, 0), None
        if policy:
            online_params = PARAMS.retrain.online.model_copy(update={"policy": policy, "threshold": 0.3})
            pool = UnlabelledPool(self.train_set.pixels, online_params, "hard", CLASSES, np.full(CLASSES, 1 / CLASSES))
        with run_as(way):
            curve = loop.train_phase(
                network,
                self.train_set,
                self.valid_set,
                recipe=recipe.model_copy(update={"epochs": steps}),  # so that each step has a row
                transforms=transforms,
                steps=steps,
                seed=0,
                precision=precision,
                name="checked",
                unlabelled=pool,
            )
        return np.array([row["train_loss"] for row in curve]), get_weights(network)

    def time(self, work: Callable[[], object], repeats: int) -> float:
        """Return the median seconds of `work` on the device, after one call that does not count."""
        seconds = []
        for _ in range(repeats + 1):
            start = time.perf_counter()
            work()
            if self.device.type == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
        return statistics.median(seconds[1:])


def make_recipe(network: str, **changes: Any) -> Recipe:
    recipe = resolve_recipe(network, PARAMS.networks, PARAMS.train)
    return Recipe.model_validate(recipe.model_dump() | changes)


def make_network(name: str, device: torch.device, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return to_device(build_model(name, CLASSES, SIZE), device)


def get_weights(network: nn.Module) -> list[np.ndarray]:
    return [tensor.double().cpu().numpy() for tensor in network.state_dict().values()]


def largest_difference(first: list[np.ndarray], second: list[np.ndarray]) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(first, second, strict=True))


@contextlib.contextmanager
def numbers_like_cpu() -> Iterator[None]:
    """Compute in fp32 instead of TF32."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


@contextlib.contextmanager
def deterministic() -> Iterator[None]:
    """Choose kernels that give the same bits each time."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--seconds", type=float, default=600, help="leave out what does not fit")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--tiny", action="store_true", help="a dry run of all parts")
    args = parser.parse_args()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # for deterministic products
    device, start = default_device(), time.monotonic()
    if device.type != "cuda" and not args.tiny:
        sys.exit("error: there is no GPU here; make a dry run with --tiny")
    args.out.mkdir(parents=True, exist_ok=True)
    checks, n_wrong = Checks(device, args.tiny), 0
    with (args.out / "gpu.jsonl").open("w", encoding="utf-8") as file:

        def report(row: Row) -> None:
            row = {"at": round(time.monotonic() - start, 1)} | row
            file.write(json.dumps(row) + "\n")
            file.flush()
            print(json.dumps({key: value for key, value in row.items() if key != "kernels"}), flush=True)

        report({"part": "machine"} | measuring.describe_machine())
        for part in args.parts:
            for row in getattr(checks, part)():
                n_wrong += row.get("ok") is False
                report({"part": part} | row)
                if time.monotonic() - start > args.seconds:
                    report({"part": part, "left_out": "the rest"})
                    break
    print(f"{n_wrong} findings are not ok")
    sys.exit(bool(n_wrong))


if __name__ == "__main__":
    main()
