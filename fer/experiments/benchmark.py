"""Do pseudo-labels help? For a number of labels and a seed: a teacher, and students that all train for as many steps.

Students differ in what they are given of the pool alone; `fer.experiments.arms` says in what.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped, UInt8
from torch import nn

from fer.core.labels import codes, read_table, read_truth, wanted_shares
from fer.core.store import open_faces
from fer.data.curation.splits import over_budget
from fer.experiments.arms import CONTROLS, FIXED, ONLINE, Lesson, lesson
from fer.experiments.cache import Result, damaged, stored
from fer.experiments.gains import TEACHER, Outcome, labels_in_words
from fer.nn import weights as nn_weights
from fer.nn.inference import logits, placed, view_names
from fer.params import Params
from fer.predictions.confidence import shares
from fer.predictions.ensembles import agreement, calibrated_vote
from fer.pseudo_labels.policy import gathered
from fer.runtime.errors import InputError
from fer.training.examples import Examples, Unlabelled
from fer.training.loop import learn, untrained
from fer.training.params import Online, Recipe

STUDENT_SEED = 1000  # more than the teacher's; else a student from scratch without the pool would be the teacher


@dataclass(frozen=True)
class Faces:
    """All faces; of those beyond a budget, and of those whose label was hidden, the label counts as truth.

    Training faces that are nearly the same picture and have the same label may part: one labelled, one in the pool.
    """

    pixels: UInt8[np.ndarray, "n size size"]
    labels: Int[np.ndarray, " n"]  # -1 where none is known, and beyond the emotions where it is none of them
    train: Int[np.ndarray, " a"]  # rows
    pool: Int[np.ndarray, " b"]
    valid: Int[np.ndarray, " c"]
    test: Int[np.ndarray, " d"]
    sha256: str


@dataclass(frozen=True)
class Trial:
    """One number of labels and one seed, and how networks are trained in it."""

    faces: Faces
    budget: int | None  # labels of each emotion; None: all
    seed: int
    network: str
    recipe: Recipe
    epoch_faces: int
    chosen: Params

    def facts(self, arm: str) -> dict[str, Any]:
        """All that the result of `arm` follows from, but the code."""
        chosen = self.chosen
        rules: dict[str, Any] = {}
        if arm != TEACHER:
            rules["start"] = chosen.retrain.start
        if arm not in (TEACHER, *CONTROLS, FIXED):
            rules |= {"labels": chosen.retrain.labels, "weight": chosen.retrain.weight}
            rules |= self.online(arm).model_dump() if arm.startswith(ONLINE) else self.offline(arm)
        return {
            "arm": arm,
            "budget": self.budget,
            "seed": self.seed,
            "network": self.network,
            "epoch_faces": self.epoch_faces,
            "recipe": self.recipe.model_dump(),
            "transforms": chosen.transforms.model_dump(),
            "emotions": chosen.emotions,
            "precision": chosen.precision,
            "views": view_names(chosen.predict.views),
            "faces_sha256": self.faces.sha256,
            "rules": rules,
        }

    def name(self, arm: str) -> str:
        return f"{labels_in_words(self.budget)}, seed {self.seed}, {arm}"

    def online(self, arm: str) -> Online:
        return self.chosen.retrain.online.model_copy(update={"policy": arm.removeprefix(ONLINE)})

    def offline(self, arm: str) -> dict[str, Any]:
        rules = self.chosen.pseudo_label
        policy = getattr(rules.policies, arm).model_dump()
        return {"alignment": rules.alignment, "agreement": rules.agreement} | policy

    @cached_property
    def labelled(self) -> Int[np.ndarray, " a"]:
        """Rows of the training faces that keep their label; with one seed, a smaller budget keeps a part of them."""
        return self.faces.train[~self._hidden]

    @cached_property
    def rows(self) -> Int[np.ndarray, " n"]:
        """Of the faces that the teacher is asked about: validation, test and pool."""
        return np.concatenate([self.faces.valid, self.faces.test, self.faces.pool, self.faces.train[self._hidden]])

    @cached_property
    def fold(self) -> Shaped[np.ndarray, " n"]:
        """Of `rows`, as the table would have it."""
        counts = len(self.faces.valid), len(self.faces.test)
        names = np.array(["valid", "test", "unlabelled"], dtype=object)
        return np.repeat(names, [*counts, len(self.rows) - sum(counts)])

    @cached_property
    def _hidden(self) -> Bool[np.ndarray, " a"]:
        label = self.faces.labels[self.faces.train]
        everyone, random = np.ones(len(label), dtype=bool), np.random.default_rng(self.seed)
        return ~everyone if self.budget is None else over_budget(everyone, label, self.budget, random)


def read(unified: Path, chosen: Params) -> Faces:
    """The faces in `unified`, folds as they are there.

    Raises:
        InputError: a fold has no faces.
    """
    table, truth = read_table(unified / "table.csv"), read_truth(unified / "truth.csv")
    fold = table["fold"].to_numpy(dtype=object)
    told = table["emotion"].mask(fold == "unlabelled", truth)
    labels = codes(told, [*chosen.emotions, *sorted(set(told[fold == "unlabelled"]) - {"", *chosen.emotions})])
    rows = {name: np.flatnonzero(fold == name) for name in ("train", "unlabelled", "valid", "test")}
    for name in ("train", "valid", "test"):
        if not len(rows[name]):
            raise InputError(
                f"{unified / 'table.csv'}: the fold {name} has no faces; add labelled ones, then `dvc repro unify`"
            )
    pixels = open_faces(unified / "faces.npy")
    digest = hashlib.sha256(pixels.tobytes())
    for array in (labels, *rows.values()):
        digest.update(array.tobytes())
    return Faces(pixels, labels, rows["train"], rows["unlabelled"], rows["valid"], rows["test"], digest.hexdigest())


def taught(trial: Trial, folder: Path) -> Float[np.ndarray, "n views classes"]:
    """What the teacher says of `trial.rows`; it is trained if it was not before.

    Raises:
        InputError: the budget hides no label, or there is no pool.
    """
    counts = np.bincount(trial.faces.labels[trial.faces.train])
    if trial.budget is not None and trial.budget >= counts.max():
        raise InputError(
            f"{trial.budget} labels of each emotion: no emotion has more than {counts.max()}; take fewer, or all"
        )
    if not (trial.fold == "unlabelled").any():
        raise InputError(
            f"{labels_in_words(trial.budget)}: there are no unlabelled faces; take fewer labels, or add some"
        )

    def make() -> Result:
        network, facts = _untrained(trial, trial.seed)
        curve = _learn(trial, network, _examples(trial), None, trial.seed, TEACHER)
        (folder / TEACHER).mkdir(parents=True, exist_ok=True)
        nn_weights.save(network, facts, folder / TEACHER)
        return _said(trial, network, trial.rows), {"valid_accuracy": curve}

    return stored(folder / f"{TEACHER}.json", trial.facts(TEACHER), make, trial.name(TEACHER))[0]


def lessons(trial: Trial, teacher: Float[np.ndarray, "n views classes"], arm: str) -> Lesson:
    """What the student of `arm` is given of `trial.rows`, by what the `teacher` says of them."""
    truth, valid, rules = trial.faces.labels[trial.rows], trial.fold == "valid", trial.chosen.pseudo_label
    labels, logits_of, weights = np.where(valid, truth, -1), {TEACHER: teacher}, {TEACHER: 1.0}
    voted = calibrated_vote(logits_of, labels, valid, trial.seed, weights)
    if arm in (*CONTROLS, FIXED):
        said = gathered(voted.vote, labels, trial.fold, np.ones(len(truth), dtype=bool), "none")
    else:
        agreed = agreement(logits_of, voted, weights, rules.agreement)
        said = gathered(voted.vote, labels, trial.fold, agreed, rules.alignment)
    return lesson(arm, said, truth, rules, trial.chosen.retrain, trial.chosen.emotions, trial.seed)


def outcome(trial: Trial, arm: str, teacher: Float[np.ndarray, "n views classes"], folder: Path) -> Outcome:
    """How the student of `arm` does, or the teacher itself; a student is trained if it was not before.

    Raises:
        InputError: the teacher's weights, where the student begins with them, are not there.
    """
    measured = trial.fold != "unlabelled"
    if arm == TEACHER:
        return _outcome(trial, teacher[measured], None)
    given, seed = lessons(trial, teacher, arm), trial.seed + STUDENT_SEED

    def make() -> Result:
        network, _ = _untrained(trial, seed)
        if trial.chosen.retrain.start == "teacher":
            if not (folder / TEACHER / "weights.safetensors").is_file():
                raise damaged(folder / f"{TEACHER}.json")
            nn_weights.load_weights(network, folder / TEACHER)
        learnt = given.weights > 0
        more = Examples(trial.faces.pixels[trial.rows[learnt]], given.targets[learnt], given.weights[learnt])
        unlabelled = _unlabelled(trial, arm) if arm.startswith(ONLINE) else None
        curve = _learn(trial, network, _examples(trial) + more, unlabelled, seed, arm)
        return _said(trial, network, trial.rows[measured]), {"valid_accuracy": curve}

    said, _ = stored(folder / f"{arm}.json", trial.facts(arm), make, trial.name(arm))
    return _outcome(trial, said, given)


def _untrained(trial: Trial, seed: int) -> tuple[nn.Module, nn_weights.Facts]:
    size = trial.faces.pixels.shape[1]
    return untrained(trial.network, trial.recipe, trial.chosen.emotions, size, seed)


def _examples(trial: Trial, fold: str = "train") -> Examples:
    rows = trial.labelled if fold == "train" else trial.faces.valid
    targets = np.eye(len(trial.chosen.emotions), dtype=np.float32)[trial.faces.labels[rows]]
    return Examples(trial.faces.pixels[rows], targets, np.ones(len(rows), dtype=np.float32))


def _unlabelled(trial: Trial, arm: str) -> Unlabelled:
    rules, emotions = trial.online(arm), len(trial.chosen.emotions)
    wanted = wanted_shares(rules.alignment, shares(trial.faces.labels[trial.faces.valid], emotions))
    pool = trial.faces.pixels[trial.rows[trial.fold == "unlabelled"]]
    return Unlabelled(pool, rules, trial.chosen.retrain.labels, emotions, wanted)


def _learn(
    trial: Trial, network: nn.Module, train: Examples, unlabelled: Unlabelled | None, seed: int, arm: str
) -> list[float]:
    """Train `network`; the validation accuracy after each epoch."""
    curve = learn(
        placed(network),
        train,
        _examples(trial, "valid"),
        recipe=trial.recipe,
        transforms=trial.chosen.transforms,
        seed=seed,
        precision=trial.chosen.precision,
        name=trial.name(arm),
        epoch_faces=trial.epoch_faces,
        unlabelled=unlabelled,
    )
    return [row["valid_accuracy"] for row in curve]


def _said(trial: Trial, network: nn.Module, rows: Int[np.ndarray, " m"]) -> Float[np.ndarray, "m views classes"]:
    predict = trial.chosen.predict
    faces, precision = trial.faces.pixels[rows], trial.chosen.precision
    return logits(network, faces, views=predict.views, batch=predict.batch, precision=precision)


def _outcome(trial: Trial, said: Float[np.ndarray, "m views classes"], given: Lesson | None) -> Outcome:
    measured, valid = trial.fold != "unlabelled", trial.fold == "valid"
    truth = trial.faces.labels[trial.rows]
    voted = calibrated_vote({TEACHER: said}, truth[measured], valid[measured], trial.seed, {TEACHER: 1.0}).vote
    right = voted.argmax(axis=1) == truth[measured]
    learnt = np.zeros(len(truth), dtype=bool) if given is None else given.weights > 0
    known = learnt & (truth >= 0)
    precision = None if given is None or not known.any() else (given.targets.argmax(axis=1) == truth)[known].mean()
    return Outcome(right[valid[measured]], right[~valid[measured]], int(learnt.sum()), precision)
