"""The networks' stored predictions, and their vote."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from fer.core.files import read_array, read_json
from fer.predictions.calibration import compute_probs, cross_fit_probs, fit_temperature
from fer.runtime.errors import InputError


@dataclass(frozen=True)
class StoredLogits:
    """What one network says of every face."""

    logits: Float[np.ndarray, "n views classes"]
    views: tuple[str, ...]
    weights_sha256: str


@dataclass(frozen=True)
class CalibratedEnsemble:
    """Calibrated probabilities of every face, by network and voted, and the temperatures that gave them."""

    probs: dict[str, Float[np.ndarray, "n classes"]]
    ensemble_probs: Float[np.ndarray, "n classes"]
    temperatures: dict[str, float]


def read_stored_logits(
    folder: Path, networks: Iterable[str], emotions: Sequence[str], n: int
) -> dict[str, StoredLogits]:
    """What each of `networks` predicted, in their order; logits are memory-mapped.

    Raises:
        InputError: a file is missing or unreadable, is of another network or other emotions, has not the table's `n`
            rows, or holds a number that is not finite.
    """
    return {
        network: _read_network(folder / f"{network}.npy", {"network": network, "emotions": list(emotions)}, n)
        for network in networks
    }


def average_probs(
    probs: Mapping[str, Float[np.ndarray, "n classes"]], weights: Mapping[str, float]
) -> Float[np.ndarray, "n classes"]:
    """Mean of the networks' class probabilities (soft vote), each with its weight, float32."""
    total = sum(weights[name] * of_network.astype(np.float64) for name, of_network in probs.items())
    return np.asarray(total / sum(weights[name] for name in probs), dtype=np.float32)


def calibrate_ensemble(
    logits: Mapping[str, Float[np.ndarray, "n views classes"]],
    labels: Int[np.ndarray, " n"],
    valid: Bool[np.ndarray, " n"],
    seed: int,
    weights: Mapping[str, float],
) -> CalibratedEnsemble:
    """Each network at the temperature fitted on the faces of the `valid` mask, and the vote of all by their `weights`.

    The `valid` faces themselves are cross-fitted, so that what is measured on them is honest. The labels of others are
    not read.

    Raises:
        InputError: the validation fold has no faces.
    """
    if not valid.any():
        raise InputError(
            "the validation fold has no faces, and without it confidence can't be calibrated; "
            "add labelled faces or raise unify.valid in params.yaml"
        )
    probs, temperatures = {}, {}
    for network, said in logits.items():
        temperatures[network] = fit_temperature(said[valid], labels[valid])
        probs[network] = compute_probs(said, temperatures[network])
        probs[network][valid] = cross_fit_probs(said[valid], labels[valid], seed)
    return CalibratedEnsemble(probs, average_probs(probs, weights), temperatures)


def find_agreement(
    logits: Mapping[str, Float[np.ndarray, "n views classes"]],
    calibrated: CalibratedEnsemble,
    weights: Mapping[str, float],
    among: Sequence[str],
) -> Bool[np.ndarray, " n"]:
    """Where all that `among` names, "networks", "views" or both, take a face for what the vote takes it for."""
    winner = calibrated.ensemble_probs.argmax(axis=1)
    agreed = np.ones(len(winner), dtype=bool)
    if "networks" in among:
        for network, probs in calibrated.probs.items():
            if weights[network]:
                agreed &= probs.argmax(axis=1) == winner
    if "views" in among:
        for view in range(min(said.shape[1] for said in logits.values())):
            seen = {
                network: compute_probs(said[:, [view]], calibrated.temperatures[network])
                for network, said in logits.items()
            }
            agreed &= average_probs(seen, weights).argmax(axis=1) == winner
    return agreed


def _read_network(path: Path, expected: Mapping[str, object], n: int) -> StoredLogits:
    again = "predict again with `dvc repro`"
    about = path.with_suffix(".json")
    logits = read_array(path, mmap=True)
    if not about.is_file():
        raise InputError(f"{about}: no such file; {again}")
    try:
        said = dict(read_json(about))
    except (ValueError, TypeError) as error:
        raise InputError(f"{about}: not a JSON object ({error}); {again}") from error

    for key, value in expected.items():
        if said.get(key) != value:
            raise InputError(f"{about}: {key} is {said.get(key)}, but should be {value}; {again}")
    for key, kind in (("views", list), ("weights_sha256", str)):
        if not isinstance(said.get(key), kind):
            raise InputError(f"{about}: {key} is {said.get(key)}, but should be a {kind.__name__}; {again}")
    if logits.dtype != np.float32:
        raise InputError(f"{path}: holds {logits.dtype}, but should hold float32; {again}")
    shape = (n, len(said["views"]), len(said["emotions"]))
    if logits.shape != shape:
        raise InputError(
            f"{path}: has shape {logits.shape}, but (faces of the table, views, emotions) is {shape}; {again}"
        )
    if len(broken := np.flatnonzero(~np.isfinite(logits).all(axis=(1, 2)))):
        raise InputError(f"{path}: row {broken[0]} is not finite; train and {again}")
    return StoredLogits(logits, tuple(said["views"]), said["weights_sha256"])
