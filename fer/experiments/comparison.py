"""Training jobs of `fer compare`: networks trained on the same faces, and the cost of each."""

import hashlib
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from fer.core.store import open_faces
from fer.core.table import read_table
from fer.evaluation.inputs import HeldOutFaces, select_held_out
from fer.experiments.cache import RunResult, cached_result, damaged_result_error
from fer.experiments.standings import Cost, JobResult, calibrate_logits, measure_ensemble
from fer.nn import weights
from fer.nn.devices import to_device
from fer.nn.inference import predict_logits, view_names
from fer.nn.recording import EAGER_CALLS
from fer.params import Params
from fer.runtime.errors import InputError
from fer.training.examples import LabelledSet, read_labelled_sets
from fer.training.loop import count_steps, init_model, train_network
from fer.training.params import Recipe
from fer.training.step import TrainingStep

FIXED_STEPS_EPOCHS = 4  # if --steps is given: enough to choose the best epoch
MIN_TIMED_SECONDS = 2.0


@dataclass(frozen=True)
class ComparisonData:
    """Training, validation and held-out faces of a comparison."""

    train: LabelledSet
    valid: LabelledSet
    held_out: HeldOutFaces
    held_out_pixels: UInt8[np.ndarray, "n size size"]
    sha256: str  # of all faces and labels above


@dataclass(frozen=True)
class TrainingJob:
    """A network and the seed and recipe of its training."""

    network: str
    seed: int
    recipe: Recipe
    epoch_faces: int
    data: ComparisonData
    params: Params

    @property
    def steps(self) -> int:
        return sum(count_steps(self.epoch_faces, phase) for phase in self.recipe.phases())

    def fingerprint_inputs(self) -> dict[str, Any]:
        """Return everything that the result depends on, except the code."""
        return {
            "network": self.network,
            "seed": self.seed,
            "faces": len(self.data.train),
            "steps": self.steps,
            "size": self.data.train.size,
            "emotions": self.params.emotions,
            "precision": self.params.precision,
            "views": view_names(self.params.predict.views),
            "recipe": self.recipe.model_dump(),
            "transforms": self.params.transform_sets[self.params.transforms].model_dump(),
            "faces_sha256": self.data.sha256,
        }


def read_comparison_data(unified: Path, params: Params, targets: str, n_train: int | None) -> ComparisonData:
    """Return the faces in the folder `unified`, without augmented copies.

    Args:
        targets: Kind of training targets, as in `train.targets` of params.yaml.
        n_train: Number of training faces, drawn with the seed of `params`; None: all.

    Raises:
        InputError: There are fewer training faces than `n_train`, or a fold has no faces.
    """
    faces, table = unified / "faces.npy", unified / "table.csv"
    train, valid = read_labelled_sets(faces, table, None, params.emotions, targets)
    held_out = select_held_out(read_table(table), params.emotions)
    for fold, n in (("train", len(train)), ("valid", len(valid)), ("test", held_out.test.sum())):
        if not n:
            raise InputError(f"{table}: the fold {fold} has no faces; add labels, then `dvc repro unify`")
    if n_train:
        if n_train > len(train):
            raise InputError(f"--faces is {n_train}, but {table} has {len(train)} training faces; use a smaller number")
        train = _take_rows(train, np.sort(np.random.default_rng(params.seed).permutation(len(train))[:n_train]))
    pixels = open_faces(faces)[held_out.rows]
    digest = hashlib.sha256()
    for array in (train.pixels, train.targets, pixels, held_out.labels, held_out.test):
        digest.update(np.asarray(array).tobytes())
    return ComparisonData(train, valid, held_out, pixels, digest.hexdigest())


def fit_steps(recipe: Recipe, steps: int, name: str) -> tuple[Recipe, int]:
    """Return `recipe` with about `FIXED_STEPS_EPOCHS` epochs, and the faces of an epoch that make `steps` batches.

    Raises:
        InputError: No whole number of faces makes `steps` batches.
    """
    phases = [phase.epochs for phase in recipe.phases()]
    epochs = [max(1, round(min(FIXED_STEPS_EPOCHS, steps) * n / sum(phases))) for n in phases]
    changes: dict[str, Any] = {"epochs": sum(epochs), "patience": None}
    if recipe.transfer:
        pairs = zip(recipe.transfer.phases, epochs, strict=True)
        short_phases = [phase.model_copy(update={"epochs": n}) for phase, n in pairs]
        changes["transfer"] = recipe.transfer.model_copy(update={"phases": short_phases})
    short, epoch_faces = recipe.model_copy(update=changes), round(steps * recipe.batch / sum(epochs))
    if sum(count_steps(epoch_faces, phase) for phase in short.phases()) != steps:
        raise InputError(f"--steps is {steps}, which the epochs of {name} can't make; use a multiple of {sum(epochs)}")
    return short, epoch_faces


def run_job(job: TrainingJob, folder: Path, bins: int) -> JobResult:
    """Return the result of `job`, from `folder` or else by training the network.

    Raises:
        InputError: The network can't be built, or its loss is not finite.
    """
    name, held_out, views = f"{job.network}, seed {job.seed}", job.data.held_out, view_names(job.params.predict.views)
    path = folder / f"{job.seed}.json"
    logits, metadata = cached_result(path, job.fingerprint_inputs(), lambda: _train_and_predict(job, name), name)
    try:
        cost = Cost(**metadata["cost"])
    except (TypeError, KeyError) as error:
        raise damaged_result_error(path) from error
    plain = logits[:, [views.index("plain")]] if "plain" in views else None
    single_crop = None if plain is None else calibrate_logits(plain, held_out, job.seed)
    result = JobResult(calibrate_logits(logits, held_out, job.seed), single_crop, cost)
    metrics = measure_ensemble({job.network: result}, held_out, job.params.emotions, bins)
    print(f"{name}: {metrics['valid_accuracy']:.1%} on validation faces, {metrics['test_accuracy']:.1%} on test faces")
    return result


def count_macs(network: nn.Module, size: int) -> int:
    """Return the multiply-accumulates of the convolutions and matrix products for one face."""
    network.eval()
    face = torch.zeros(1, size, size, device=next(network.parameters()).device)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(weights.normalize_faces(face))
    return int(counter.get_total_flops()) // 2


def measure_throughput(network: nn.Module, job: TrainingJob) -> float:
    """Return the training faces per second in the last phase of the recipe; `network` is changed."""
    phase = job.recipe.phases()[-1].model_copy(update={"epochs": 1})
    if phase.transfer:
        weights.set_trainable_layers(network, phase.transfer.phases[0].layers)

    step = TrainingStep(
        network,
        job.data.train,
        None,
        recipe=phase,
        transforms=job.params.transform_sets[job.params.transforms],
        seed=job.seed,
        precision=job.params.precision,
    )

    def time_steps(first_step: int, end_step: int) -> float:
        start = time.perf_counter()
        step.start_epoch(first_step, end_step)
        for number in range(first_step, end_step):
            step.take(number)
        step.totals.tolist()  # waits for a GPU
        return time.perf_counter() - start

    n_done, n_steps, seconds = EAGER_CALLS + 1, 1, 0.0
    time_steps(0, n_done)  # the first steps are slower: they allocate memory, and a GPU records them
    while seconds < MIN_TIMED_SECONDS:
        n_steps *= 4
        seconds = time_steps(n_done, n_done + n_steps)
        n_done += n_steps
    return n_steps * phase.batch / seconds


def _train_and_predict(job: TrainingJob, name: str) -> RunResult:
    """Train the network and return its logits of the held-out faces, and its cost."""
    params, data, recipe = job.params, job.data, job.recipe

    def make_network() -> nn.Module:
        return to_device(init_model(job.network, recipe, params.emotions, data.train.size, job.seed)[0])

    network = make_network()
    cost = Cost(
        parameters=weights.count_parameters(network)[0],
        macs=count_macs(network, data.train.size),
        steps=job.steps,
        train_faces_per_second=measure_throughput(network, job),
    )
    network = make_network()
    train_network(
        network,
        data.train,
        data.valid,
        recipe=recipe,
        transforms=params.transform_sets[params.transforms],
        seed=job.seed,
        precision=params.precision,
        name=name,
        epoch_faces=job.epoch_faces,
    )
    views, batch = params.predict.views, params.predict.batch
    logits = predict_logits(network, data.held_out_pixels, views=views, batch=batch, precision=params.precision)
    return logits, {"cost": asdict(cost)}


def _take_rows(labelled_set: LabelledSet, rows: Int[np.ndarray, " m"]) -> LabelledSet:
    return LabelledSet(labelled_set.pixels[rows], labelled_set.targets[rows], labelled_set.weights[rows])
