"""Read the sets of faces that a network is trained and validated on.

Training faces and pools stay in their file until a batch reads them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from fer.core.files import read_array
from fer.core.labels import encode_labels, parse_votes, target_prior
from fer.core.store import FaceRows, concatenate_rows, open_faces, read_rows
from fer.core.table import read_table
from fer.runtime.errors import InputError
from fer.training.params import Online, Retrain


@dataclass(frozen=True)
class LabelledSet:
    """Faces with their targets (a probability for each emotion) and loss weights."""

    pixels: UInt8[np.ndarray | FaceRows, "n size size"]
    targets: Float[np.ndarray, "n classes"]
    weights: Float[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def size(self) -> int:
        """Return the side of a face in pixels."""
        return self.pixels.shape[1]

    def arrays(self) -> tuple[np.ndarray | FaceRows, ...]:
        """Return everything that a training depends on."""
        return self.pixels, self.targets, self.weights

    def __add__(self, addend: "LabelledSet") -> "LabelledSet":
        return LabelledSet(
            concatenate_rows(self.pixels, addend.pixels),
            np.concatenate([self.targets, addend.targets]),
            np.concatenate([self.weights, addend.weights]),
        )


@dataclass(frozen=True)
class UnlabelledPool:
    """Unlabelled faces of the pool, and the rules by which every step labels some of them."""

    pixels: UInt8[np.ndarray | FaceRows, "n size size"]
    online_params: Online
    label_kind: str  # soft | hard
    n_classes: int
    target_prior: Float[np.ndarray, " classes"] | None  # class frequencies to align to; None: no alignment

    def fingerprint_inputs(self) -> tuple[object, ...]:
        """Return everything that a training depends on."""
        return self.pixels, self.online_params, self.label_kind, self.target_prior


def read_labelled_sets(
    faces: Path, table: Path, augmented: Path | None, emotions: Sequence[str], targets: str
) -> tuple[LabelledSet, LabelledSet]:
    """Return the training faces with their augmented copies, if any, and the validation faces; every weight is 1.

    With `targets` "votes", the target of a training face with votes is their shares; all other targets are labels.
    """
    pixels, metadata = open_faces(faces), read_table(table)
    labels = encode_labels(metadata["emotion"], emotions)

    def make_set(pixels: UInt8[np.ndarray | FaceRows, "m size size"], rows: np.ndarray, use_votes: bool) -> LabelledSet:
        set_targets = np.eye(len(emotions), dtype=np.float32)[labels[rows]]
        if use_votes:
            shares = parse_votes(metadata["votes"].iloc[rows], emotions)
            set_targets = np.where(shares.any(axis=1, keepdims=True), shares, set_targets)
        return LabelledSet(pixels, set_targets, np.ones(len(rows), dtype=np.float32))

    train_rows, valid_rows = (np.flatnonzero(metadata["fold"] == fold) for fold in ("train", "valid"))
    train_set = make_set(FaceRows((pixels, train_rows)), train_rows, targets == "votes")
    if augmented:
        copies, parents = (read_array(augmented / f"{name}.npy") for name in ("faces", "parents"))
        train_set += make_set(copies, parents, targets == "votes")
    return train_set, make_set(read_rows(pixels, valid_rows), valid_rows, False)


def read_pseudo_labelled_set(faces: Path, table: Path, pseudo_labels: Path, retrain: Retrain) -> LabelledSet:
    """Return the accepted faces with a weight above 0, with the teacher's probabilities or, if "hard", its best class.

    Raises:
        InputError: An accepted face is not in the fold "unlabelled".
    """
    reviewed = read_array(pseudo_labels / "reviewed.npy")  # a human answer has the weight of a label
    weights = read_array(pseudo_labels / "weights.npy") * np.where(reviewed, 1, retrain.weight).astype(np.float32)
    rows = np.flatnonzero(read_array(pseudo_labels / "accepted.npy") & (weights > 0))
    fold = read_table(table)["fold"].to_numpy()
    if len(labelled_rows := rows[fold[rows] != "unlabelled"]):
        raise InputError(
            f"{pseudo_labels}: row {labelled_rows[0]} is accepted, but its fold is {fold[labelled_rows[0]]}, not "
            "unlabelled; label again with `dvc repro`"
        )
    targets, weights = read_array(pseudo_labels / "probs.npy")[rows], weights[rows]
    if retrain.labels == "hard":
        targets = np.eye(targets.shape[1], dtype=np.float32)[targets.argmax(axis=1)]
    return LabelledSet(FaceRows((open_faces(faces), rows)), targets, weights)


def read_unlabelled_pool(
    faces: Path, table: Path, pseudo_labels: Path, retrain: Retrain, valid: LabelledSet
) -> UnlabelledPool | None:
    """Return the pool without reviewed faces; None if `retrain.online` is off or no face remains."""
    rows = np.flatnonzero((read_table(table)["fold"] == "unlabelled") & ~read_array(pseudo_labels / "reviewed.npy"))
    if retrain.online.policy == "none" or not len(rows):
        return None
    prior = target_prior(retrain.online.alignment, valid.targets.mean(axis=0))
    pixels = FaceRows((open_faces(faces), rows))
    return UnlabelledPool(pixels, retrain.online, retrain.labels, valid.targets.shape[1], prior)
