"""What is evaluated: held-out faces, and predictions, pseudo-labels and learning curves of each round."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int, Shaped

from fer.core.files import read_array, read_json
from fer.core.labels import ENSEMBLE, encode_labels
from fer.predictions.calibration import compute_probs
from fer.predictions.ensembles import CalibratedEnsemble, StoredLogits, average_probs, calibrate_ensemble
from fer.predictions.prior import correct_to_prior
from fer.runtime.errors import InputError

LEARNING_CURVE_COLUMNS = ("epoch", "learning_rate", "train_loss", "train_accuracy", "valid_loss", "valid_accuracy")


@dataclass(frozen=True)
class HeldOutFaces:
    """The faces of the validation and the test fold."""

    rows: Int[np.ndarray, " n"]  # of the table
    labels: Int[np.ndarray, " n"]
    sources: Shaped[np.ndarray, " n"]
    test: Bool[np.ndarray, " n"]  # otherwise of the validation fold
    twin_in_train: Bool[np.ndarray, " n"]


@dataclass(frozen=True)
class RoundPredictions:
    """The predictions of one round's networks for the held-out faces."""

    calibrated: CalibratedEnsemble
    uncalibrated: dict[str, Float[np.ndarray, "n classes"]]  # of each network and the ensemble, at temperature 1
    single_crop: CalibratedEnsemble | None  # of the plain view; None if it was not predicted
    corrected: dict[str, Float[np.ndarray, "n classes"]]  # `calibrated`, to the class frequencies of validation
    prior_factors: dict[str, Float[np.ndarray, " classes"]]  # by which they were corrected


@dataclass(frozen=True)
class RoundPseudoLabels:
    """The decisions of one round on the unlabelled faces without a review, and their true emotions."""

    rows: Int[np.ndarray, " n"]  # of the table
    probs: Float[np.ndarray, "n classes"]
    accepted: Bool[np.ndarray, " n"]
    truth: Int[np.ndarray, " n"]  # -1 where unknown
    summary: Mapping[str, Any]  # of the stage `pseudo_label`: thresholds, estimate, shift and counts of reviews


def select_held_out(table: pd.DataFrame, emotions: Sequence[str]) -> HeldOutFaces:
    """Return the held-out faces of `table`, in its order."""
    faces = table[table["fold"].isin(["valid", "test"])]
    return HeldOutFaces(
        rows=faces.index.to_numpy(),
        labels=encode_labels(faces["emotion"], emotions),
        sources=faces["source"].to_numpy(dtype=object),
        test=(faces["fold"] == "test").to_numpy(),
        twin_in_train=faces["twin_in_train"].to_numpy(),
    )


def calibrate_round(
    stored_logits: Mapping[str, StoredLogits], faces: HeldOutFaces, seed: int, weights: Mapping[str, float]
) -> RoundPredictions:
    """Calibrate and correct the networks and their ensemble with `weights`, from the logits of held-out faces alone."""
    logits = {name: stored.logits[faces.rows] for name, stored in stored_logits.items()}
    plain = {
        name: logits[name][:, [stored.views.index("plain")]]
        for name, stored in stored_logits.items()
        if "plain" in stored.views
    }
    uncalibrated = {name: compute_probs(network_logits, 1.0) for name, network_logits in logits.items()}
    calibrated = calibrate_ensemble(logits, faces.labels, ~faces.test, seed, weights)
    corrections = {
        name: correct_to_prior(probs, faces.labels, ~faces.test, seed) for name, probs in calibrated.all_probs.items()
    }
    return RoundPredictions(
        calibrated=calibrated,
        single_crop=calibrate_ensemble(plain, faces.labels, ~faces.test, seed, weights) if plain else None,
        uncalibrated=uncalibrated | {ENSEMBLE: average_probs(uncalibrated, weights)},
        corrected={name: probs for name, (probs, _) in corrections.items()},
        prior_factors={name: factors for name, (_, factors) in corrections.items()},
    )


def read_pseudo_labels(
    folder: Path, table: pd.DataFrame, truth: pd.Series, emotions: Sequence[str]
) -> RoundPseudoLabels:
    """Read the pseudo-labels of unlabelled faces from `folder`; faces that people reviewed are only counted.

    Raises:
        InputError: The truth or an array in the folder has another number of rows than the table.
    """
    arrays = {name: read_array(folder / f"{name}.npy", mmap=True) for name in ("accepted", "reviewed", "probs")}
    for name, array in arrays.items():
        shape = (len(table), len(emotions)) if name == "probs" else (len(table),)
        if array.shape != shape:
            raise InputError(
                f"{folder / name}.npy: has shape {array.shape}, but {shape} is needed for this table; run `dvc repro`"
            )
    pool = np.flatnonzero((table["fold"] == "unlabelled") & ~arrays["reviewed"])
    return RoundPseudoLabels(
        rows=pool,
        probs=arrays["probs"][pool],
        accepted=arrays["accepted"][pool],
        truth=encode_truth(truth, emotions, len(table))[pool],
        summary=read_json(folder / "summary.json"),
    )


def encode_truth(truth: pd.Series, emotions: Sequence[str], n: int) -> Int[np.ndarray, " n"]:
    """Return the index of each true emotion, -1 where unknown.

    An emotion that is not in `emotions` has a higher index, so every prediction of such a face is wrong.

    Raises:
        InputError: The truth has not `n` rows, as the table has.
    """
    if len(truth) != n:
        raise InputError(f"the truth has {len(truth)} rows, but the table has {n}; run `dvc repro`")
    other_emotions = sorted(set(truth) - {"", *emotions})
    return encode_labels(truth, [*emotions, *other_emotions])


def read_learning_curves(folder: Path, rounds: Sequence[int], networks: Iterable[str]) -> pd.DataFrame:
    """Return the learning curves in `folder` / round / network, with the columns round, network and
    `LEARNING_CURVE_COLUMNS`.
    """
    parts = []
    for round_ in rounds:
        for network in networks:
            path = folder / str(round_) / network / "curve.csv"
            if not path.is_file():
                raise InputError(f"{path}: no such file; train again with `dvc repro`")
            curve = pd.read_csv(path)
            if missing := [column for column in LEARNING_CURVE_COLUMNS if column not in curve]:
                raise InputError(f"{path}: has no column {', '.join(missing)}; train again with `dvc repro`")
            parts.append(curve[list(LEARNING_CURVE_COLUMNS)].assign(round=round_, network=network))
    return pd.concat(parts, ignore_index=True)[["round", "network", *LEARNING_CURVE_COLUMNS]]
