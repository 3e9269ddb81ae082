"""Online pseudo-labelling: in each step the EMA model labels faces, and the network learns the labels on other views.

The EMA model is the teacher (Tarvainen & Valpola 2017, arXiv:1703.01780). It gets a face plain or mirrored; the network
gets the face with random transforms (FixMatch, Sohn et al. 2020, arXiv:2001.07685). Thresholds and weights are those of
`fer.pseudo_labels.selection`, with moving averages over batches in place of statistics of the pool. Unlike the papers,
`retrain.labels: soft` keeps the aligned probabilities as targets; `hard` takes the most probable class, as they do.
"""

from itertools import islice

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import one_hot

from fer.nn import distributed
from fer.nn.inference import autocast
from fer.nn.weights import normalize_faces
from fer.training.augmentation import transform_faces
from fer.training.examples import UnlabelledPool, shuffled_batches
from fer.training.params import Online, Train, Transforms


class ThresholdTracker(nn.Module):
    """The weight of each face in the loss, from its probabilities and from moving averages over earlier batches."""

    p_model: Tensor
    p_model_aligned: Tensor
    confidence: Tensor
    variance: Tensor

    def __init__(
        self,
        online_params: Online,
        target_prior: Float[np.ndarray, " classes"] | None,
        n_classes: int,
        decay: float,
        device: torch.device,
    ) -> None:
        super().__init__()
        self.online_params, self.decay = online_params, decay
        self.target_prior = None if target_prior is None else torch.from_numpy(target_prior).float().to(device)
        uniform = torch.full((n_classes,), 1 / n_classes, device=device)
        # moving averages of class probabilities, before and after alignment, and of the confidence, with its variance
        self.register_buffer("p_model", uniform)
        self.register_buffer("p_model_aligned", uniform.clone())
        self.register_buffer("confidence", uniform[0].clone())
        self.register_buffer("variance", torch.tensor(1.0, device=device))

    def forward(self, probs: Float[Tensor, "n classes"]) -> tuple[Float[Tensor, "n classes"], Float[Tensor, " n"]]:
        """Update the averages; return the probabilities, aligned to the target prior, and the weights in 0..1."""
        self.p_model = self._move_average(self.p_model, probs.mean(dim=0))
        if self.target_prior is not None:
            probs = probs.clamp(min=1e-12) * (self.target_prior / self.p_model.clamp(min=1e-6))
            probs = probs / probs.sum(dim=1, keepdim=True)
        confidence, emotion = probs.max(dim=1)
        self.p_model_aligned = self._move_average(self.p_model_aligned, probs.mean(dim=0))
        self.confidence = self._move_average(self.confidence, confidence.mean())
        self.variance = self._move_average(self.variance, confidence.var(correction=0))
        match self.online_params.policy:
            case "freematch":
                threshold = self.confidence * self.p_model_aligned / self.p_model_aligned.max()
                return probs, (confidence >= threshold[emotion]).float()
            case "softmatch":
                shortfall = (self.confidence - confidence).clamp(min=0)
                return probs, torch.exp(-(shortfall**2) / (2 * self.variance.clamp(min=1e-12)))
        return probs, (confidence >= self.online_params.threshold).float()

    def _move_average(self, average: Tensor, value: Tensor) -> Tensor:
        return self.decay * average + (1 - self.decay) * value


class OnlinePseudoLabeller:
    """Batches of unlabelled faces with the pseudo-labels of the current teacher."""

    def __init__(
        self,
        pool: UnlabelledPool,
        recipe: Train,
        transforms: Transforms,
        seed: int,
        precision: str,
        device: torch.device,
    ) -> None:
        self.batch_size = min(max(1, round(pool.online_params.share * recipe.batch)), recipe.batch - 1)
        self.pixels, self.label_kind = torch.from_numpy(np.asarray(pool.pixels)).to(device), pool.label_kind
        self.tracker = ThresholdTracker(pool.online_params, pool.target_prior, pool.n_classes, recipe.ema, device)
        self.transforms, self.precision, self.device = transforms, precision, device
        self._batches = shuffled_batches(len(pool.pixels), self.batch_size, seed)
        self._next_step = 0

    def label(
        self, step: int, teacher: nn.Module, generator: torch.Generator
    ) -> tuple[Float[Tensor, "n size size"], Float[Tensor, "n classes"]]:
        """Return the transformed faces of batch `step`, and their pseudo-labels times their weights.

        Steps must increase; a resumed training skips some.
        """
        rows = next(islice(self._batches, step - self._next_step, None))[distributed.rank() :: distributed.world_size()]
        self._next_step = step + 1
        pixels = self.pixels[torch.from_numpy(rows).to(self.device, non_blocking=True)]
        is_mirrored = torch.rand(len(pixels), 1, 1, device=self.device, generator=generator) < self.transforms.flip
        weak_views = torch.where(is_mirrored, pixels.flip(-1), pixels).float() / 255
        teacher.eval()
        with torch.no_grad(), autocast(self.device, self.precision):
            teacher_probs = teacher(normalize_faces(weak_views)).float().softmax(dim=1)
        probs, weights = self.tracker(teacher_probs)
        if self.label_kind == "hard":
            probs = one_hot(probs.argmax(dim=1), probs.shape[1]).float()
        return transform_faces(pixels, self.transforms, generator), probs * weights[:, None]
