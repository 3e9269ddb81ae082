"""Labels made anew in every step: what the averaged weights say of a face is learnt from another view of it.

The averaged weights are the teacher (Tarvainen & Valpola 2017, arXiv:1703.01780). They see a face as it is or in the
mirror, the network sees it changed at random (FixMatch, Sohn et al. 2020, arXiv:2001.07685). Thresholds and weights are
those of `fer.pseudo_labels.selection`, with moving averages over batches in place of all faces at once. What is learnt
are probabilities or one emotion, as `retrain.labels` says, and alignment changes them too: the papers learn one.
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
    """How much to learn from each face, by what has been said of faces so far."""

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
        alike = torch.full((n_classes,), 1 / n_classes, device=device)
        self.register_buffer("p_model", alike)  # moving averages: probabilities as they come,
        self.register_buffer("p_model_aligned", alike.clone())  # as they are judged,
        self.register_buffer("confidence", alike[0].clone())  # and the highest of each face, in mean
        self.register_buffer("variance", torch.tensor(1.0, device=device))  # and variance

    def forward(self, probs: Float[Tensor, "n classes"]) -> tuple[Float[Tensor, "n classes"], Float[Tensor, " n"]]:
        """The probabilities, aligned to the wanted frequencies, and the weights of the faces in 0..1."""
        self.p_model = self._moved(self.p_model, probs.mean(dim=0))
        if self.target_prior is not None:
            probs = probs.clamp(min=1e-12) * (self.target_prior / self.p_model.clamp(min=1e-6))
            probs = probs / probs.sum(dim=1, keepdim=True)
        sure, emotion = probs.max(dim=1)
        self.p_model_aligned = self._moved(self.p_model_aligned, probs.mean(dim=0))
        self.confidence = self._moved(self.confidence, sure.mean())
        self.variance = self._moved(self.variance, sure.var(correction=0))
        match self.online_params.policy:
            case "freematch":
                threshold = self.confidence * self.p_model_aligned / self.p_model_aligned.max()
                return probs, (sure >= threshold[emotion]).float()
            case "softmatch":
                short = (self.confidence - sure).clamp(min=0)
                return probs, torch.exp(-(short**2) / (2 * self.variance.clamp(min=1e-12)))
        return probs, (sure >= self.online_params.threshold).float()

    def _moved(self, average: Tensor, now: Tensor) -> Tensor:
        return self.decay * average + (1 - self.decay) * now


class OnlinePseudoLabeller:
    """Batches of unlabelled faces, labelled by the averaged weights as they are at the time."""

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
        self.pixels, self.label_kind = torch.from_numpy(pool.pixels).to(device), pool.label_kind
        self.tracker = ThresholdTracker(pool.online_params, pool.target_prior, pool.n_classes, recipe.ema, device)
        self.transforms, self.precision, self.device = transforms, precision, device
        self._batches = shuffled_batches(len(pool.pixels), self.batch_size, seed)
        self._taken = 0

    def label(
        self, step: int, teacher: nn.Module, generator: torch.Generator
    ) -> tuple[Float[Tensor, "n size size"], Float[Tensor, "n classes"]]:
        """Faces of the batch `step`, changed at random, and for each what it is to be taken for, times its weight.

        Steps may be left out, as they are where a training goes on, but not taken again.
        """
        rows = next(islice(self._batches, step - self._taken, None))[distributed.rank() :: distributed.world_size()]
        self._taken = step + 1
        pixels = self.pixels[torch.from_numpy(rows).to(self.device, non_blocking=True)]
        mirrored = torch.rand(len(pixels), 1, 1, device=self.device, generator=generator) < self.transforms.flip
        weak = torch.where(mirrored, pixels.flip(-1), pixels).float() / 255
        teacher.eval()
        with torch.no_grad(), autocast(self.device, self.precision):
            said = teacher(normalize_faces(weak)).float().softmax(dim=1)
        probs, weights = self.tracker(said)
        if self.label_kind == "hard":
            probs = one_hot(probs.argmax(dim=1), probs.shape[1]).float()
        return transform_faces(pixels, self.transforms, generator), probs * weights[:, None]
