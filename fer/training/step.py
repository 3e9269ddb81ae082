"""The step of a training: from the rows of a batch to new weights.

All that a step reads and writes lies on the device at a fixed address, and a step has no values from the host. So a GPU
can record it as one CUDA graph, which replaces some hundred launches by one. A CPU runs the same function eagerly.
"""

from collections.abc import Callable
from copy import deepcopy

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from fer.nn import distributed
from fer.nn.devices import autocast, tune_convolutions
from fer.nn.recording import RecordedStep, default_generator, fuse
from fer.nn.weights import normalize_faces
from fer.training.augmentation import TransformDraws, apply_transforms, draw_transforms, mixup
from fer.training.batches import FaceBatches
from fer.training.checkpoint import Stateful
from fer.training.examples import LabelledSet, UnlabelledPool
from fer.training.online import OnlinePseudoLabeller
from fer.training.optim import make_optimizer, move_learning_rates
from fer.training.params import Train, Transforms

SEED_STRIDE = 10_000_019  # more than the steps of any training
REPLICA_STRIDE = 1_000_003  # no multiple of it comes near another seed, see `replica_seed`


class TrainingStep:
    """A step and all that it changes: the network, its EMA model, the optimiser, and sums for the learning curve.

    `totals` are sums over the steps of an epoch: loss, accuracy, mean weight of unlabelled faces.

    Raises:
        InputError: The processes cannot share a batch evenly.
    """

    def __init__(
        self,
        network: nn.Module,
        train_set: LabelledSet,
        pool: UnlabelledPool | None,
        *,
        recipe: Train,
        transforms: Transforms,
        seed: int,
        precision: str,
        logit_adjustment: float = 0.0,
    ) -> None:
        self.recipe, self.transforms, self.seed, self.precision = recipe, transforms, seed, precision
        self.device = device = next(network.parameters()).device
        tune_convolutions()
        self.network = distributed.prepare_network(network).train()
        self.ema_model = deepcopy(network).requires_grad_(False).eval()
        self.optimizer = make_optimizer(network, recipe.optimizer)
        self.labeller = OnlinePseudoLabeller(pool, recipe, transforms.flip, device) if pool else None
        self.totals = torch.zeros(3, device=device)

        n_unlabelled = self.labeller.batch_size if self.labeller else 0
        self._labelled = FaceBatches(train_set.pixels, recipe.batch - n_unlabelled, seed, device)
        self._unlabelled = FaceBatches(pool.pixels, n_unlabelled, seed, device) if pool else None
        targets, weights = (torch.from_numpy(array).to(device) for array in (train_set.targets, train_set.weights))
        self._labels, self._targets = targets.argmax(dim=1), weigh_targets(targets, weights, recipe)
        self._logit_shift = logit_adjustment * log_frequencies(self._targets)
        self._mixup_weights = torch.ones(2, device=device)  # of a face and of the one that it is blended with
        self._averages, self._values = float_tensors(self.ema_model), float_tensors(network)
        self._generator = torch.Generator(device)  # of the transforms; dropout draws from the default generator
        self._generators = (self._generator, default_generator(device))
        self._fuse_kernels()
        can_record = recipe.optimizer.kind != "adagrad"
        self._run = RecordedStep(self._compute, device, self._generator) if can_record else self._compute

    @property
    def parts(self) -> dict[str, Stateful]:
        """Return what a checkpoint saves, by name."""
        parts: dict[str, Stateful] = {"network": self.network, "ema_model": self.ema_model, "optimizer": self.optimizer}
        return parts | ({"tracker": self.labeller.tracker} if self.labeller else {})

    def start_epoch(self, first_step: int, end_step: int) -> None:
        """Copy to the device what the steps from `first_step` to `end_step` - 1 will read."""
        self._first_step = first_step
        self._labelled.start_epoch(first_step, end_step)
        if self._unlabelled:
            self._unlabelled.start_epoch(first_step, end_step)
        if self.recipe.mixup:
            self._epoch_mixup_weights = self._draw_mixup_weights(range(first_step, end_step)).to(self.device)
        move_learning_rates(self.optimizer, self.device)

    def take(self, step: int) -> None:
        """Take step number `step` of the training; the steps of an epoch come one after the other."""
        index = step - self._first_step
        self._labelled.load(index)
        if self._unlabelled:
            self._unlabelled.load(index)
        if self.recipe.mixup:
            self._mixup_weights.copy_(self._epoch_mixup_weights[index])
        for generator in self._generators:  # randomness follows from seed and step, so that a training can resume
            generator.manual_seed((self.seed * SEED_STRIDE + step) * distributed.world_size() + distributed.rank())
        self._run()
        if step == 0:
            torch._foreach_copy_(self._averages, self._values)

    def _compute(self) -> None:
        """Compute one step on the device."""
        rows = self._labelled.rows
        faces, targets = self._transform(self._labelled.pixels), self._targets[rows]
        if self.recipe.mixup:
            faces, targets = mixup(faces, targets, self._mixup_weights)
        if self.labeller and self._unlabelled:
            views = self.labeller.make_views(self._unlabelled.pixels, self._generator)
            with torch.no_grad(), autocast(self.device, self.precision):
                teacher_logits = self._teacher(normalize_faces(views)).float()
            pseudo_targets = self.labeller.label(teacher_logits.softmax(dim=1))
            faces = torch.cat([faces, self._transform(self._unlabelled.pixels)])
        with autocast(self.device, self.precision):
            logits = self._student(normalize_faces(faces)).float()
        shifted_logits = logits + self._logit_shift
        loss = soft_cross_entropy(shifted_logits[: len(rows)], targets)
        if self.labeller:
            loss = loss + soft_cross_entropy(shifted_logits[len(rows) :], pseudo_targets)
            self.totals[2] += pseudo_targets.sum() / len(pseudo_targets)
        self.totals[0] += loss.detach()
        self.totals[1] += (logits[: len(rows)].argmax(dim=1) == self._labels[rows]).float().mean()
        self.optimizer.zero_grad()
        loss.backward()
        distributed.average_over_processes(self._gradients_and_statistics())
        self.optimizer.step()
        torch._foreach_lerp_(self._averages, self._values, 1 - self.recipe.ema)

    def _transform(self, pixels: UInt8[Tensor, "n size size"]) -> Float[Tensor, "n size size"]:
        return self._apply_transforms(pixels, self._draw_transforms(pixels))

    def _draw_transforms(self, pixels: UInt8[Tensor, "n size size"]) -> TransformDraws:
        return draw_transforms(len(pixels), pixels.shape[1], self.transforms, self._generator)

    def _gradients_and_statistics(self) -> list[Tensor]:
        """Return what the processes average in each step, so that all have the same network, thresholds and totals."""
        gradients = [parameter.grad for parameter in self.network.parameters() if parameter.grad is not None]
        modules = (self.network, self.labeller.tracker) if self.labeller else (self.network,)
        buffers = [buffer for module in modules for buffer in module.buffers() if buffer.is_floating_point()]
        return [*gradients, *buffers, self.totals]

    def _draw_mixup_weights(self, steps: range) -> Float[Tensor, "steps 2"]:
        """Return the weights of each step; a face keeps the larger part, since the accuracy counts its own label."""
        alpha = self.recipe.mixup
        draws = np.array([np.random.default_rng([self.seed, step]).beta(alpha, alpha) for step in steps])
        larger = np.maximum(draws, 1 - draws)
        return torch.from_numpy(np.stack([larger, 1 - larger], axis=1)).float()

    def _fuse_kernels(self) -> None:
        """Compile networks and transforms for the shapes of a batch, where that works."""
        self._apply_transforms: Callable[..., Tensor] = apply_transforms
        self._student: Callable[..., Tensor] = self.network
        self._teacher: Callable[..., Tensor] = self.ema_model
        if distributed.world_size() > 1:  # synchronised batch norm cannot be compiled as a whole
            return
        pixels = [batches.pixels for batches in (self._labelled, self._unlabelled) if batches]
        for part in pixels:
            self._apply_transforms = fuse(apply_transforms, self.device, part, self._draw_transforms(part))
        faces = torch.cat(pixels).float()
        with autocast(self.device, self.precision):
            self._student = fuse(self.network, self.device, normalize_faces(faces))
            if self._unlabelled:
                with torch.no_grad():
                    self._teacher = fuse(self.ema_model, self.device, normalize_faces(pixels[1].float()))


def replica_seed(seed: int, replica: int) -> int:
    """Return the seed of the weights, orders and transforms of a replica; replica 0 has `seed` itself.

    A CPU's generator takes only the low 32 bits of seed · `SEED_STRIDE` + step. There the steps of 20 replicas of each
    of the seeds 0 to 15 share no number either.
    """
    return seed + replica * REPLICA_STRIDE


def soft_cross_entropy(logits: Float[Tensor, "n classes"], targets: Float[Tensor, "n classes"]) -> Float[Tensor, ""]:
    """Return the mean cross-entropy; the sum of a face's `targets` is its weight."""
    return -(targets * log_softmax(logits, dim=1)).sum(dim=1).mean()


def weigh_targets(
    targets: Float[Tensor, "n classes"], weights: Float[Tensor, " n"], recipe: Train
) -> Float[Tensor, "n classes"]:
    """Return smoothed targets times the weights of faces and classes, as `soft_cross_entropy` takes them."""
    if recipe.class_weights == "balanced":
        weights = weights * (targets @ balanced_class_weights(targets))
    smoothed = (1 - recipe.label_smoothing) * targets + recipe.label_smoothing / targets.shape[1]
    return smoothed * weights[:, None]


def log_frequencies(targets: Float[Tensor, "n classes"]) -> Float[Tensor, " classes"]:
    """Return the logarithm of each class's share of all targets, as the loss weighs them.

    Added to the logits in training, it lets the network fit the frequencies without learning them (logit adjustment,
    Menon et al. 2021, arXiv:2007.07314).
    """
    counts = targets.sum(dim=0)
    return (counts / counts.sum()).clamp(min=1e-9).log()


def balanced_class_weights(targets: Float[Tensor, "n classes"]) -> Float[Tensor, " classes"]:
    """Return n / (classes · n_c) for each class c, which balances the classes, and 0 for a class without faces."""
    counts = targets.sum(dim=0)
    return torch.where(counts > 0, counts.sum() / (len(counts) * counts.clamp(min=1e-9)), 0.0)


def float_tensors(network: nn.Module) -> list[Tensor]:
    """Return the weights and statistics of batch norm as they lie in memory.

    Their moving average is the EMA model. torch's `AveragedModel` averages the same, but waits for the GPU each step.
    """
    return [tensor.detach() for tensor in network.state_dict().values() if tensor.is_floating_point()]
