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

from fer.core.labels import encode_labels, read_table, read_truth, target_prior
from fer.core.store import open_faces
from fer.data.curation.splits import beyond_budget
from fer.experiments.arms import CONTROLS, FIXED_95, ONLINE_PREFIX, PseudoTargets, make_targets
from fer.experiments.cache import RunResult, cached_result, damaged_result_error
from fer.experiments.gains import TEACHER, MethodResult, format_budget
from fer.nn import weights as nn_weights
from fer.nn.inference import predict_logits, to_device, view_names
from fer.params import Params
from fer.predictions.confidence import class_prior
from fer.predictions.ensembles import calibrate_ensemble, find_agreement
from fer.pseudo_labels.policy import collect_evidence
from fer.runtime.errors import InputError
from fer.training.examples import LabelledSet, UnlabelledPool
from fer.training.loop import init_model, train_network
from fer.training.params import Online, Recipe

STUDENT_SEED_OFFSET = 1000  # more than the teacher's; else a student from scratch without the pool would be the teacher


@dataclass(frozen=True)
class BenchmarkData:
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

    data: BenchmarkData
    budget: int | None  # labels of each emotion; None: all
    seed: int
    network: str
    recipe: Recipe
    epoch_faces: int
    params: Params

    def fingerprint_inputs(self, method: str) -> dict[str, Any]:
        """All that the result of `method` follows from, but the code."""
        chosen = self.params
        rules: dict[str, Any] = {}
        if method != TEACHER:
            rules["start"] = chosen.retrain.start
        if method not in (TEACHER, *CONTROLS, FIXED_95):
            rules |= {"labels": chosen.retrain.labels, "weight": chosen.retrain.weight}
            rules |= (
                self.online_params(method).model_dump()
                if method.startswith(ONLINE_PREFIX)
                else self.policy_params(method)
            )
        return {
            "arm": method,
            "budget": self.budget,
            "seed": self.seed,
            "network": self.network,
            "epoch_faces": self.epoch_faces,
            "recipe": self.recipe.model_dump(),
            "transforms": chosen.transforms.model_dump(),
            "emotions": chosen.emotions,
            "precision": chosen.precision,
            "views": view_names(chosen.predict.views),
            "faces_sha256": self.data.sha256,
            "rules": rules,
        }

    def run_name(self, method: str) -> str:
        return f"{format_budget(self.budget)}, seed {self.seed}, {method}"

    def online_params(self, method: str) -> Online:
        return self.params.retrain.online.model_copy(update={"policy": method.removeprefix(ONLINE_PREFIX)})

    def policy_params(self, method: str) -> dict[str, Any]:
        rules = self.params.pseudo_label
        policy = getattr(rules.policies, method).model_dump()
        return {"alignment": rules.alignment, "agreement": rules.agreement} | policy

    @cached_property
    def labelled_rows(self) -> Int[np.ndarray, " a"]:
        """Rows of the training faces that keep their label; with one seed, a smaller budget keeps a part of them."""
        return self.data.train[~self._hidden]

    @cached_property
    def predicted_rows(self) -> Int[np.ndarray, " n"]:
        """Of the faces that the teacher is asked about: validation, test and pool."""
        return np.concatenate([self.data.valid, self.data.test, self.data.pool, self.data.train[self._hidden]])

    @cached_property
    def fold(self) -> Shaped[np.ndarray, " n"]:
        """Of `rows`, as the table would have it."""
        counts = len(self.data.valid), len(self.data.test)
        names = np.array(["valid", "test", "unlabelled"], dtype=object)
        return np.repeat(names, [*counts, len(self.predicted_rows) - sum(counts)])

    @cached_property
    def _hidden(self) -> Bool[np.ndarray, " a"]:
        label = self.data.labels[self.data.train]
        everyone, random = np.ones(len(label), dtype=bool), np.random.default_rng(self.seed)
        return ~everyone if self.budget is None else beyond_budget(everyone, label, self.budget, random)


def read_benchmark_data(unified: Path, params: Params) -> BenchmarkData:
    """The faces in `unified`, folds as they are there.

    Raises:
        InputError: a fold has no faces.
    """
    table, truth = read_table(unified / "table.csv"), read_truth(unified / "truth.csv")
    fold = table["fold"].to_numpy(dtype=object)
    told = table["emotion"].mask(fold == "unlabelled", truth)
    labels = encode_labels(told, [*params.emotions, *sorted(set(told[fold == "unlabelled"]) - {"", *params.emotions})])
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
    return BenchmarkData(
        pixels, labels, rows["train"], rows["unlabelled"], rows["valid"], rows["test"], digest.hexdigest()
    )


def train_teacher(trial: Trial, folder: Path) -> Float[np.ndarray, "n views classes"]:
    """What the teacher says of `trial.rows`; it is trained if it was not before.

    Raises:
        InputError: the budget hides no label, or there is no pool.
    """
    counts = np.bincount(trial.data.labels[trial.data.train])
    if trial.budget is not None and trial.budget >= counts.max():
        raise InputError(
            f"{trial.budget} labels of each emotion: no emotion has more than {counts.max()}; take fewer, or all"
        )
    if not (trial.fold == "unlabelled").any():
        raise InputError(
            f"{format_budget(trial.budget)}: there are no unlabelled faces; take fewer labels, or add some"
        )

    def make() -> RunResult:
        network, facts = _build_model(trial, trial.seed)
        curve = _train(trial, network, _labelled_set(trial), None, trial.seed, TEACHER)
        (folder / TEACHER).mkdir(parents=True, exist_ok=True)
        nn_weights.save_model(network, facts, folder / TEACHER)
        return _predict_logits(trial, network, trial.predicted_rows), {"valid_accuracy": curve}

    return cached_result(folder / f"{TEACHER}.json", trial.fingerprint_inputs(TEACHER), make, trial.run_name(TEACHER))[
        0
    ]


def student_targets(trial: Trial, teacher_logits: Float[np.ndarray, "n views classes"], method: str) -> PseudoTargets:
    """What the student of `method` is given of `trial.rows`, by what the `teacher_logits` says of them."""
    truth, valid, rules = trial.data.labels[trial.predicted_rows], trial.fold == "valid", trial.params.pseudo_label
    labels, logits_of, weights = np.where(valid, truth, -1), {TEACHER: teacher_logits}, {TEACHER: 1.0}
    voted = calibrate_ensemble(logits_of, labels, valid, trial.seed, weights)
    if method in (*CONTROLS, FIXED_95):
        said = collect_evidence(voted.ensemble_probs, labels, trial.fold, np.ones(len(truth), dtype=bool), "none")
    else:
        agreed = find_agreement(logits_of, voted, weights, rules.agreement)
        said = collect_evidence(voted.ensemble_probs, labels, trial.fold, agreed, rules.alignment)
    return make_targets(method, said, truth, rules, trial.params.retrain, trial.params.emotions, trial.seed)


def evaluate_method(
    trial: Trial, method: str, teacher_logits: Float[np.ndarray, "n views classes"], folder: Path
) -> MethodResult:
    """How the student of `method` does, or the teacher itself; a student is trained if it was not before.

    Raises:
        InputError: the teacher's weights, where the student begins with them, are not there.
    """
    measured = trial.fold != "unlabelled"
    if method == TEACHER:
        return _score_predictions(trial, teacher_logits[measured], None)
    given, seed = student_targets(trial, teacher_logits, method), trial.seed + STUDENT_SEED_OFFSET

    def make() -> RunResult:
        network, _ = _build_model(trial, seed)
        if trial.params.retrain.start == "teacher":
            if not (folder / TEACHER / "weights.safetensors").is_file():
                raise damaged_result_error(folder / f"{TEACHER}.json")
            nn_weights.load_weights(network, folder / TEACHER)
        learnt = given.weights > 0
        more = LabelledSet(
            trial.data.pixels[trial.predicted_rows[learnt]], given.targets[learnt], given.weights[learnt]
        )
        unlabelled = _unlabelled_pool(trial, method) if method.startswith(ONLINE_PREFIX) else None
        curve = _train(trial, network, _labelled_set(trial) + more, unlabelled, seed, method)
        return _predict_logits(trial, network, trial.predicted_rows[measured]), {"valid_accuracy": curve}

    said, _ = cached_result(folder / f"{method}.json", trial.fingerprint_inputs(method), make, trial.run_name(method))
    return _score_predictions(trial, said, given)


def _build_model(trial: Trial, seed: int) -> tuple[nn.Module, nn_weights.ModelConfig]:
    size = trial.data.pixels.shape[1]
    return init_model(trial.network, trial.recipe, trial.params.emotions, size, seed)


def _labelled_set(trial: Trial, fold: str = "train") -> LabelledSet:
    rows = trial.labelled_rows if fold == "train" else trial.data.valid
    targets = np.eye(len(trial.params.emotions), dtype=np.float32)[trial.data.labels[rows]]
    return LabelledSet(trial.data.pixels[rows], targets, np.ones(len(rows), dtype=np.float32))


def _unlabelled_pool(trial: Trial, arm: str) -> UnlabelledPool:
    rules, emotions = trial.online_params(arm), len(trial.params.emotions)
    wanted = target_prior(rules.alignment, class_prior(trial.data.labels[trial.data.valid], emotions))
    pool = trial.data.pixels[trial.predicted_rows[trial.fold == "unlabelled"]]
    return UnlabelledPool(pool, rules, trial.params.retrain.labels, emotions, wanted)


def _train(
    trial: Trial, network: nn.Module, train: LabelledSet, unlabelled: UnlabelledPool | None, seed: int, arm: str
) -> list[float]:
    """Train `network`; the validation accuracy after each epoch."""
    curve = train_network(
        to_device(network),
        train,
        _labelled_set(trial, "valid"),
        recipe=trial.recipe,
        transforms=trial.params.transforms,
        seed=seed,
        precision=trial.params.precision,
        name=trial.run_name(arm),
        epoch_faces=trial.epoch_faces,
        unlabelled=unlabelled,
    )
    return [row["valid_accuracy"] for row in curve]


def _predict_logits(
    trial: Trial, network: nn.Module, rows: Int[np.ndarray, " m"]
) -> Float[np.ndarray, "m views classes"]:
    predict = trial.params.predict
    faces, precision = trial.data.pixels[rows], trial.params.precision
    return predict_logits(network, faces, views=predict.views, batch=predict.batch, precision=precision)


def _score_predictions(
    trial: Trial, said: Float[np.ndarray, "m views classes"], given: PseudoTargets | None
) -> MethodResult:
    measured, valid = trial.fold != "unlabelled", trial.fold == "valid"
    truth = trial.data.labels[trial.predicted_rows]
    voted = calibrate_ensemble(
        {TEACHER: said}, truth[measured], valid[measured], trial.seed, {TEACHER: 1.0}
    ).ensemble_probs
    right = voted.argmax(axis=1) == truth[measured]
    learnt = np.zeros(len(truth), dtype=bool) if given is None else given.weights > 0
    known = learnt & (truth >= 0)
    precision = None if given is None or not known.any() else (given.targets.argmax(axis=1) == truth)[known].mean()
    return MethodResult(right[valid[measured]], right[~valid[measured]], int(learnt.sum()), precision)
