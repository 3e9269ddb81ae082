"""One training loop for every network."""

import math
import time
from collections.abc import Iterator
from copy import deepcopy

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import log_softmax
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from fer import params, recipes
from fer.augmentation import mix, transform
from fer.errors import InputError
from fer.examples import Examples
from fer.inference import computing, logits
from fer.models import as_input, unfreeze

TELL_EVERY_SECONDS = 60  # where there is no terminal for a bar


def learn(
    network: nn.Module,
    train: Examples,
    valid: Examples,
    *,
    recipe: recipes.Recipe,
    transforms: params.Transforms,
    seed: int,
    precision: str,
    name: str,
    epoch_faces: int,
) -> list[dict[str, int | float]]:
    """`fit` by `recipe`, phase by phase where it has phases, epochs of `epoch_faces` faces counted through."""
    curve: list[dict[str, int | float]] = []
    for phase in recipe.phases():
        if phase.transfer:
            unfreeze(network, phase.transfer.phases[0].layers)
        curve += fit(
            network,
            train,
            valid,
            recipe=phase,
            transforms=transforms,
            steps=steps_for(epoch_faces, phase),
            seed=seed,
            precision=precision,
            name=name,
            done=len(curve),
        )
    return curve


def fit(
    network: nn.Module,
    train: Examples,
    valid: Examples,
    *,
    recipe: recipes.Train,
    transforms: params.Transforms,
    steps: int,
    seed: int,
    precision: str,
    name: str,
    done: int = 0,
) -> list[dict[str, int | float]]:
    """Train `network`, on the device where it is, for `steps` batches; it ends with its best epoch's averaged weights.

    An epoch is one of `recipe.epochs` equal parts of the steps, whatever the number of faces: so runs on different sets
    compare. Epochs are counted on from the `done` ones. The best epoch is the earliest with the highest accuracy on
    `valid`. Returns a row for each epoch.

    Raises:
        InputError: the loss is no longer a finite number.
    """
    where = next(network.parameters()).device
    pixels, targets, weights = (
        torch.from_numpy(array).to(where) for array in (train.pixels, train.targets, train.weights)
    )
    if recipe.class_weights == "balanced":
        weights = weights * (targets @ balanced_weights(targets))
    smooth = (1 - recipe.label_smoothing) * targets + recipe.label_smoothing / targets.shape[1]
    learnt = smooth * weights[:, None]
    optimizer = make_optimizer(network, recipe.optimizer)
    schedule = make_schedule(optimizer, recipe.schedule, steps)
    averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema), use_buffers=True)
    batches, shares = shuffled_batches(len(train), recipe.batch, seed), np.random.default_rng(seed)
    curve: list[dict[str, int | float]] = []
    told = time.monotonic()
    best_epoch, best_accuracy, best_weights = done, -1.0, network.state_dict()

    with tqdm(total=steps * recipe.batch, desc=name, unit="face", unit_scale=True, disable=None) as bar:
        for epoch in range(done + 1, done + recipe.epochs + 1):
            random = torch.Generator(where).manual_seed(seed * 10_007 + epoch)
            torch.manual_seed(seed * 10_007 + epoch)  # dropout draws from the global generator
            epoch_steps = steps * (epoch - done) // recipe.epochs - steps * (epoch - done - 1) // recipe.epochs
            total_loss, correct = torch.zeros(2, device=where)
            network.train()
            for _ in range(epoch_steps):
                rows = torch.from_numpy(next(batches)).to(where)
                faces, goals = transform(pixels[rows], transforms, random), learnt[rows]
                if recipe.mixup:
                    faces, goals = mix(faces, goals, share=shares.beta(recipe.mixup, recipe.mixup))
                with computing(where, precision):
                    outputs = network(as_input(faces)).float()
                loss = -(goals * log_softmax(outputs, dim=1)).sum(dim=1).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if not isinstance(schedule, ReduceLROnPlateau):
                    schedule.step()
                averaged.update_parameters(network)
                total_loss += loss.detach()
                correct += (outputs.argmax(dim=1) == targets[rows].argmax(dim=1)).float().mean()
                bar.update(recipe.batch)

            train_loss, train_accuracy = total_loss.item() / epoch_steps, correct.item() / epoch_steps
            if not math.isfinite(train_loss):
                raise InputError(f"the loss of {name} is {train_loss} in epoch {epoch}; lower train.optimizer.lr")
            valid_loss, valid_accuracy = validate(averaged.module, valid, precision)
            rate = schedule.get_last_lr()[0]
            if isinstance(schedule, ReduceLROnPlateau):
                schedule.step(valid_loss)
            curve.append(
                {
                    "epoch": epoch,
                    "learning_rate": rate,
                    "train_loss": train_loss,
                    "valid_loss": valid_loss,
                }
                | {"train_accuracy": train_accuracy, "valid_accuracy": valid_accuracy}
            )
            bar.set_postfix(validation=f"{valid_accuracy:.1%}")
            if bar.disable and time.monotonic() > told + TELL_EVERY_SECONDS:
                told = time.monotonic()
                print(f"{name}: epoch {epoch}, validation accuracy {valid_accuracy:.1%}", flush=True)
            if valid_accuracy > best_accuracy:
                best_epoch, best_accuracy, best_weights = epoch, valid_accuracy, deepcopy(averaged.module.state_dict())
            elif recipe.patience and epoch - best_epoch >= recipe.patience:
                break
    network.load_state_dict(best_weights)
    print(
        f"{name}: {len(train)} faces, {steps} steps; best epoch {best_epoch}, validation accuracy {best_accuracy:.1%}"
    )
    return curve


def steps_for(epoch_faces: int, recipe: recipes.Train) -> int:
    """Batches in `recipe.epochs` epochs of `epoch_faces` faces, at least one an epoch."""
    return max(recipe.epochs, round(recipe.epochs * epoch_faces / recipe.batch))


def validate(network: nn.Module, valid: Examples, precision: str) -> tuple[float, float]:
    """Cross-entropy and accuracy on faces that are not learnt from."""
    outputs = logits(network, valid.pixels, views=["plain"], batch=512, precision=precision)[:, 0]
    loss = -(valid.targets * log_softmax(torch.from_numpy(outputs), dim=1).numpy()).sum(axis=1).mean()
    return float(loss), float((outputs.argmax(axis=1) == valid.targets.argmax(axis=1)).mean())


def shuffled_batches(n: int, batch: int, seed: int) -> Iterator[Int[np.ndarray, " batch"]]:
    """Endless batches of rows: every face once before any comes again, in an order that follows from `seed`."""
    random = np.random.default_rng(seed)
    waiting = np.zeros(0, dtype=np.int64)
    while True:
        while len(waiting) < batch:
            waiting = np.concatenate([waiting, random.permutation(n)])
        yield waiting[:batch]
        waiting = waiting[batch:]


def make_schedule(optimizer: Optimizer, chosen: recipes.Schedule, steps: int) -> LambdaLR | ReduceLROnPlateau:
    """The schedule of `chosen`: `plateau` steps after an epoch, by its validation loss, the others after a batch."""
    if isinstance(chosen, recipes.Plateau):
        return ReduceLROnPlateau(optimizer, factor=chosen.factor, patience=chosen.patience)
    return LambdaLR(optimizer, lambda step: learning_rate_factor(chosen, step / steps))


def learning_rate_factor(schedule: recipes.Smooth | recipes.Steps | recipes.Restarts, done: float) -> float:
    """The share of the learning rate to use when `done` (0..1) of the training is over.

    one_cycle rises along a cosine from 1/25 and falls to 1/10,000 (Smith & Topin 2018, arXiv:1708.07120, as in
    PyTorch); the others rise linearly from 0, and then: cosine falls to 0, restarts falls to 0 `cycles` times, each
    time from the full rate (Loshchilov & Hutter 2017, arXiv:1608.03983); step is multiplied by `factor` after every
    `every` of the whole training; constant stays.
    """
    if done < schedule.warmup:
        risen = done / schedule.warmup
        return 1 / 25 + 24 / 25 * (1 - math.cos(math.pi * risen)) / 2 if schedule.kind == "one_cycle" else risen
    fallen = (done - schedule.warmup) / (1 - schedule.warmup)
    match schedule.kind:
        case "one_cycle":
            return 1e-4 + (1 - 1e-4) * (1 + math.cos(math.pi * fallen)) / 2
        case "cosine":
            return (1 + math.cos(math.pi * fallen)) / 2
        case "restarts":
            cycle = 1.0 if fallen >= 1 else fallen * schedule.cycles % 1
            return (1 + math.cos(math.pi * cycle)) / 2
        case "step":
            return float(schedule.factor ** int(done / schedule.every))
        case "constant":
            return 1.0


def make_optimizer(network: nn.Module, chosen: recipes.Optimizer) -> Optimizer:
    """The optimiser of `chosen`, for the weights that are not frozen. Biases and batch norm are not decayed.

    Weight decay is an L2 penalty, but for adamw, where it is decoupled (Loshchilov & Hutter 2019, arXiv:1711.05101).
    """
    learnt = [parameter for parameter in network.parameters() if parameter.requires_grad]
    decayed = [parameter for parameter in learnt if parameter.ndim > 1]
    free = [parameter for parameter in learnt if parameter.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": chosen.weight_decay}, {"params": free, "weight_decay": 0.0}]
    match chosen.kind:
        case "sgd":
            return torch.optim.SGD(groups, lr=chosen.lr, momentum=chosen.momentum, nesterov=chosen.nesterov)
        case "adamw":
            return torch.optim.AdamW(groups, lr=chosen.lr, fused=True)
        case "adam":
            return torch.optim.Adam(groups, lr=chosen.lr, fused=True)
        case "rmsprop":
            return torch.optim.RMSprop(groups, lr=chosen.lr)
        case "adagrad":
            return torch.optim.Adagrad(groups, lr=chosen.lr)
        case "adadelta":
            return torch.optim.Adadelta(groups, lr=chosen.lr)


def balanced_weights(targets: Float[Tensor, "n classes"]) -> Float[Tensor, " classes"]:
    """n / (classes · n_c) for each class c, so that every emotion counts alike; 0 for a class without faces."""
    counts = targets.sum(dim=0)
    return torch.where(counts > 0, counts.sum() / (len(counts) * counts.clamp(min=1e-9)), 0.0)
