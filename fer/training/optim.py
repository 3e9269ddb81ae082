"""Optimisers, and the learning rate's way through a training."""

import math

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from fer.training.params import (
    OptimizerParams,
    PlateauSchedule,
    RestartSchedule,
    ScheduleParams,
    SmoothSchedule,
    StepSchedule,
)


def make_schedule(optimizer: Optimizer, settings: ScheduleParams, steps: int) -> LambdaLR | ReduceLROnPlateau:
    """The schedule of `settings`: `plateau` steps after an epoch, by its validation loss, the others after a batch."""
    if isinstance(settings, PlateauSchedule):
        return ReduceLROnPlateau(optimizer, factor=settings.factor, patience=settings.patience)
    return LambdaLR(optimizer, lambda step: learning_rate_factor(settings, step / steps))


def learning_rate_factor(schedule: SmoothSchedule | StepSchedule | RestartSchedule, progress: float) -> float:
    """The share of the learning rate to use when `progress` (0..1) of the training is over.

    one_cycle rises along a cosine from 1/25 and falls to 1/10,000 (Smith & Topin 2018, arXiv:1708.07120); the others
    rise linearly from 0, and then: cosine falls to 0, restarts falls to 0 `cycles` times, each time from the full rate
    (Loshchilov & Hutter 2017, arXiv:1608.03983); step is multiplied by `factor` after every `every` of the whole
    training; constant stays.
    """
    if progress < schedule.warmup:
        risen = progress / schedule.warmup
        return 1 / 25 + 24 / 25 * (1 - math.cos(math.pi * risen)) / 2 if schedule.kind == "one_cycle" else risen
    fallen = (progress - schedule.warmup) / (1 - schedule.warmup)
    match schedule.kind:
        case "one_cycle":
            return 1e-4 + (1 - 1e-4) * (1 + math.cos(math.pi * fallen)) / 2
        case "cosine":
            return (1 + math.cos(math.pi * fallen)) / 2
        case "restarts":
            cycle = 1.0 if fallen >= 1 else fallen * schedule.cycles % 1
            return (1 + math.cos(math.pi * cycle)) / 2
        case "step":
            return float(schedule.factor ** int(progress / schedule.every))
        case "constant":
            return 1.0


def make_optimizer(network: nn.Module, settings: OptimizerParams) -> Optimizer:
    """The optimiser of `settings`, for the weights that are not frozen. Biases and batch norm are not decayed.

    Weight decay is an L2 penalty, but for adamw, where it is decoupled (Loshchilov & Hutter 2019, arXiv:1711.05101).
    """
    learnt = [parameter for parameter in network.parameters() if parameter.requires_grad]
    decayed = [parameter for parameter in learnt if parameter.ndim > 1]
    free = [parameter for parameter in learnt if parameter.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": free, "weight_decay": 0.0}]
    match settings.kind:
        case "sgd":
            return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum, nesterov=settings.nesterov)
        case "adamw":
            return torch.optim.AdamW(groups, lr=settings.lr, fused=True)
        case "adam":
            return torch.optim.Adam(groups, lr=settings.lr, fused=True)
        case "rmsprop":
            return torch.optim.RMSprop(groups, lr=settings.lr)
        case "adagrad":
            return torch.optim.Adagrad(groups, lr=settings.lr)
        case "adadelta":
            return torch.optim.Adadelta(groups, lr=settings.lr)
