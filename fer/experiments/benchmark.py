"""Trainings of `fer benchmark ssl`: the teachers and, for each method, one student.

The teachers are replicas, which differ in initial weights and order; their vote labels the pool. All networks train for
the same number of steps. Students differ only in what they learn from the pool; see `fer.experiments.arms`.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import nn

from fer.core.labels import target_prior
from fer.experiments.arms import CONTROLS, FIXED_95, ONLINE_PREFIX, PseudoTargets, make_targets
from fer.experiments.cache import RunResult, cached_result, damaged_result_error
from fer.experiments.gains import TEACHER, TEACHER_CORRECTED, VOTE, VOTE_CORRECTED, MethodResult
from fer.experiments.gains_table import format_budget
from fer.experiments.trials import Trial, can_correct
from fer.nn import weights as nn_weights
from fer.nn.devices import to_device
from fer.nn.inference import predict_logits
from fer.predictions.confidence import class_prior
from fer.predictions.ensembles import calibrate_ensemble, find_agreement
from fer.predictions.prior import correct_to_prior
from fer.pseudo_labels.policy import collect_evidence
from fer.runtime.errors import InputError
from fer.training.examples import LabelledSet, UnlabelledPool
from fer.training.loop import init_model, train_network

STUDENT_SEED_OFFSET = 1000  # with the teacher's seed, a student from scratch without the pool would be the teacher
REPLICA_SEED_OFFSET = 10_000

Logits = Float[np.ndarray, "_ views classes"]


def train_teachers(trial: Trial, folder: Path) -> dict[str, Logits]:
    """Return the teachers' logits of `trial.predicted_rows`, from `folder` or else by training the teachers.

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

    def train(name: str, seed: int) -> RunResult:
        network, config = _build_model(trial, seed)
        _train(trial, network, _labelled_set(trial), None, seed, name)
        (folder / name).mkdir(parents=True, exist_ok=True)
        nn_weights.save_model(network, config, folder / name)
        return _predict_logits(trial, network, trial.predicted_rows), {}

    seeds = [trial.seed + REPLICA_SEED_OFFSET * replica for replica in range(trial.replicas)]
    return {
        name: _cached_logits(trial, name, folder, partial(train, name, seed))
        for name, seed in zip(trial.teachers, seeds, strict=True)
    }


def evaluate_baselines(trial: Trial, teacher_logits: Mapping[str, Logits]) -> dict[str, MethodResult]:
    """Return the results of the teachers and of their vote, if there are several, and of both corrected."""
    labels, valid = _held_out_labels(trial)
    networks = {name: logits[trial.fold != "unlabelled"] for name, logits in teacher_logits.items()}
    groups = {(TEACHER, TEACHER_CORRECTED): [{name: logits} for name, logits in networks.items()]}
    if len(networks) > 1:
        groups[VOTE, VOTE_CORRECTED] = [networks]
    results = {}
    for (plain, corrected), ensembles in groups.items():
        probs = [_calibrate(trial, ensemble) for ensemble in ensembles]
        results[plain] = _make_result(trial, probs)
        if can_correct(trial.data, trial.params.emotions):
            results[corrected] = _make_result(trial, [correct_to_prior(p, labels, valid, trial.seed)[0] for p in probs])
    return results


def student_targets(trial: Trial, teacher_logits: Mapping[str, Logits], method: str) -> PseudoTargets:
    """Return the targets that the student of `method` learns for `trial.predicted_rows`."""
    truth, valid, params = trial.data.labels[trial.predicted_rows], trial.fold == "valid", trial.params.pseudo_label
    labels, weights = np.where(valid, truth, -1), dict.fromkeys(teacher_logits, 1.0)
    calibrated = calibrate_ensemble(teacher_logits, labels, valid, trial.seed, weights)
    if method in (*CONTROLS, FIXED_95):
        agreement, alignment = np.ones(len(truth), dtype=bool), "none"
    else:
        agreement, alignment = find_agreement(teacher_logits, calibrated, weights, params.agreement), params.alignment
    evidence = collect_evidence(calibrated.ensemble_probs, labels, trial.fold, agreement, alignment)
    return make_targets(method, evidence, truth, params, trial.params.retrain, trial.params.emotions, trial.seed)


def evaluate_student(trial: Trial, method: str, teacher_logits: Mapping[str, Logits], folder: Path) -> MethodResult:
    """Return the result of the student of `method`, from `folder` or else by training the student.

    Raises:
        InputError: The student starts from the first teacher's weights, which are missing.
    """
    held_out = trial.fold != "unlabelled"
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
    return _make_result(trial, [_calibrate(trial, {method: logits})], pseudo_targets)


def _cached_logits(trial: Trial, method: str, folder: Path, train: Callable[[], RunResult]) -> Logits:
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
        logit_adjustment=0.0 if method in trial.teachers else trial.params.retrain.logit_adjustment,
    )


def _predict_logits(trial: Trial, network: nn.Module, rows: Int[np.ndarray, " m"]) -> Logits:
    predict = trial.params.predict
    faces, precision = trial.data.pixels[rows], trial.params.precision
    return predict_logits(network, faces, views=predict.views, batch=predict.batch, precision=precision)


def _held_out_labels(trial: Trial) -> tuple[Int[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Return the labels of the validation and test faces, and which are validation faces."""
    held_out = trial.fold != "unlabelled"
    return trial.data.labels[trial.predicted_rows[held_out]], (trial.fold == "valid")[held_out]


def _calibrate(trial: Trial, logits: Mapping[str, Logits]) -> Float[np.ndarray, "n classes"]:
    """Return the mean of the networks' calibrated probabilities of the held-out faces."""
    labels, valid = _held_out_labels(trial)
    return calibrate_ensemble(logits, labels, valid, trial.seed, dict.fromkeys(logits, 1.0)).ensemble_probs


def _make_result(
    trial: Trial, probs: Sequence[Float[np.ndarray, "n classes"]], pseudo_targets: PseudoTargets | None = None
) -> MethodResult:
    """Return the emotions that each of `probs` predicts for the held-out faces, and the precision of the targets."""
    predicted, (_, valid) = np.array([network_probs.argmax(axis=1) for network_probs in probs]), _held_out_labels(trial)
    n_pseudo_labels = 0
    precision: float | None = None
    if pseudo_targets:
        truth, mask = trial.data.labels[trial.predicted_rows], pseudo_targets.weights > 0
        n_pseudo_labels, mask = int(mask.sum()), mask & (truth >= 0)
        if mask.any():
            precision = (pseudo_targets.targets.argmax(axis=1) == truth)[mask].mean()
    return MethodResult(predicted[:, valid], predicted[:, ~valid], n_pseudo_labels, precision)
