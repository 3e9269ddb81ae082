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
from fer.nn.inference import computing
from fer.nn.weights import as_input
from fer.training.augmentation import transform
from fer.training.examples import Unlabelled, shuffled_batches
from fer.training.params import Online, Train, Transforms


class Judge(nn.Module):
    """How much to learn from each face, by what has been said of faces so far."""

    said: Tensor
    judged: Tensor
    confidence: Tensor
    variance: Tensor

    def __init__(
        self,
        rules: Online,
        wanted: Float[np.ndarray, " classes"] | None,
        classes: int,
        decay: float,
        where: torch.device,
    ) -> None:
        super().__init__()
        self.rules, self.decay = rules, decay
        self.wanted = None if wanted is None else torch.from_numpy(wanted).float().to(where)
        alike = torch.full((classes,), 1 / classes, device=where)
        self.register_buffer("said", alike)  # moving averages: probabilities as they come,
        self.register_buffer("judged", alike.clone())  # as they are judged,
        self.register_buffer("confidence", alike[0].clone())  # and the highest of each face, in mean
        self.register_buffer("variance", torch.tensor(1.0, device=where))  # and variance

    def forward(self, probs: Float[Tensor, "n classes"]) -> tuple[Float[Tensor, "n classes"], Float[Tensor, " n"]]:
        """The probabilities, aligned to the wanted frequencies, and the weights of the faces in 0..1."""
        self.said = self._moved(self.said, probs.mean(dim=0))
        if self.wanted is not None:
            probs = probs.clamp(min=1e-12) * (self.wanted / self.said.clamp(min=1e-6))
            probs = probs / probs.sum(dim=1, keepdim=True)
        sure, emotion = probs.max(dim=1)
        self.judged = self._moved(self.judged, probs.mean(dim=0))
        self.confidence = self._moved(self.confidence, sure.mean())
        self.variance = self._moved(self.variance, sure.var(correction=0))
        match self.rules.policy:
            case "freematch":
                threshold = self.confidence * self.judged / self.judged.max()
                return probs, (sure >= threshold[emotion]).float()
            case "softmatch":
                short = (self.confidence - sure).clamp(min=0)
                return probs, torch.exp(-(short**2) / (2 * self.variance.clamp(min=1e-12)))
        return probs, (sure >= self.rules.threshold).float()

    def _moved(self, average: Tensor, now: Tensor) -> Tensor:
        return self.decay * average + (1 - self.decay) * now


class Labeller:
    """Batches of unlabelled faces, labelled by the averaged weights as they are at the time."""

    def __init__(
        self,
        faces: Unlabelled,
        recipe: Train,
        transforms: Transforms,
        seed: int,
        precision: str,
        where: torch.device,
    ) -> None:
        self.batch = min(max(1, round(faces.rules.share * recipe.batch)), recipe.batch - 1)
        self.pixels, self.labels = torch.from_numpy(faces.pixels).to(where), faces.labels
        self.judge = Judge(faces.rules, faces.wanted, faces.classes, recipe.ema, where)
        self.transforms, self.precision, self.where = transforms, precision, where
        self._batches = shuffled_batches(len(faces.pixels), self.batch, seed)
        self._taken = 0

    def label(
        self, step: int, teacher: nn.Module, random: torch.Generator
    ) -> tuple[Float[Tensor, "n size size"], Float[Tensor, "n classes"]]:
        """Faces of the batch `step`, changed at random, and for each what it is to be taken for, times its weight.

        Steps may be left out, as they are where a training goes on, but not taken again.
        """
        rows = next(islice(self._batches, step - self._taken, None))[distributed.rank() :: distributed.world_size()]
        self._taken = step + 1
        pixels = self.pixels[torch.from_numpy(rows).to(self.where, non_blocking=True)]
        mirrored = torch.rand(len(pixels), 1, 1, device=self.where, generator=random) < self.transforms.flip
        weak = torch.where(mirrored, pixels.flip(-1), pixels).float() / 255
        teacher.eval()
        with torch.no_grad(), computing(self.where, self.precision):
            said = teacher(as_input(weak)).float().softmax(dim=1)
        probs, weights = self.judge(said)
        if self.labels == "hard":
            probs = one_hot(probs.argmax(dim=1), probs.shape[1]).float()
        return transform(pixels, self.transforms, random), probs * weights[:, None]
