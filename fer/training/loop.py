"""One training loop for every network."""

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
from fer.nn.weights import ModelConfig, build_model, normalize_faces, set_trainable_layers
from fer.runtime.errors import InputError
from fer.training.augmentation import mixup, transform_faces
from fer.training.checkpoint import Checkpoint, Stateful, compute_fingerprint
from fer.training.examples import LabelledSet, UnlabelledPool, shuffled_batches
from fer.training.online import OnlinePseudoLabeller
from fer.training.optim import make_optimizer, make_schedule
from fer.training.params import Recipe, Train, Transforms

MIN_STEPS_TO_COMPILE = 20_000  # steps; compiling takes half a minute or more, as long as some ten thousand of them
SEED_STRIDE = 10_000_019  # more than the steps of any training
LOG_INTERVAL_SECONDS = 60  # where there is no terminal for a bar


@dataclass
class TrainingProgress:
    """How far a training has come."""

    totals: Float[
        Tensor, "3"
    ]  # over the steps of the epoch: loss, share that is right, mean weight of unlabelled faces
    best_weights: dict[str, Tensor]
    best_epoch: int = 0
    best_accuracy: float = -1.0
    step: int = 0
    curve: list[dict[str, int | float]] = field(default_factory=list)

    def state_dict(self) -> dict[str, Any]:
        return vars(self)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        where = self.totals.device
        vars(self).update(state)
        self.totals = self.totals.to(where)


def init_model(
    name: str, recipe: Recipe, emotions: Sequence[str], size: int, seed: int
) -> tuple[nn.Module, ModelConfig]:
    """The network `name` as `recipe` has it before training: weights drawn from `seed`, or ImageNet's under a new head.

    Raises:
        InputError: there is no such network, it can't take faces of `size`, or the ImageNet weights can't be had.
    """
    input_px = recipe.transfer.input_px if recipe.transfer else None
    facts = ModelConfig(network=name, emotions=tuple(emotions), size=size, dropout=recipe.dropout, input_px=input_px)
    torch.manual_seed(seed)
    network = build_model(facts)
    if recipe.transfer:
        from fer.nn.transfer import load_imagenet_weights

        load_imagenet_weights(network, recipe.transfer.pretrained)
    return network, facts


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
    """`fit` by `recipe`, phase by phase where it has phases, epochs of `epoch_faces` faces counted through.

    A phase begins with the best epoch of the one before, and the network ends with the best epoch of the last. With
    `checkpoint` a training that is cut short goes on from that file, and ends with the weights it would have had.

    Raises:
        CutShortError: the process was told to end.
    """
    given = (*train_set.arrays(), *valid_set.arrays(), *(unlabelled.fingerprint_inputs() if unlabelled else ()))
    start = [tensor.cpu().numpy() for tensor in network.state_dict().values()]
    rules = (
        recipe,
        transforms,
        epoch_faces,
        seed,
        precision,
        distributed.world_size(),
        next(network.parameters()).device,
    )
    kept = Checkpoint(checkpoint, compute_fingerprint(*given, *start, *rules) if checkpoint else "")
    curve: list[dict[str, int | float]] = kept.metadata.get("curve", [])
    with kept.defer_signals():
        for number, phase in enumerate(recipe.phases()):
            if number < kept.metadata.get("phase", 0):
                continue
            kept.metadata = {"phase": number, "curve": curve}
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
                checkpoint=kept,
            )
    kept.remove()
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
    """Train `network`, on the device where it is, for `steps` batches; it ends with its best epoch's averaged weights.

    An epoch is one of `recipe.epochs` equal parts of the steps, whatever the number of faces: so runs on different sets
    compare. `unlabelled` faces take a part of each batch. Epochs are counted on from the `epochs_done` ones. The best epoch
    is the earliest with the highest accuracy on `valid_set`. Returns a row for each epoch.

    Raises:
        InputError: there are no faces to learn from or to validate on, or the loss is no longer a finite number.
    """
    for fold, examples in (("training", train_set), ("validation", valid_set)):
        if not len(examples):
            raise InputError(f"{name}: there are no {fold} faces; add labelled ones, then `dvc repro`")
    where = next(network.parameters()).device
    rank, world_size = distributed.rank(), distributed.world_size()
    pixels, targets, weights = (
        torch.from_numpy(array).to(where) for array in (train_set.pixels, train_set.targets, train_set.weights)
    )
    if recipe.class_weights == "balanced":
        weights = weights * (targets @ balanced_class_weights(targets))
    smooth = (1 - recipe.label_smoothing) * targets + recipe.label_smoothing / targets.shape[1]
    learnt = smooth * weights[:, None]
    optimizer = make_optimizer(network, recipe.optimizer)
    schedule = make_schedule(optimizer, recipe.schedule, steps)
    together = compile_network(network, where, steps) if world_size == 1 else distributed.wrap_ddp(network)
    averaged = deepcopy(network).requires_grad_(False)
    labeller = OnlinePseudoLabeller(unlabelled, recipe, transforms, seed, precision, where) if unlabelled else None
    batch = recipe.batch - (labeller.batch_size if labeller else 0)
    if batch % world_size or recipe.batch % world_size:
        raise InputError(
            f"{name}: {world_size} processes can't share batches of {batch} faces evenly; change train.batch"
        )
    progress = TrainingProgress(totals=torch.zeros(3, device=where), best_weights=network.state_dict())
    parts: dict[str, Stateful] = {"network": network, "averaged": averaged, "optimizer": optimizer}
    parts |= {"schedule": schedule, "progress": progress} | ({"judge": labeller.tracker} if labeller else {})
    if checkpoint:
        checkpoint.resume(parts)
    batches = islice(shuffled_batches(len(train_set), batch, seed), progress.step, None)
    told = time.monotonic()

    with tqdm(desc=name, total=steps * recipe.batch, unit="face", unit_scale=True, disable=None) as bar:
        for epoch in range(len(progress.curve) + 1, recipe.epochs + 1):
            if recipe.patience and epoch - 1 - progress.best_epoch >= recipe.patience:
                break
            network.train()
            first, end = (steps * number // recipe.epochs for number in (epoch - 1, epoch))
            for step in range(max(first, progress.step), end):
                drawn_from = (seed * SEED_STRIDE + step) * world_size + rank
                random = torch.Generator(where).manual_seed(drawn_from)
                torch.manual_seed(drawn_from)  # dropout draws from the global generator
                rows = torch.from_numpy(next(batches)[rank::world_size]).to(where, non_blocking=True)
                faces, goals = transform_faces(pixels[rows], transforms, random), learnt[rows]
                if recipe.mixup:
                    share = np.random.default_rng([seed, step]).beta(recipe.mixup, recipe.mixup)
                    faces, goals = mixup(faces, goals, max(share, 1 - share))  # a face keeps its own label the most
                if labeller:
                    more, said = labeller.label(step, averaged, random)
                    faces = torch.cat([faces, more])
                with autocast(where, precision):
                    outputs = together(normalize_faces(faces)).float()
                loss = soft_cross_entropy(outputs[: len(rows)], goals)
                if labeller:
                    loss = loss + soft_cross_entropy(outputs[len(rows) :], said)
                    progress.totals[2] += said.sum() / len(said)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if not isinstance(schedule, ReduceLROnPlateau):
                    schedule.step()
                update_ema(averaged, network, recipe.ema if step else 0.0)
                progress.totals[0] += loss.detach()
                progress.totals[1] += (outputs[: len(rows)].argmax(dim=1) == targets[rows].argmax(dim=1)).float().mean()
                progress.step = step + 1
                bar.update(progress.step * recipe.batch - bar.n)
                if checkpoint:
                    checkpoint.save_if_due(parts)

            train_loss, train_accuracy, mean_weight = (
                distributed.mean_over_processes(progress.totals) / (end - first)
            ).tolist()
            progress.totals = torch.zeros(3, device=where)
            valid_loss, valid_accuracy = distributed.broadcast_from_main(
                lambda: validate(averaged, valid_set, precision)
            )
            for kind, value in (("", train_loss), ("validation ", valid_loss)):
                if not math.isfinite(value):
                    raise InputError(
                        f"the {kind}loss of {name} is {value} in epoch {epochs_done + epoch}; lower train.optimizer.lr"
                    )
            rate = float(schedule.get_last_lr()[0])
            if isinstance(schedule, ReduceLROnPlateau):
                schedule.step(valid_loss)
            progress.curve.append(
                {
                    "epoch": epochs_done + epoch,
                    "learning_rate": rate,
                    "train_loss": train_loss,
                    "valid_loss": valid_loss,
                    "train_accuracy": train_accuracy,
                    "valid_accuracy": valid_accuracy,
                }
                | ({"unlabelled_weight": mean_weight} if labeller else {})
            )
            bar.set_postfix(validation=f"{valid_accuracy:.1%}")
            if bar.disable and time.monotonic() > told + LOG_INTERVAL_SECONDS:
                told = time.monotonic()
                print(f"{name}: epoch {epochs_done + epoch}, validation accuracy {valid_accuracy:.1%}", flush=True)
            if valid_accuracy > progress.best_accuracy:
                progress.best_epoch, progress.best_accuracy = epoch, valid_accuracy
                progress.best_weights = deepcopy(averaged.state_dict())
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
    """Take `ema_model` to `decay` of itself and the rest of `network`, weights and batch norm's statistics alike.

    torch's `AveragedModel` does the same, but asks the GPU for its counter, and so waits for it, in every step.
    """
    kept, now = (
        [tensor for tensor in one.state_dict().values() if tensor.is_floating_point()] for one in (ema_model, network)
    )
    torch._foreach_lerp_(kept, now, 1 - decay)


def compile_network(network: nn.Module, device: torch.device, steps: int) -> Callable[[Tensor], Tensor]:
    """`network` as CUDA graphs of fused kernels on a GPU, if it has so many steps to go that compiling pays."""
    pays = device.type == "cuda" and steps >= MIN_STEPS_TO_COMPILE
    return torch.compile(network, mode="reduce-overhead") if pays else network


def count_steps(epoch_faces: int, recipe: Train) -> int:
    """Batches in `recipe.epochs` epochs of `epoch_faces` faces, at least one an epoch."""
    return max(recipe.epochs, round(recipe.epochs * epoch_faces / recipe.batch))


def soft_cross_entropy(logits: Float[Tensor, "n classes"], targets: Float[Tensor, "n classes"]) -> Float[Tensor, ""]:
    """Mean over the faces; a face whose `targets` sum to less than 1 counts so much less."""
    return -(targets * log_softmax(logits, dim=1)).sum(dim=1).mean()


def validate(network: nn.Module, valid_set: LabelledSet, precision: str) -> tuple[float, float]:
    """Cross-entropy and accuracy on faces that are not learnt from."""
    outputs = predict_logits(network, valid_set.pixels, views=["plain"], batch=512, precision=precision)[:, 0]
    loss = -(valid_set.targets * log_softmax(torch.from_numpy(outputs), dim=1).numpy()).sum(axis=1).mean()
    return float(loss), float((outputs.argmax(axis=1) == valid_set.targets.argmax(axis=1)).mean())


def balanced_class_weights(targets: Float[Tensor, "n classes"]) -> Float[Tensor, " classes"]:
    """n / (classes · n_c) for each class c, so that every emotion counts alike; 0 for a class without faces."""
    counts = targets.sum(dim=0)
    return torch.where(counts > 0, counts.sum() / (len(counts) * counts.clamp(min=1e-9)), 0.0)
