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
from fer.evaluation.evaluate import Measured, measured
from fer.experiments.cache import Result, damaged, stored
from fer.experiments.standings import Cost, Run, calibrated, figures
from fer.nn import weights
from fer.nn.inference import logits, placed, view_names
from fer.params import Params
from fer.runtime.errors import InputError
from fer.training.examples import Examples, read_labelled
from fer.training.loop import fit, learn, steps_for, untrained
from fer.training.params import Recipe

EPOCHS = 4  # where the steps are given: enough to choose the best one
TIMED_SECONDS = 2.0


@dataclass(frozen=True)
class Material:
    """The faces that networks learn from and are measured on."""

    train: Examples
    valid: Examples
    measured: Measured
    pixels: UInt8[np.ndarray, "n size size"]  # of the measured faces
    sha256: str  # of all this


@dataclass(frozen=True)
class Task:
    """A network to be trained from a seed."""

    network: str
    seed: int
    recipe: Recipe
    epoch_faces: int
    material: Material
    chosen: Params

    @property
    def steps(self) -> int:
        return sum(steps_for(self.epoch_faces, phase) for phase in self.recipe.phases())

    def facts(self) -> dict[str, Any]:
        """All that its result follows from, but the code."""
        return {
            "network": self.network,
            "seed": self.seed,
            "faces": len(self.material.train),
            "steps": self.steps,
            "size": self.material.train.size,
            "emotions": self.chosen.emotions,
            "precision": self.chosen.precision,
            "views": view_names(self.chosen.predict.views),
            "recipe": self.recipe.model_dump(),
            "transforms": self.chosen.transforms.model_dump(),
            "faces_sha256": self.material.sha256,
        }


def read(unified: Path, chosen: Params, targets: str, count: int | None) -> Material:
    """The faces in `unified`; of those for training, `count` drawn with the seed of `chosen`, and no augmented copies.

    Raises:
        InputError: there are fewer training faces than `count`, or a fold has none.
    """
    faces, table = unified / "faces.npy", unified / "table.csv"
    train, valid = read_labelled(faces, table, None, chosen.emotions, targets)
    shown = measured(read_table(table), chosen.emotions)
    for fold, n in (("train", len(train)), ("valid", len(valid)), ("test", shown.test.sum())):
        if not n:
            raise InputError(f"{table}: the fold {fold} has no faces; add labelled ones, then `dvc repro unify`")
    if count:
        if count > len(train):
            raise InputError(f"--faces is {count}, but {table} has {len(train)} training faces; ask for fewer")
        train = _rows(train, np.sort(np.random.default_rng(chosen.seed).permutation(len(train))[:count]))
    pixels = open_faces(faces)[shown.rows]
    digest = hashlib.sha256()
    for array in (train.pixels, train.targets, pixels, shown.labels, shown.test):
        digest.update(array.tobytes())
    return Material(train, valid, shown, pixels, digest.hexdigest())


def shared_out(recipe: Recipe, steps: int, name: str) -> tuple[Recipe, int]:
    """`recipe` with about `EPOCHS` epochs, each phase its part, and the faces in one, so that all make `steps` batches.

    Raises:
        InputError: no whole number of faces does.
    """
    phases = [phase.epochs for phase in recipe.phases()]
    epochs = [max(1, round(min(EPOCHS, steps) * part / sum(phases))) for part in phases]
    changes: dict[str, Any] = {"epochs": sum(epochs), "patience": None}
    if recipe.transfer:
        shorter = [
            phase.model_copy(update={"epochs": n}) for phase, n in zip(recipe.transfer.phases, epochs, strict=True)
        ]
        changes["transfer"] = recipe.transfer.model_copy(update={"phases": shorter})
    short, epoch_faces = recipe.model_copy(update=changes), round(steps * recipe.batch / sum(epochs))
    if sum(steps_for(epoch_faces, phase) for phase in short.phases()) != steps:
        raise InputError(f"--steps is {steps}, which the epochs of {name} can't make; take a multiple of {sum(epochs)}")
    return short, epoch_faces


def run(task: Task, folder: Path, bins: int) -> Run:
    """What the trained network says, from `folder` where it was run before with the same things; else it is trained.

    Raises:
        InputError: the network can't be made, or its loss is no longer a number.
    """
    name, faces = f"{task.network}, seed {task.seed}", task.material.measured

    def make() -> Result:
        said, cost = _trained(task, name)
        found = figures({task.network: finished(said, cost)}, faces, task.chosen.emotions, bins)
        return said, {"cost": asdict(cost), "figures": found}

    def finished(said: Float[np.ndarray, "n views classes"], cost: Cost) -> Run:
        views = view_names(task.chosen.predict.views)
        plain = said[:, [views.index("plain")]] if "plain" in views else None
        single_crop = None if plain is None else calibrated(plain, faces, task.seed)
        return Run(calibrated(said, faces, task.seed), single_crop, cost)

    about = folder / f"{task.seed}.json"
    said, told = stored(about, task.facts(), make, name)
    try:
        cost, found = Cost(**told["cost"]), told["figures"]
    except (TypeError, KeyError) as error:
        raise damaged(about) from error
    print(f"{name}: {found['valid_accuracy']:.1%} on validation faces, {found['test_accuracy']:.1%} on test faces")
    return finished(said, cost)


def macs(network: nn.Module, size: int) -> int:
    """Multiply-accumulates of the convolutions and matrix products for one face."""
    network.eval()
    face = torch.zeros(1, size, size, device=next(network.parameters()).device)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(weights.as_input(face))
    return int(counter.get_total_flops()) // 2


def pace(network: nn.Module, task: Task) -> float:
    """Faces learnt from in a second, in the last phase of the recipe; what `network` learns is of no use."""
    last = task.recipe.phases()[-1].model_copy(update={"epochs": 1})
    if last.transfer:
        weights.unfreeze(network, last.transfer.phases[0].layers)

    def seconds(steps: int) -> float:
        start = time.perf_counter()
        with redirect_stdout(io.StringIO()):
            fit(
                network,
                task.material.train,
                _rows(task.material.valid, np.arange(1)),  # validation is not to be timed
                recipe=last,
                transforms=task.chosen.transforms,
                steps=steps,
                seed=task.seed,
                precision=task.chosen.precision,
                name=f"{task.network}, timed",
            )
        return time.perf_counter() - start

    steps, taken = 1, 0.0
    seconds(steps)  # the first batches are slower
    while taken < TIMED_SECONDS:
        steps *= 4
        taken = seconds(steps)
    return steps * last.batch / taken


def _trained(task: Task, name: str) -> tuple[Float[np.ndarray, "n views classes"], Cost]:
    """What the trained network says of the measured faces, and what it cost."""
    chosen, material, recipe = task.chosen, task.material, task.recipe

    def fresh() -> nn.Module:
        return placed(untrained(task.network, recipe, chosen.emotions, material.train.size, task.seed)[0])

    network = fresh()
    cost = Cost(
        parameters=weights.parameter_counts(network)[0],
        macs=macs(network, material.train.size),
        steps=task.steps,
        train_faces_per_second=pace(network, task),
    )
    network = fresh()
    learn(
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
    said = logits(
        network, material.pixels, views=chosen.predict.views, batch=chosen.predict.batch, precision=chosen.precision
    )
    return said, cost


def _rows(examples: Examples, rows: Int[np.ndarray, " m"]) -> Examples:
    return Examples(examples.pixels[rows], examples.targets[rows], examples.weights[rows])
