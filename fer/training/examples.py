"""The sets of faces a network learns from and is chosen on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, UInt8

from fer.core.files import read_array
from fer.core.labels import encode_labels, parse_votes, read_table, target_prior
from fer.core.store import open_faces
from fer.runtime.errors import InputError
from fer.training.params import Online, Retrain


@dataclass(frozen=True)
class LabelledSet:
    """Faces, what each is (a probability for each emotion), and its weight in the loss."""

    pixels: UInt8[np.ndarray, "n size size"]
    targets: Float[np.ndarray, "n classes"]
    weights: Float[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def size(self) -> int:
        """Side of a face in pixels."""
        return self.pixels.shape[1]

    def arrays(self) -> tuple[np.ndarray, ...]:
        return self.pixels, self.targets, self.weights

    def __add__(self, other: "LabelledSet") -> "LabelledSet":
        return LabelledSet(
            np.concatenate([self.pixels, other.pixels]),
            np.concatenate([self.targets, other.targets]),
            np.concatenate([self.weights, other.weights]),
        )


@dataclass(frozen=True)
class UnlabelledPool:
    """The faces of the pool, and how they are to be labelled in every step."""

    pixels: UInt8[np.ndarray, "n size size"]
    online_params: Online
    label_kind: str  # soft | hard
    n_classes: int
    target_prior: (
        Float[np.ndarray, " classes"] | None
    )  # how frequent the emotions are to be made; None: as they come out

    def fingerprint_inputs(self) -> tuple[object, ...]:
        return self.pixels, self.online_params, self.label_kind, self.target_prior


def read_labelled_sets(
    faces: Path, table: Path, augmented: Path | None, emotions: Sequence[str], targets: str
) -> tuple[LabelledSet, LabelledSet]:
    """The training faces with their augmented copies, where there are any, and the validation faces; every weight is 1.

    With `targets` "votes" a training face that has votes is learnt as their shares; validation faces are as labelled.
    """
    pixels, rows_of = open_faces(faces), read_table(table)
    label = encode_labels(rows_of["emotion"], emotions)

    def examples(shown: UInt8[np.ndarray, "m size size"], rows: np.ndarray, voted: bool) -> LabelledSet:
        learnt = np.eye(len(emotions), dtype=np.float32)[label[rows]]
        if voted:
            shares = parse_votes(rows_of["votes"].iloc[rows], emotions)
            learnt = np.where(shares.any(axis=1, keepdims=True), shares, learnt)
        return LabelledSet(shown, learnt, np.ones(len(rows), dtype=np.float32))

    train, valid = (np.flatnonzero(rows_of["fold"] == fold) for fold in ("train", "valid"))
    learnt = examples(pixels[train], train, targets == "votes")
    if augmented:
        copies, parents = (read_array(augmented / f"{name}.npy") for name in ("faces", "parents"))
        learnt += examples(copies, parents, targets == "votes")
    return learnt, examples(pixels[valid], valid, False)


def read_pseudo_labelled_set(faces: Path, table: Path, pseudo_labels: Path, retrain: Retrain) -> LabelledSet:
    """The accepted faces that have a weight, with the teachers' probabilities (soft) or their best guess (hard).

    Raises:
        InputError: one of them is a face that is measured on, or has a label.
    """
    reviewed = read_array(pseudo_labels / "reviewed.npy")  # what people say counts as a label does
    weights = read_array(pseudo_labels / "weights.npy") * np.where(reviewed, 1, retrain.weight).astype(np.float32)
    rows = np.flatnonzero(read_array(pseudo_labels / "accepted.npy") & (weights > 0))
    fold = read_table(table)["fold"].to_numpy()
    if len(others := rows[fold[rows] != "unlabelled"]):
        raise InputError(
            f"{pseudo_labels}: row {others[0]}, a face of the fold {fold[others[0]]}, is accepted, but only unlabelled "
            "ones may be; label again with `dvc repro`"
        )
    targets, weights = read_array(pseudo_labels / "probs.npy")[rows], weights[rows]
    if retrain.labels == "hard":
        targets = np.eye(targets.shape[1], dtype=np.float32)[targets.argmax(axis=1)]
    return LabelledSet(open_faces(faces)[rows], targets, weights)


def read_unlabelled_pool(
    faces: Path, table: Path, pseudo_labels: Path, retrain: Retrain, valid: LabelledSet
) -> UnlabelledPool | None:
    """The pool, without what people reviewed, to be labelled in every step; None where that isn't asked for, or no face
    is left."""
    rows = np.flatnonzero((read_table(table)["fold"] == "unlabelled") & ~read_array(pseudo_labels / "reviewed.npy"))
    if retrain.online.policy == "none" or not len(rows):
        return None
    wanted = target_prior(retrain.online.alignment, valid.targets.mean(axis=0))
    return UnlabelledPool(open_faces(faces)[rows], retrain.online, retrain.labels, valid.targets.shape[1], wanted)


def shuffled_batches(n: int, batch: int, seed: int) -> Iterator[Int[np.ndarray, " batch"]]:
    """Endless batches of rows: every face once before any comes again, in an order that follows from `seed`."""
    random = np.random.default_rng(seed)
    waiting = np.zeros(0, dtype=np.int64)
    while True:
        while len(waiting) < batch:
            waiting = np.concatenate([waiting, random.permutation(n)])
        yield waiting[:batch]
        waiting = waiting[batch:]
