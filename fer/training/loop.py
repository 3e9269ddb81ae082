"""The training loop of every network."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import log_softmax
from torch.optim.lr_scheduler import ReduceLROnPlateau
from tqdm import tqdm

from fer.nn import distributed
from fer.nn.inference import autocast, predict_logits
from fer.nn.weights import ModelConfig, normalize_faces, set_trainable_layers
from fer.runtime.errors import InputError
from fer.training.augmentation import mixup, transform_faces
from fer.training.checkpoint import Checkpoint, Stateful, compute_fingerprint
from fer.training.examples import LabelledSet, UnlabelledPool, shuffled_batches
from fer.training.online import OnlinePseudoLabeller
from fer.training.optim import make_optimizer, make_schedule
from fer.training.params import Recipe, Train, Transforms

MIN_STEPS_TO_COMPILE = 20_000  # compiling takes half a minute or more, the time of about ten thousand steps
SEED_STRIDE = 10_000_019  # more than the steps of any training
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
        device = self.totals.device
        vars(self).update(state)
        self.totals = self.totals.to(device)


def init_model(
    name: str, recipe: Recipe, emotions: Sequence[str], size: int, seed: int
) -> tuple[nn.Module, ModelConfig]:
    """Return an untrained network and its description: weights drawn from `seed`, or of ImageNet below a new head.

    Raises:
        InputError: The network does not exist or needs larger faces, or the ImageNet weights are not available.
    """
    input_px = recipe.transfer.input_px if recipe.transfer else None
    config = ModelConfig(network=name, emotions=tuple(emotions), size=size, dropout=recipe.dropout, input_px=input_px)
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
    inputs = (*data, *weights, recipe, transforms, epoch_faces, seed, precision, *machine)
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
    checkpoint: Checkpoint | None = None,
) -> list[dict[str, int | float]]:
    """Train `network` in place for `steps` batches, load the EMA weights of the best epoch, and return a row per epoch.

    The steps are divided into `recipe.epochs` equal epochs, so runs on datasets of different size are comparable. The
    best epoch is the earliest with the highest accuracy on `valid_set`. `unlabelled` faces take a part of each batch.
    Epoch numbers continue after `epochs_done`.

    Raises:
        InputError: A set is empty, processes cannot share a batch evenly, or the loss is not finite.
    """
    for fold, faces_of_fold in (("training", train_set), ("validation", valid_set)):
        if not len(faces_of_fold):
            raise InputError(f"{name}: there are no {fold} faces; add labelled faces and run `dvc repro`")
    device = next(network.parameters()).device
    rank, world_size = distributed.rank(), distributed.world_size()
    pixels, targets, weights = (torch.from_numpy(np.asarray(array)).to(device) for array in train_set.arrays())
    if recipe.class_weights == "balanced":
        weights = weights * (targets @ balanced_class_weights(targets))
    smoothed_targets = (1 - recipe.label_smoothing) * targets + recipe.label_smoothing / targets.shape[1]
    weighted_targets = smoothed_targets * weights[:, None]
    optimizer = make_optimizer(network, recipe.optimizer)
    schedule = make_schedule(optimizer, recipe.schedule, steps)
    train_model = compile_network(network, device, steps) if world_size == 1 else distributed.wrap_ddp(network)
    ema_model = deepcopy(network).requires_grad_(False)
    labeller = OnlinePseudoLabeller(unlabelled, recipe, transforms, seed, precision, device) if unlabelled else None
    batch = recipe.batch - (labeller.batch_size if labeller else 0)
    if batch % world_size or recipe.batch % world_size:
        raise InputError(
            f"{name}: {world_size} processes cannot share batches of {batch} faces evenly; change train.batch"
        )
    progress = TrainingProgress(totals=torch.zeros(3, device=device), best_weights=network.state_dict())
    parts: dict[str, Stateful] = {"network": network, "ema_model": ema_model, "optimizer": optimizer}
    parts |= {"schedule": schedule, "progress": progress} | ({"tracker": labeller.tracker} if labeller else {})
    if checkpoint:
        checkpoint.resume(parts)
    batches = islice(shuffled_batches(len(train_set), batch, seed), progress.step, None)
    last_log_time = time.monotonic()

    with tqdm(desc=name, total=steps * recipe.batch, unit="face", unit_scale=True, disable=None) as bar:
        for epoch in range(len(progress.curve) + 1, recipe.epochs + 1):
            if recipe.patience and epoch - 1 - progress.best_epoch >= recipe.patience:
                break
            network.train()
            first_step, end_step = (steps * number // recipe.epochs for number in (epoch - 1, epoch))
            for step in range(max(first_step, progress.step), end_step):
                step_seed = (seed * SEED_STRIDE + step) * world_size + rank
                generator = torch.Generator(device).manual_seed(step_seed)
                torch.manual_seed(step_seed)  # dropout draws from the global generator
                rows = torch.from_numpy(next(batches)[rank::world_size]).to(device, non_blocking=True)
                faces, batch_targets = transform_faces(pixels[rows], transforms, generator), weighted_targets[rows]
                if recipe.mixup:
                    lam = np.random.default_rng([seed, step]).beta(recipe.mixup, recipe.mixup)
                    lam = max(lam, 1 - lam)  # a face keeps the larger part: the accuracy counts its own label
                    faces, batch_targets = mixup(faces, batch_targets, lam)
                if labeller:
                    unlabelled_faces, pseudo_targets = labeller.label(step, ema_model, generator)
                    faces = torch.cat([faces, unlabelled_faces])
                with autocast(device, precision):
                    logits = train_model(normalize_faces(faces)).float()
                loss = soft_cross_entropy(logits[: len(rows)], batch_targets)
                if labeller:
                    loss = loss + soft_cross_entropy(logits[len(rows) :], pseudo_targets)
                    progress.totals[2] += pseudo_targets.sum() / len(pseudo_targets)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if not isinstance(schedule, ReduceLROnPlateau):
                    schedule.step()
                update_ema(ema_model, network, recipe.ema if step else 0.0)
                progress.totals[0] += loss.detach()
                progress.totals[1] += (logits[: len(rows)].argmax(dim=1) == targets[rows].argmax(dim=1)).float().mean()
                progress.step = step + 1
                bar.update(progress.step * recipe.batch - bar.n)
                if checkpoint:
                    checkpoint.save_if_due(parts)

            means = distributed.mean_over_processes(progress.totals) / (end_step - first_step)
            train_loss, train_accuracy, unlabelled_weight = means.tolist()
            progress.totals = torch.zeros(3, device=device)
            valid_loss, valid_accuracy = distributed.broadcast_from_main(
                lambda: validate(ema_model, valid_set, precision)
            )
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
                | ({"unlabelled_weight": unlabelled_weight} if labeller else {})
            )
            bar.set_postfix(validation=f"{valid_accuracy:.1%}")
            if bar.disable and time.monotonic() > last_log_time + LOG_INTERVAL_SECONDS:
                last_log_time = time.monotonic()
                print(f"{name}: epoch {epochs_done + epoch}, validation accuracy {valid_accuracy:.1%}", flush=True)
            if valid_accuracy > progress.best_accuracy:
                progress.best_epoch, progress.best_accuracy = epoch, valid_accuracy
                progress.best_weights = deepcopy(ema_model.state_dict())
            if checkpoint:
                checkpoint.save_if_due(parts)
    network.load_state_dict(progress.best_weights)
    print(
        f"{name}: {len(train_set)} faces, {len(progress.curve)} epochs of {steps / recipe.epochs:.0f} steps; "
        f"best epoch {epochs_done + progress.best_epoch}, validation accuracy {progress.best_accuracy:.1%}"
    )
    return progress.curve


@torch.no_grad()
def update_ema(ema_model: nn.Module, network: nn.Module, decay: float) -> None:
    """Set `ema_model` to `decay` · `ema_model` + (1 - `decay`) · `network`, including statistics of batch norm.

    torch's `AveragedModel` does the same, but reads a counter from the GPU and so waits for the GPU in every step.
    """
    averages, values = (
        [tensor for tensor in model.state_dict().values() if tensor.is_floating_point()]
        for model in (ema_model, network)
    )
    torch._foreach_lerp_(averages, values, 1 - decay)


def compile_network(network: nn.Module, device: torch.device, steps: int) -> Callable[[Tensor], Tensor]:
    """Return `network` compiled to CUDA graphs if it is on a GPU and trained for at least `MIN_STEPS_TO_COMPILE`."""
    is_worthwhile = device.type == "cuda" and steps >= MIN_STEPS_TO_COMPILE
    return torch.compile(network, mode="reduce-overhead") if is_worthwhile else network


def count_steps(epoch_faces: int, recipe: Train) -> int:
    """Return the number of batches in `recipe.epochs` epochs of `epoch_faces` faces, at least one per epoch."""
    return max(recipe.epochs, round(recipe.epochs * epoch_faces / recipe.batch))


def soft_cross_entropy(logits: Float[Tensor, "n classes"], targets: Float[Tensor, "n classes"]) -> Float[Tensor, ""]:
    """Return the mean cross-entropy; the sum of a face's `targets` is its weight."""
    return -(targets * log_softmax(logits, dim=1)).sum(dim=1).mean()


def validate(network: nn.Module, valid_set: LabelledSet, precision: str) -> tuple[float, float]:
    """Return cross-entropy and accuracy on the validation faces."""
    logits = predict_logits(network, np.asarray(valid_set.pixels), views=["plain"], batch=512, precision=precision)[
        :, 0
    ]
    loss = -(valid_set.targets * log_softmax(torch.from_numpy(logits), dim=1).numpy()).sum(axis=1).mean()
    return float(loss), float((logits.argmax(axis=1) == valid_set.targets.argmax(axis=1)).mean())


def balanced_class_weights(targets: Float[Tensor, "n classes"]) -> Float[Tensor, " classes"]:
    """Return n / (classes · n_c) for each class c, which balances the classes, and 0 for a class without faces."""
    counts = targets.sum(dim=0)
    return torch.where(counts > 0, counts.sum() / (len(counts) * counts.clamp(min=1e-9)), 0.0)
