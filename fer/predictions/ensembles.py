"""Read the stored logits of networks, calibrate them and average them to an ensemble."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from fer.core.files import read_array, read_json
from fer.core.labels import ENSEMBLE
from fer.predictions.calibration import compute_probs, cross_fit_probs, fit_temperature
from fer.runtime.errors import InputError


@dataclass(frozen=True)
class StoredLogits:
    """The logits of one network for every face of the table."""

    logits: Float[np.ndarray, "n views classes"]
    views: tuple[str, ...]
    weights_sha256: str


@dataclass(frozen=True)
class CalibratedEnsemble:
    """Calibrated probabilities of every face, by network and of the ensemble, and the networks' temperatures."""

    probs: dict[str, Float[np.ndarray, "n classes"]]
    ensemble_probs: Float[np.ndarray, "n classes"]
    temperatures: dict[str, float]

    @property
    def all_probs(self) -> dict[str, Float[np.ndarray, "n classes"]]:
        """The probabilities of each network and of the ensemble."""
        return self.probs | {ENSEMBLE: self.ensemble_probs}


def read_stored_logits(
    folder: Path, members: Iterable[str], emotions: Sequence[str], n: int
) -> dict[str, StoredLogits]:
    """Return the predictions of `members`, in their order; logits are memory-mapped.

    Args:
        folder: The predictions of one round.
        members: Names of replicas of networks, as of `member_name`.
        n: The number of rows of the table, which the logits must have.

    Raises:
        InputError: A file is missing or damaged, belongs to another network or table or to other emotions, or holds a
            number that is not finite.
    """
    return {member: _read_member(folder / f"{member}.npy", emotions, n) for member in members}


def average_probs(
    probs: Mapping[str, Float[np.ndarray, "n classes"]], weights: Mapping[str, float]
) -> Float[np.ndarray, "n classes"]:
    """Return the mean of the networks' probabilities, weighted by `weights`, as float32."""
    total = sum(weights[name] * network_probs.astype(np.float64) for name, network_probs in probs.items())
    return np.asarray(total / sum(weights[name] for name in probs), dtype=np.float32)


def calibrate_ensemble(
    logits: Mapping[str, Float[np.ndarray, "n views classes"]],
    labels: Int[np.ndarray, " n"],
    valid: Bool[np.ndarray, " n"],
    seed: int,
    weights: Mapping[str, float],
) -> CalibratedEnsemble:
    """Return each network at the temperature fitted on the `valid` faces, and their mean weighted by `weights`.

    The probabilities of `valid` faces are cross-fitted, so metrics on them are unbiased. No other labels are read.
    """
    if not valid.any():
        raise InputError(
            "the validation fold has no faces, so confidence can't be calibrated; "
            "add labelled faces or raise unify.valid in params.yaml"
        )
    probs, temperatures = {}, {}
    for name, network_logits in logits.items():
        temperatures[name] = fit_temperature(network_logits[valid], labels[valid])
        probs[name] = compute_probs(network_logits, temperatures[name])
        probs[name][valid] = cross_fit_probs(network_logits[valid], labels[valid], seed)
    return CalibratedEnsemble(probs, average_probs(probs, weights), temperatures)


def find_agreement(
    logits: Mapping[str, Float[np.ndarray, "n views classes"]],
    calibrated: CalibratedEnsemble,
    weights: Mapping[str, float],
    among: Sequence[str],
) -> Bool[np.ndarray, " n"]:
    """Return for each face whether all of `among` predict the emotion that the ensemble predicts.

    Args:
        among: "networks" (each replica with a weight above 0), "views" (the ensemble on each view), both or neither.
    """
    predicted = calibrated.ensemble_probs.argmax(axis=1)
    agreed = np.ones(len(predicted), dtype=bool)
    if "networks" in among:
        for name, probs in calibrated.probs.items():
            if weights[name]:
                agreed &= probs.argmax(axis=1) == predicted
    if "views" in among:
        for view in range(min(network_logits.shape[1] for network_logits in logits.values())):
            view_probs = {
                name: compute_probs(network_logits[:, [view]], calibrated.temperatures[name])
                for name, network_logits in logits.items()
            }
            agreed &= average_probs(view_probs, weights).argmax(axis=1) == predicted
    return agreed


def _read_member(path: Path, emotions: Sequence[str], n: int) -> StoredLogits:
    remedy = "predict again with `dvc repro`"
    manifest_path = path.with_suffix(".json")
    logits = read_array(path, mmap=True)
    if not manifest_path.is_file():
        raise InputError(f"{manifest_path}: no such file; {remedy}")
    try:
        manifest = dict(read_json(manifest_path))
    except (ValueError, TypeError) as error:
        raise InputError(f"{manifest_path}: not a JSON object ({error}); {remedy}") from error

    manifest["member"] = f"{manifest.get('network')}-{manifest.get('replica')}"
    for key, value in {"member": path.stem, "emotions": list(emotions)}.items():
        if manifest.get(key) != value:
            raise InputError(f"{manifest_path}: {key} is {manifest.get(key)}, but should be {value}; {remedy}")
    for key, kind in (("views", list), ("weights_sha256", str)):
        if not isinstance(manifest.get(key), kind):
            raise InputError(
                f"{manifest_path}: {key} is {manifest.get(key)}, but should be a {kind.__name__}; {remedy}"
            )
    if logits.dtype != np.float32:
        raise InputError(f"{path}: holds {logits.dtype}, but should hold float32; {remedy}")
    shape = (n, len(manifest["views"]), len(manifest["emotions"]))
    if logits.shape != shape:
        raise InputError(
            f"{path}: has shape {logits.shape}, but (faces of the table, views, emotions) is {shape}; {remedy}"
        )
    if len(not_finite := np.flatnonzero(~np.isfinite(logits).all(axis=(1, 2)))):
        raise InputError(f"{path}: row {not_finite[0]} is not finite; train and {remedy}")
    return StoredLogits(logits, tuple(manifest["views"]), manifest["weights_sha256"])
