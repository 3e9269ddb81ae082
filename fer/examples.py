"""The sets of faces a network learns from and is chosen on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from fer import params
from fer.faces import open_faces
from fer.labels import codes, read_table, vote_shares


@dataclass(frozen=True)
class Examples:
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

    def __add__(self, other: "Examples") -> "Examples":
        return Examples(
            np.concatenate([self.pixels, other.pixels]),
            np.concatenate([self.targets, other.targets]),
            np.concatenate([self.weights, other.weights]),
        )


def read_labelled(
    faces: Path, table: Path, augmented: Path | None, emotions: Sequence[str], targets: str
) -> tuple[Examples, Examples]:
    """The training faces with their augmented copies, where there are any, and the validation faces; every weight is 1.

    With `targets` "votes" a training face that has votes is learnt as their shares; validation faces are as labelled.
    """
    pixels, rows_of = open_faces(faces), read_table(table)
    label = codes(rows_of["emotion"], emotions)

    def examples(shown: UInt8[np.ndarray, "m size size"], rows: np.ndarray, voted: bool) -> Examples:
        learnt = np.eye(len(emotions), dtype=np.float32)[label[rows]]
        if voted:
            shares = vote_shares(rows_of["votes"].iloc[rows], emotions)
            learnt = np.where(shares.any(axis=1, keepdims=True), shares, learnt)
        return Examples(shown, learnt, np.ones(len(rows), dtype=np.float32))

    train, valid = (np.flatnonzero(rows_of["fold"] == fold) for fold in ("train", "valid"))
    learnt = examples(pixels[train], train, targets == "votes")
    if augmented:
        learnt += examples(np.load(augmented / "faces.npy"), np.load(augmented / "parents.npy"), targets == "votes")
    return learnt, examples(pixels[valid], valid, False)


def read_pseudo_labelled(faces: Path, pseudo_labels: Path, chosen: params.Retrain) -> Examples:
    """The accepted faces, labelled with the teachers' probabilities (soft) or their best guess (hard)."""
    rows = np.flatnonzero(np.load(pseudo_labels / "accepted.npy"))
    targets = np.load(pseudo_labels / "probs.npy")[rows]
    if chosen.labels == "hard":
        targets = np.eye(targets.shape[1], dtype=np.float32)[targets.argmax(axis=1)]
    weights = np.load(pseudo_labels / "weights.npy")[rows] * np.float32(chosen.weight)
    return Examples(open_faces(faces)[rows], targets, weights)
