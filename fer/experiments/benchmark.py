"""Trials of `fer benchmark ssl`: for a label budget and a seed, a teacher and one student for each method.

All networks train for the same number of steps. Students differ only in what they learn from the pool; see
`fer.experiments.arms`.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped, UInt8
from torch import nn

from fer.core.labels import encode_labels, target_prior
from fer.core.store import open_faces
from fer.core.table import read_table, read_truth
from fer.data.curation.splits import beyond_budget
from fer.experiments.arms import CONTROLS, FIXED_95, ONLINE_PREFIX, PseudoTargets, make_targets
from fer.experiments.cache import RunResult, cached_result, damaged_result_error
from fer.experiments.gains import TEACHER, MethodResult, format_budget
from fer.nn import weights as nn_weights
from fer.nn.devices import to_device
from fer.nn.inference import predict_logits, view_names
from fer.params import Params
from fer.predictions.confidence import class_prior
from fer.predictions.ensembles import calibrate_ensemble, find_agreement
from fer.pseudo_labels.policy import collect_evidence
from fer.runtime.errors import InputError
from fer.training.examples import LabelledSet, UnlabelledPool
from fer.training.loop import init_model, train_network
from fer.training.params import Online, Recipe

STUDENT_SEED_OFFSET = 1000  # with the teacher's seed, a student from scratch without the pool would be the teacher


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
    seed: int
    network: str
    recipe: Recipe
    epoch_faces: int
    params: Params

    def fingerprint_inputs(self, method: str) -> dict[str, Any]:
        """Return everything that the result of `method` depends on, except the code."""
        params = self.params
        method_params: dict[str, Any] = {}
        if method != TEACHER:
            method_params |= {"start": params.retrain.start, "logit_adjustment": params.retrain.logit_adjustment}
        if method not in (TEACHER, *CONTROLS, FIXED_95):
            method_params |= {"labels": params.retrain.labels, "weight": params.retrain.weight}
            method_params |= (
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
            "transforms": params.transform_sets[params.transforms].model_dump(),
            "emotions": params.emotions,
            "precision": params.precision,
            "views": view_names(params.predict.views),
            "faces_sha256": self.data.sha256,
            "rules": method_params,
        }

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

    @cached_property
    def _is_hidden(self) -> Bool[np.ndarray, " a"]:
        labels = self.data.labels[self.data.rows["train"]]
        if self.budget is None:
            return np.zeros(len(labels), dtype=bool)
        mask, rng = np.ones(len(labels), dtype=bool), np.random.default_rng(self.seed)
        return beyond_budget(mask, labels, self.budget, rng)


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


def train_teacher(trial: Trial, folder: Path) -> Float[np.ndarray, "n views classes"]:
    """Return the teacher's logits of `trial.predicted_rows`, from `folder` or else by training the teacher.

    Raises:
        InputError: The budget hides no label, or there is no pool.
    """
    counts = np.bincount(trial.data.labels[trial.data.rows["train"]])
    if trial.budget is not None and trial.budget >= counts.max():
        raise InputError(
            f"--budgets {trial.budget}: no emotion has more than {counts.max()} labels; use a smaller number, or all"
        )
    if not (trial.fold == "unlabelled").any():
        raise InputError(f"{format_budget(trial.budget)}: there are no unlabelled faces; add some, or lower the budget")

    def train() -> RunResult:
        network, config = _build_model(trial, trial.seed)
        _train(trial, network, _labelled_set(trial), None, trial.seed, TEACHER)
        (folder / TEACHER).mkdir(parents=True, exist_ok=True)
        nn_weights.save_model(network, config, folder / TEACHER)
        return _predict_logits(trial, network, trial.predicted_rows), {}

    return _cached_logits(trial, TEACHER, folder, train)


def student_targets(trial: Trial, teacher_logits: Float[np.ndarray, "n views classes"], method: str) -> PseudoTargets:
    """Return the targets that the student of `method` learns for `trial.predicted_rows`."""
    truth, valid, params = trial.data.labels[trial.predicted_rows], trial.fold == "valid", trial.params.pseudo_label
    labels, logits, weights = np.where(valid, truth, -1), {TEACHER: teacher_logits}, {TEACHER: 1.0}
    calibrated = calibrate_ensemble(logits, labels, valid, trial.seed, weights)
    if method in (*CONTROLS, FIXED_95):
        agreement, alignment = np.ones(len(truth), dtype=bool), "none"
    else:
        agreement, alignment = find_agreement(logits, calibrated, weights, params.agreement), params.alignment
    evidence = collect_evidence(calibrated.ensemble_probs, labels, trial.fold, agreement, alignment)
    return make_targets(method, evidence, truth, params, trial.params.retrain, trial.params.emotions, trial.seed)


def evaluate_method(
    trial: Trial, method: str, teacher_logits: Float[np.ndarray, "n views classes"], folder: Path
) -> MethodResult:
    """Return the result of the teacher or of the student of `method`, from `folder` or else by training the student.

    Raises:
        InputError: The student starts from the teacher's weights, which are missing.
    """
    held_out = trial.fold != "unlabelled"
    if method == TEACHER:
        return _score_predictions(trial, teacher_logits[held_out], None)
    pseudo_targets, seed = student_targets(trial, teacher_logits, method), trial.seed + STUDENT_SEED_OFFSET

    def train() -> RunResult:
        network, _ = _build_model(trial, seed)
        if trial.params.retrain.start == "teacher":
            if not (folder / TEACHER / "weights.safetensors").is_file():
                raise damaged_result_error(folder / f"{TEACHER}.json")
            nn_weights.load_weights(network, folder / TEACHER)
        mask = pseudo_targets.weights > 0
        pseudo_labelled_set = LabelledSet(
            trial.data.pixels[trial.predicted_rows[mask]], pseudo_targets.targets[mask], pseudo_targets.weights[mask]
        )
        unlabelled = _unlabelled_pool(trial, method) if method.startswith(ONLINE_PREFIX) else None
        _train(trial, network, _labelled_set(trial) + pseudo_labelled_set, unlabelled, seed, method)
        return _predict_logits(trial, network, trial.predicted_rows[held_out]), {}

    logits = _cached_logits(trial, method, folder, train)
    return _score_predictions(trial, logits, pseudo_targets)


def _cached_logits(
    trial: Trial, method: str, folder: Path, train: Callable[[], RunResult]
) -> Float[np.ndarray, "m views classes"]:
    path = folder / f"{method}.json"
    return cached_result(path, trial.fingerprint_inputs(method), train, trial.run_name(method))[0]


def _build_model(trial: Trial, seed: int) -> tuple[nn.Module, nn_weights.ModelConfig]:
    size = trial.data.pixels.shape[1]
    return init_model(trial.network, trial.recipe, trial.params.emotions, size, seed)


def _labelled_set(trial: Trial, fold: str = "train") -> LabelledSet:
    rows = trial.labelled_rows if fold == "train" else trial.data.rows["valid"]
    targets = np.eye(len(trial.params.emotions), dtype=np.float32)[trial.data.labels[rows]]
    return LabelledSet(trial.data.pixels[rows], targets, np.ones(len(rows), dtype=np.float32))


def _unlabelled_pool(trial: Trial, method: str) -> UnlabelledPool:
    params, classes = trial.online_params(method), len(trial.params.emotions)
    prior = target_prior(params.alignment, class_prior(trial.data.labels[trial.data.rows["valid"]], classes))
    pixels = trial.data.pixels[trial.predicted_rows[trial.fold == "unlabelled"]]
    return UnlabelledPool(pixels, params, trial.params.retrain.labels, classes, prior)


def _train(
    trial: Trial, network: nn.Module, train: LabelledSet, unlabelled: UnlabelledPool | None, seed: int, method: str
) -> None:
    """Train `network` in place."""
    train_network(
        to_device(network),
        train,
        _labelled_set(trial, "valid"),
        recipe=trial.recipe,
        transforms=trial.params.transform_sets[trial.params.transforms],
        seed=seed,
        precision=trial.params.precision,
        name=trial.run_name(method),
        epoch_faces=trial.epoch_faces,
        unlabelled=unlabelled,
        logit_adjustment=0.0 if method == TEACHER else trial.params.retrain.logit_adjustment,
    )


def _predict_logits(
    trial: Trial, network: nn.Module, rows: Int[np.ndarray, " m"]
) -> Float[np.ndarray, "m views classes"]:
    predict = trial.params.predict
    faces, precision = trial.data.pixels[rows], trial.params.precision
    return predict_logits(network, faces, views=predict.views, batch=predict.batch, precision=precision)


def _score_predictions(
    trial: Trial, logits: Float[np.ndarray, "m views classes"], pseudo_targets: PseudoTargets | None
) -> MethodResult:
    """Compare logits of the held-out faces, and the pseudo-targets, with the truth."""
    held_out, truth = trial.fold != "unlabelled", trial.data.labels[trial.predicted_rows]
    labels, valid = truth[held_out], (trial.fold == "valid")[held_out]
    calibrated = calibrate_ensemble({TEACHER: logits}, labels, valid, trial.seed, {TEACHER: 1.0})
    is_correct = calibrated.ensemble_probs.argmax(axis=1) == labels
    n_pseudo_labels = 0
    precision: float | None = None
    if pseudo_targets:
        mask = pseudo_targets.weights > 0
        n_pseudo_labels, mask = int(mask.sum()), mask & (truth >= 0)
        if mask.any():
            precision = (pseudo_targets.targets.argmax(axis=1) == truth)[mask].mean()
    return MethodResult(is_correct[valid], is_correct[~valid], n_pseudo_labels, precision)
