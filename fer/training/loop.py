"""The training loop of every network."""

import math
import time
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.functional import log_softmax
from torch.optim.lr_scheduler import ReduceLROnPlateau
from tqdm import tqdm

from fer.nn import distributed
from fer.nn.inference import predict_batch
from fer.nn.weights import ModelConfig, set_trainable_layers
from fer.runtime.errors import InputError
from fer.training.checkpoint import Checkpoint, Stateful, compute_fingerprint
from fer.training.examples import LabelledSet, UnlabelledPool
from fer.training.optim import make_schedule
from fer.training.params import Recipe, Train, Transforms
from fer.training.step import TrainingStep

VALIDATION_BATCH = 2048  # faces
LOG_INTERVAL_SECONDS = 60  # without a terminal for a progress bar


@dataclass
class TrainingProgress:
    """The progress of a training, saved in its checkpoint."""

    totals: Float[Tensor, "3"]  # sums over the steps of an epoch: loss, accuracy, mean weight of unlabelled faces
    best_weights: dict[str, Tensor]
    best_epoch: int = 0
    best_accuracy: float = -1.0
    step: int = 0
    curve: list[dict[str, int | float]] = field(default_factory=list)

    def state_dict(self) -> dict[str, Any]:
        return vars(self)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        totals = self.totals.copy_(state["totals"])  # the step adds to this tensor
        vars(self).update(state, totals=totals)


def init_model(
    name: str, recipe: Recipe, emotions: Sequence[str], size: int, seed: int, replica: int = 0
) -> tuple[nn.Module, ModelConfig]:
    """Return an untrained network and its description: weights drawn from `seed`, or of ImageNet below a new head.

    Raises:
        InputError: The network does not exist or needs larger faces, or the ImageNet weights are not available.
    """
    input_px = recipe.transfer.input_px if recipe.transfer else None
    config = ModelConfig(
        network=name,
        replica=replica,
        emotions=tuple(emotions),
        size=size,
        dropout=recipe.dropout,
        input_px=input_px,
    )
    torch.manual_seed(seed)
    network = config.build()
    if recipe.transfer:
        from fer.nn.transfer import load_imagenet_weights

        load_imagenet_weights(network, recipe.transfer.pretrained)
    return network, config


def train_network(
    network: nn.Module,
    train_set: LabelledSet,
    valid_set: LabelledSet,
    *,
    recipe: Recipe,
    transforms: Transforms,
    seed: int,
    precision: str,
    name: str,
    epoch_faces: int,
    unlabelled: UnlabelledPool | None = None,
    logit_adjustment: float = 0.0,
    checkpoint: Path | None = None,
) -> list[dict[str, int | float]]:
    """Train `network` in place, phase by phase, and return a row for each epoch, numbered across phases.

    Each phase starts from the best epoch of the previous phase; the network ends with the best epoch of the last phase.
    An epoch has `epoch_faces` faces, whatever the size of `train_set`. A training that resumes from the file
    `checkpoint` ends with the same weights as one that was never interrupted.

    Raises:
        StoppedError: Ctrl-C or SIGTERM stopped the training.
    """
    data = (*train_set.arrays(), *valid_set.arrays(), *(unlabelled.fingerprint_inputs() if unlabelled else ()))
    weights = [tensor.cpu().numpy() for tensor in network.state_dict().values()]
    machine = (distributed.world_size(), next(network.parameters()).device)
    inputs = (*data, *weights, recipe, transforms, epoch_faces, seed, precision, logit_adjustment, *machine)
    saved = Checkpoint(checkpoint, compute_fingerprint(*inputs) if checkpoint else "")
    curve: list[dict[str, int | float]] = saved.metadata.get("curve", [])
    with saved.defer_signals():
        for number, phase in enumerate(recipe.phases()):
            if number < saved.metadata.get("phase", 0):
                continue
            saved.metadata = {"phase": number, "curve": curve}
            if phase.transfer:
                set_trainable_layers(network, phase.transfer.phases[0].layers)
            curve = curve + train_phase(
                network,
                train_set,
                valid_set,
                recipe=phase,
                transforms=transforms,
                steps=count_steps(epoch_faces, phase),
                seed=seed,
                precision=precision,
                name=name,
                epochs_done=len(curve),
                unlabelled=unlabelled,
                logit_adjustment=logit_adjustment,
                checkpoint=saved,
            )
    saved.remove()
    return curve


def train_phase(
    network: nn.Module,
    train_set: LabelledSet,
    valid_set: LabelledSet,
    *,
    recipe: Train,
    transforms: Transforms,
    steps: int,
    seed: int,
    precision: str,
    name: str,
    epochs_done: int = 0,
    unlabelled: UnlabelledPool | None = None,
    logit_adjustment: float = 0.0,
    checkpoint: Checkpoint | None = None,
) -> list[dict[str, int | float]]:
    """Train `network` in place for `steps` batches, load the EMA weights of the best epoch, and return a row per epoch.

    The steps are divided into `recipe.epochs` equal epochs, so runs on datasets of different size are comparable. The
    best epoch is the earliest with the highest accuracy on `valid_set`. `unlabelled` faces take a part of each batch.
    The loss has the logits plus `logit_adjustment` times `log_frequencies`. Epoch numbers continue after `epochs_done`.

    Raises:
        InputError: A set is empty, processes cannot share a batch evenly, or the loss is not finite.
    """
    for fold, faces_of_fold in (("training", train_set), ("validation", valid_set)):
        if not len(faces_of_fold):
            raise InputError(f"{name}: there are no {fold} faces; add labelled faces and run `dvc repro`")
    step = TrainingStep(
        network,
        train_set,
        unlabelled,
        recipe=recipe,
        transforms=transforms,
        seed=seed,
        precision=precision,
        logit_adjustment=logit_adjustment,
    )
    schedule = make_schedule(step.optimizer, recipe.schedule, steps)
    valid_pixels = torch.from_numpy(np.asarray(valid_set.pixels)).to(step.device)
    progress = TrainingProgress(totals=step.totals, best_weights=network.state_dict())
    parts: dict[str, Stateful] = step.parts | {"schedule": schedule, "progress": progress}
    if checkpoint:
        checkpoint.resume(parts)
    last_log_time = time.monotonic()

    with tqdm(desc=name, total=steps * recipe.batch, unit="face", unit_scale=True, disable=None) as bar:
        for epoch in range(len(progress.curve) + 1, recipe.epochs + 1):
            if recipe.patience and epoch - 1 - progress.best_epoch >= recipe.patience:
                break
            first_step, end_step = (steps * number // recipe.epochs for number in (epoch - 1, epoch))
            if progress.step < end_step:
                step.start_epoch(max(first_step, progress.step), end_step)
            while progress.step < end_step:
                step.take(progress.step)
                if not isinstance(schedule, ReduceLROnPlateau):
                    schedule.step()
                progress.step += 1
                bar.update(progress.step * recipe.batch - bar.n)
                if checkpoint:
                    checkpoint.save_if_due(parts)

            train_loss, train_accuracy, unlabelled_weight = (step.totals / (end_step - first_step)).tolist()
            step.totals.zero_()
            valid_loss, valid_accuracy = validate(step.ema_model, valid_pixels, valid_set.targets, precision)
            for kind, value in (("", train_loss), ("validation ", valid_loss)):
                if not math.isfinite(value):
                    raise InputError(
                        f"the {kind}loss of {name} is {value} in epoch {epochs_done + epoch}; lower train.optimizer.lr"
                    )
            learning_rate = float(schedule.get_last_lr()[0])
            if isinstance(schedule, ReduceLROnPlateau):
                schedule.step(valid_loss)
            progress.curve.append(
                {
                    "epoch": epochs_done + epoch,
                    "learning_rate": learning_rate,
                    "train_loss": train_loss,
                    "valid_loss": valid_loss,
                    "train_accuracy": train_accuracy,
                    "valid_accuracy": valid_accuracy,
                }
                | ({"unlabelled_weight": unlabelled_weight} if unlabelled else {})
            )
            bar.set_postfix(validation=f"{valid_accuracy:.1%}")
            if bar.disable and time.monotonic() > last_log_time + LOG_INTERVAL_SECONDS:
                last_log_time = time.monotonic()
                print(f"{name}: epoch {epochs_done + epoch}, validation accuracy {valid_accuracy:.1%}", flush=True)
            if valid_accuracy > progress.best_accuracy:
                progress.best_epoch, progress.best_accuracy = epoch, valid_accuracy
                progress.best_weights = deepcopy(step.ema_model.state_dict())
            if checkpoint:
                checkpoint.save_if_due(parts)
    network.load_state_dict(progress.best_weights)
    print(
        f"{name}: {len(train_set)} faces, {len(progress.curve)} epochs of {steps / recipe.epochs:.0f} steps; "
        f"best epoch {epochs_done + progress.best_epoch}, validation accuracy {progress.best_accuracy:.1%}"
    )
    return progress.curve


def count_steps(epoch_faces: int, recipe: Train) -> int:
    """Return the number of batches in `recipe.epochs` epochs of `epoch_faces` faces, at least one per epoch."""
    return max(recipe.epochs, round(recipe.epochs * epoch_faces / recipe.batch))


def validate(
    network: nn.Module, pixels: UInt8[Tensor, "n size size"], targets: Float[np.ndarray, "n classes"], precision: str
) -> tuple[float, float]:
    """Return cross-entropy and accuracy on the validation faces, which lie on the device of `network`.

    Processes divide the faces among themselves.
    """
    network.eval()
    sums = torch.zeros(targets.shape, device=pixels.device)
    for start in range(0, len(pixels), VALIDATION_BATCH):
        rows = slice(start, start + VALIDATION_BATCH)
        if start // VALIDATION_BATCH % distributed.world_size() == distributed.rank():
            sums[rows] = predict_batch(network, pixels[rows], ["plain"], precision)[:, 0]
    logits = distributed.sum_over_processes(sums).cpu()
    loss = -(targets * log_softmax(logits, dim=1).numpy()).sum(axis=1).mean()
    return float(loss), float((logits.numpy().argmax(axis=1) == targets.argmax(axis=1)).mean())
