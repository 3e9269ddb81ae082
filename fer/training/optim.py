"""Optimisers and learning rate schedules."""

import math

import torch
from torch import Tensor, nn
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
    """Return the schedule; `plateau` steps once per epoch, by the validation loss, the others once per batch."""
    if isinstance(settings, PlateauSchedule):
        return ReduceLROnPlateau(optimizer, factor=settings.factor, patience=settings.patience)
    return LambdaLR(optimizer, lambda step: learning_rate_factor(settings, step / steps))


def learning_rate_factor(schedule: SmoothSchedule | StepSchedule | RestartSchedule, progress: float) -> float:
    """Return the factor of the learning rate when the fraction `progress` (0..1) of the training is over.

    one_cycle rises along a cosine from 1/25 and falls to 1/10,000 (Smith & Topin 2018, arXiv:1708.07120). The others
    rise linearly from 0. Then cosine falls to 0; restarts falls to 0 `cycles` times, each time from the full rate
    (Loshchilov & Hutter 2017, arXiv:1608.03983); step multiplies by `factor` after each fraction `every` of the
    training; constant stays.
    """
    if progress < schedule.warmup:
        rise = progress / schedule.warmup
        return 1 / 25 + 24 / 25 * (1 - math.cos(math.pi * rise)) / 2 if schedule.kind == "one_cycle" else rise
    decline = (progress - schedule.warmup) / (1 - schedule.warmup)
    match schedule.kind:
        case "one_cycle":
            return 1e-4 + (1 - 1e-4) * (1 + math.cos(math.pi * decline)) / 2
        case "cosine":
            return (1 + math.cos(math.pi * decline)) / 2
        case "restarts":
            cycle = 1.0 if decline >= 1 else decline * schedule.cycles % 1
            return (1 + math.cos(math.pi * cycle)) / 2
        case "step":
            return float(schedule.factor ** int(progress / schedule.every))
        case "constant":
            return 1.0


def make_optimizer(network: nn.Module, settings: OptimizerParams) -> Optimizer:
    """Return the optimiser of all trainable weights, without weight decay for biases and batch norm.

    Weight decay is an L2 penalty, except for adamw, where it is decoupled (Loshchilov & Hutter 2019, arXiv:1711.05101).
    On a GPU the learning rate is a tensor, which a recorded step reads, and the optimiser can be recorded.
    """
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trainable if parameter.ndim > 1]
    vectors = [parameter for parameter in trainable if parameter.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    on_gpu = trainable[0].is_cuda
    lr = torch.tensor(settings.lr, device=trainable[0].device) if on_gpu else settings.lr
    match settings.kind:
        case "sgd":
            return torch.optim.SGD(groups, lr, settings.momentum, nesterov=settings.nesterov, fused=on_gpu)
        case "adamw":
            return torch.optim.AdamW(groups, lr=lr, fused=True, capturable=on_gpu)
        case "adam":
            return torch.optim.Adam(groups, lr=lr, fused=True, capturable=on_gpu)
        case "rmsprop":
            return torch.optim.RMSprop(groups, lr=lr, capturable=on_gpu)
        case "adagrad":  # has no form that can be recorded
            return torch.optim.Adagrad(groups, lr=settings.lr)
        case "adadelta":
            return torch.optim.Adadelta(groups, lr=lr, capturable=on_gpu)


def move_learning_rates(optimizer: Optimizer, device: torch.device) -> None:
    """Move learning rates that are tensors to `device`: `load_state_dict` leaves them where a checkpoint has them."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"] = group["lr"].to(device)
