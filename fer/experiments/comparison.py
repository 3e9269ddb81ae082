"""Networks trained alike: on the same faces, for the same number of batches, and what each of them costs."""

import hashlib
import io
import time
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from fer.core.labels import read_table
from fer.core.store import open_faces
from fer.evaluation.evaluate import HeldOutFaces, select_held_out
from fer.experiments.cache import RunResult, cached_result, damaged_result_error
from fer.experiments.standings import Cost, JobResult, calibrate_logits, measure_ensemble
from fer.nn import weights
from fer.nn.inference import predict_logits, to_device, view_names
from fer.params import Params
from fer.runtime.errors import InputError
from fer.training.examples import LabelledSet, read_labelled_sets
from fer.training.loop import count_steps, init_model, train_network, train_phase
from fer.training.params import Recipe

FIXED_STEPS_EPOCHS = 4  # where the steps are given: enough to choose the best one
MIN_TIMED_SECONDS = 2.0


@dataclass(frozen=True)
class ComparisonData:
    """The faces that networks learn from and are measured on."""

    train: LabelledSet
    valid: LabelledSet
    held_out: HeldOutFaces
    held_out_pixels: UInt8[np.ndarray, "n size size"]  # of the measured faces
    sha256: str  # of all this


@dataclass(frozen=True)
class TrainingJob:
    """A network to be trained from a seed."""

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
        """All that its result follows from, but the code."""
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
            "transforms": self.params.transforms.model_dump(),
            "faces_sha256": self.data.sha256,
        }


def read_comparison_data(unified: Path, params: Params, targets: str, n_train: int | None) -> ComparisonData:
    """The faces in `unified`; of those for training, `n_train` drawn with the seed of `params`, and no augmented copies.

    Raises:
        InputError: there are fewer training faces than `n_train`, or a fold has none.
    """
    faces, table = unified / "faces.npy", unified / "table.csv"
    train, valid = read_labelled_sets(faces, table, None, params.emotions, targets)
    shown = select_held_out(read_table(table), params.emotions)
    for fold, n in (("train", len(train)), ("valid", len(valid)), ("test", shown.test.sum())):
        if not n:
            raise InputError(f"{table}: the fold {fold} has no faces; add labelled ones, then `dvc repro unify`")
    if n_train:
        if n_train > len(train):
            raise InputError(f"--faces is {n_train}, but {table} has {len(train)} training faces; ask for fewer")
        train = _take_rows(train, np.sort(np.random.default_rng(params.seed).permutation(len(train))[:n_train]))
    pixels = open_faces(faces)[shown.rows]
    digest = hashlib.sha256()
    for array in (train.pixels, train.targets, pixels, shown.labels, shown.test):
        digest.update(array.tobytes())
    return ComparisonData(train, valid, shown, pixels, digest.hexdigest())


def fit_steps(recipe: Recipe, steps: int, name: str) -> tuple[Recipe, int]:
    """`recipe` with about `EPOCHS` epochs, each phase its part, and the faces in one, so that all make `steps` batches.

    Raises:
        InputError: no whole number of faces does.
    """
    phases = [phase.epochs for phase in recipe.phases()]
    epochs = [max(1, round(min(FIXED_STEPS_EPOCHS, steps) * part / sum(phases))) for part in phases]
    changes: dict[str, Any] = {"epochs": sum(epochs), "patience": None}
    if recipe.transfer:
        shorter = [
            phase.model_copy(update={"epochs": n}) for phase, n in zip(recipe.transfer.phases, epochs, strict=True)
        ]
        changes["transfer"] = recipe.transfer.model_copy(update={"phases": shorter})
    short, epoch_faces = recipe.model_copy(update=changes), round(steps * recipe.batch / sum(epochs))
    if sum(count_steps(epoch_faces, phase) for phase in short.phases()) != steps:
        raise InputError(f"--steps is {steps}, which the epochs of {name} can't make; take a multiple of {sum(epochs)}")
    return short, epoch_faces


def run_job(job: TrainingJob, folder: Path, bins: int) -> JobResult:
    """What the trained network says, from `folder` where it was run before with the same things; else it is trained.

    Raises:
        InputError: the network can't be made, or its loss is no longer a number.
    """
    name, faces = f"{job.network}, seed {job.seed}", job.data.held_out

    def make() -> RunResult:
        said, cost = _train_and_predict(job, name)
        found = measure_ensemble({job.network: finished(said, cost)}, faces, job.params.emotions, bins)
        return said, {"cost": asdict(cost), "figures": found}

    def finished(said: Float[np.ndarray, "n views classes"], cost: Cost) -> JobResult:
        views = view_names(job.params.predict.views)
        plain = said[:, [views.index("plain")]] if "plain" in views else None
        single_crop = None if plain is None else calibrate_logits(plain, faces, job.seed)
        return JobResult(calibrate_logits(said, faces, job.seed), single_crop, cost)

    about = folder / f"{job.seed}.json"
    said, told = cached_result(about, job.fingerprint_inputs(), make, name)
    try:
        cost, found = Cost(**told["cost"]), told["figures"]
    except (TypeError, KeyError) as error:
        raise damaged_result_error(about) from error
    print(f"{name}: {found['valid_accuracy']:.1%} on validation faces, {found['test_accuracy']:.1%} on test faces")
    return finished(said, cost)


def count_macs(network: nn.Module, size: int) -> int:
    """Multiply-accumulates of the convolutions and matrix products for one face."""
    network.eval()
    face = torch.zeros(1, size, size, device=next(network.parameters()).device)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(weights.normalize_faces(face))
    return int(counter.get_total_flops()) // 2


def measure_throughput(network: nn.Module, job: TrainingJob) -> float:
    """Faces learnt from in a second, in the last phase of the recipe; what `network` learns is of no use."""
    last = job.recipe.phases()[-1].model_copy(update={"epochs": 1})
    if last.transfer:
        weights.set_trainable_layers(network, last.transfer.phases[0].layers)

    def seconds(steps: int) -> float:
        start = time.perf_counter()
        with redirect_stdout(io.StringIO()):
            train_phase(
                network,
                job.data.train,
                _take_rows(job.data.valid, np.arange(1)),  # validation is not to be timed
                recipe=last,
                transforms=job.params.transforms,
                steps=steps,
                seed=job.seed,
                precision=job.params.precision,
                name=f"{job.network}, timed",
            )
        return time.perf_counter() - start

    steps, taken = 1, 0.0
    seconds(steps)  # the first batches are slower
    while taken < MIN_TIMED_SECONDS:
        steps *= 4
        taken = seconds(steps)
    return steps * last.batch / taken


def _train_and_predict(task: TrainingJob, name: str) -> tuple[Float[np.ndarray, "n views classes"], Cost]:
    """What the trained network says of the measured faces, and what it cost."""
    chosen, material, recipe = task.params, task.data, task.recipe

    def fresh() -> nn.Module:
        return to_device(init_model(task.network, recipe, chosen.emotions, material.train.size, task.seed)[0])

    network = fresh()
    cost = Cost(
        parameters=weights.count_parameters(network)[0],
        macs=count_macs(network, material.train.size),
        steps=task.steps,
        train_faces_per_second=measure_throughput(network, task),
    )
    network = fresh()
    train_network(
        network,
        material.train,
        material.valid,
        recipe=recipe,
        transforms=chosen.transforms,
        seed=task.seed,
        precision=chosen.precision,
        name=name,
        epoch_faces=task.epoch_faces,
    )
    said = predict_logits(
        network,
        material.held_out_pixels,
        views=chosen.predict.views,
        batch=chosen.predict.batch,
        precision=chosen.precision,
    )
    return said, cost


def _take_rows(examples: LabelledSet, rows: Int[np.ndarray, " m"]) -> LabelledSet:
    return LabelledSet(examples.pixels[rows], examples.targets[rows], examples.weights[rows])
