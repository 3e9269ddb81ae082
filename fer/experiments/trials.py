"""Faces and trials of `fer benchmark ssl`: a label budget and a seed decide which training faces keep their label."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Int, Shaped, UInt8

from fer.core.labels import encode_labels
from fer.core.store import open_faces
from fer.core.table import read_table, read_truth
from fer.data.curation.splits import beyond_budget
from fer.experiments.arms import CONTROLS, FIXED_95, ONLINE_PREFIX
from fer.experiments.gains import MIN_SEEDS, TEACHER
from fer.experiments.gains_table import format_budget
from fer.nn.inference import view_names
from fer.params import Params
from fer.runtime.errors import InputError
from fer.training.params import Online, Recipe

MIN_PRIOR_FACES = 10  # validation faces for each emotion, on average, to correct predictions to validation's prior


@dataclass(frozen=True)
class BenchmarkData:
    """All faces with their labels or, in the pool, their truth.

    A budget may separate near duplicates of the training fold: one labelled, one in the pool.
    """

    pixels: UInt8[np.ndarray, "n size size"]
    labels: Int[np.ndarray, " n"]  # -1: unknown; len(emotions) or more: not one of the emotions
    rows: dict[str, Int[np.ndarray, " _"]]  # row numbers of the folds train, unlabelled, valid and test
    sha256: str


@dataclass(frozen=True)
class Trial:
    """One label budget and one seed, with the recipe of its networks."""

    data: BenchmarkData
    budget: int | None  # labels kept of each emotion; None: all
    draw: Literal["balanced", "natural"]  # natural: as many labels in all, at the frequencies of the training fold
    seed: int
    replicas: int  # teachers
    network: str
    recipe: Recipe
    epoch_faces: int
    params: Params

    @property
    def teachers(self) -> list[str]:
        """Return the names of the teachers' files."""
        return [TEACHER, *(f"{TEACHER}_{replica}" for replica in range(1, self.replicas))]

    def fingerprint_inputs(self, method: str) -> dict[str, Any]:
        """Return everything that the result of a teacher or of `method` depends on, except the code."""
        params = self.params
        method_params: dict[str, Any] = {}
        if method not in self.teachers:
            method_params |= {"start": params.retrain.start, "logit_adjustment": params.retrain.logit_adjustment}
            if method not in CONTROLS and not method.startswith(ONLINE_PREFIX):
                method_params["teachers"] = self.replicas
        if method not in (*self.teachers, *CONTROLS, FIXED_95):
            method_params |= {"labels": params.retrain.labels, "weight": params.retrain.weight}
            method_params |= (
                self.online_params(method).model_dump()
                if method.startswith(ONLINE_PREFIX)
                else self.policy_params(method)
            )
        return {
            "arm": method,
            "budget": self.budget,
            "draw": self.draw if self.budget else "all",
            "seed": self.seed,
            "network": self.network,
            "epoch_faces": self.epoch_faces,
            "recipe": self.recipe.model_dump(),
            "transforms": params.transform_sets[params.transforms].model_dump(),
            "emotions": params.emotions,
            "precision": params.precision,
            "views": view_names(params.predict.views),
            "faces_sha256": self.data.sha256,
            "rules": method_params,
        }

    @property
    def folder_name(self) -> str:
        """Return the folder of the trial's results."""
        kind = "_natural" if self.draw == "natural" and self.budget else ""
        return f"{self.budget or 'all'}{kind}/{self.seed}"

    def run_name(self, method: str) -> str:
        return f"{format_budget(self.budget)}, seed {self.seed}, {method}"

    def online_params(self, method: str) -> Online:
        return self.params.retrain.online.model_copy(update={"policy": method.removeprefix(ONLINE_PREFIX)})

    def policy_params(self, method: str) -> dict[str, Any]:
        params = self.params.pseudo_label
        policy = getattr(params.policies, method).model_dump()
        return {"alignment": params.alignment, "agreement": params.agreement, "weights": params.weights} | policy

    @cached_property
    def labelled_rows(self) -> Int[np.ndarray, " a"]:
        """Rows of the training faces that keep their label; with one seed, a smaller budget keeps a subset of them."""
        return self.data.rows["train"][~self._is_hidden]

    @cached_property
    def predicted_rows(self) -> Int[np.ndarray, " n"]:
        """Rows of the faces that the teacher predicts: validation, test and pool."""
        rows = self.data.rows
        return np.concatenate([rows["valid"], rows["test"], rows["unlabelled"], rows["train"][self._is_hidden]])

    @cached_property
    def fold(self) -> Shaped[np.ndarray, " n"]:
        """Folds of `predicted_rows`."""
        counts = len(self.data.rows["valid"]), len(self.data.rows["test"])
        names = np.array(["valid", "test", "unlabelled"], dtype=object)
        return np.repeat(names, [*counts, len(self.predicted_rows) - sum(counts)])

    @property
    def has_truth(self) -> bool:
        """Whether the emotion of any face of the pool is known."""
        truth = self.data.labels[self.predicted_rows[self.fold == "unlabelled"]]
        return bool(((truth >= 0) & (truth < len(self.params.emotions))).any())

    @cached_property
    def _is_hidden(self) -> Bool[np.ndarray, " a"]:
        labels = self.data.labels[self.data.rows["train"]]
        if self.budget is None:
            return np.zeros(len(labels), dtype=bool)
        mask, new_rng = np.ones(len(labels), dtype=bool), partial(np.random.default_rng, self.seed)
        is_hidden = beyond_budget(mask, labels, self.budget, new_rng())
        if self.draw == "natural":
            return beyond_budget(mask, np.zeros_like(labels), int((~is_hidden).sum()), new_rng())
        return is_hidden


def read_benchmark_data(unified: Path, params: Params) -> BenchmarkData:
    """Return the faces in the folder `unified`, with its folds.

    Raises:
        InputError: A fold has no faces.
    """
    table, truth = read_table(unified / "table.csv"), read_truth(unified / "truth.csv")
    fold = table["fold"].to_numpy(dtype=object)
    names = table["emotion"].mask(fold == "unlabelled", truth)
    other_names = sorted(set(names[fold == "unlabelled"]) - {"", *params.emotions})
    labels = encode_labels(names, [*params.emotions, *other_names])
    rows = {name: np.flatnonzero(fold == name) for name in ("train", "unlabelled", "valid", "test")}
    for name in ("train", "valid", "test"):
        if not len(rows[name]):
            raise InputError(
                f"{unified / 'table.csv'}: the fold {name} has no faces; add labels, then `dvc repro unify`"
            )
    pixels = open_faces(unified / "faces.npy")
    digest = hashlib.sha256(pixels.tobytes())
    for array in (labels, *rows.values()):
        digest.update(array.tobytes())
    return BenchmarkData(pixels, labels, rows, digest.hexdigest())


def describe_limits(data: BenchmarkData, emotions: Sequence[str], replicas: int, n_seeds: int, draw: str) -> list[str]:
    """Return a sentence for each thing that the user should know when reading the table."""
    notes = []
    if draw == "natural":
        notes.append("Labels are drawn at natural frequencies; their number in all is that of balanced budgets.")
    if replicas == 1:
        notes.append("One teacher in each trial: there is no vote, and the variance of training alone is unknown.")
    else:
        notes.append(f"The vote is the mean of {replicas} teachers, and labels the pool.")
    if n_seeds < MIN_SEEDS:
        notes.append(f"Intervals and verdicts need at least {MIN_SEEDS} seeds.")
    if not can_correct(data, emotions):
        needed = MIN_PRIOR_FACES * len(emotions)
        notes.append(
            f"Validation has {len(data.rows['valid'])} faces, too few for a prior: corrected rows need {needed}."
        )
    for fold in ("valid", "test"):
        present = set(data.labels[data.rows[fold]])
        if absent := [emotion for code, emotion in enumerate(emotions) if code not in present]:
            effect = "not corrected to the prior" if fold == "valid" else "not measured"
            notes.append(f"The fold {fold} has no faces of {', '.join(absent)}, which are {effect}.")
    return notes


def can_correct(data: BenchmarkData, emotions: Sequence[str]) -> bool:
    """Return whether validation has enough faces to correct predictions to its prior."""
    return len(data.rows["valid"]) >= MIN_PRIOR_FACES * len(emotions)
