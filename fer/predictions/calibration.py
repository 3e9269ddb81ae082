"""Calibrate logits by temperature scaling (Guo et al. 2017, arXiv:1706.04599)."""

import numpy as np
from jaxtyping import Float, Int

from fer.runtime.errors import InputError

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
CALIBRATION_CHUNK = 65_536  # faces at a time, as logits may be memory-mapped and larger than memory


def compute_probs(logits: Float[np.ndarray, "n views classes"], temperature: float) -> Float[np.ndarray, "n classes"]:
    """Return the mean over the views of softmax(logits / temperature), as float32."""
    probs = np.empty((logits.shape[0], logits.shape[2]), dtype=np.float32)
    for start in range(0, len(logits), CALIBRATION_CHUNK):
        part = slice(start, start + CALIBRATION_CHUNK)
        probs[part] = np.exp(_mean_log_probs(logits[part], temperature))
    return probs


def fit_temperature(logits: Float[np.ndarray, "n views classes"], labels: Int[np.ndarray, " n"]) -> float:
    """Return the temperature that minimises the negative log-likelihood of the labels; 1 without faces.

    One pseudo-observation with a uniform target is added, similar to Platt (1999) for two classes. Without it, the
    optimum of a fold without errors, such as one of a single emotion, would be a temperature of 0.
    """
    from scipy.optimize import minimize_scalar  # slow to import, and a package that is applied fits nothing

    if not len(logits):
        return 1.0
    if len(not_finite := np.flatnonzero(~np.isfinite(logits).all(axis=(1, 2)))):
        raise InputError(f"logits of validation face {not_finite[0]} are not finite; train and predict again")
    uniform_weight = 1 / (len(logits) + 1)
    rows = np.arange(len(logits))

    def loss(log_temperature: float) -> float:
        log_probs = _mean_log_probs(logits, float(np.exp(log_temperature)))
        return -float((1 - uniform_weight) * log_probs[rows, labels].mean() + uniform_weight * log_probs.mean())

    minimum = minimize_scalar(
        loss, bounds=(np.log(MIN_TEMPERATURE), np.log(MAX_TEMPERATURE)), method="bounded", options={"xatol": 1e-6}
    )
    return float(np.exp(minimum.x))


def cross_fit_probs(
    logits: Float[np.ndarray, "n views classes"], labels: Int[np.ndarray, " n"], seed: int
) -> Float[np.ndarray, "n classes"]:
    """Return probabilities of the validation faces, each random half at the temperature fitted on the other half.

    A fold looks better calibrated than it is at the temperature fitted on itself.
    """
    probs = np.empty((logits.shape[0], logits.shape[2]), dtype=np.float32)
    for rows, fit_rows in split_for_cross_fit(len(logits), seed):
        probs[rows] = compute_probs(logits[rows], fit_temperature(logits[fit_rows], labels[fit_rows]))
    return probs


def split_for_cross_fit(n: int, seed: int) -> list[tuple[Int[np.ndarray, " rows"], Int[np.ndarray, " fit_rows"]]]:
    """Return each random half of `n` rows with the half on which its predictions are fitted: the other one."""
    first, second = np.array_split(np.random.default_rng(seed).permutation(n), 2)
    return [(first, second), (second, first)]


def _mean_log_probs(logits: Float[np.ndarray, "n views classes"], temperature: float) -> Float[np.ndarray, "n classes"]:
    """Return the logarithm of the mean probability over the views; it is finite even if the probability underflows."""
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=2, keepdims=True)
    log_probs = scaled - np.log(np.exp(scaled).sum(axis=2, keepdims=True))
    highest = log_probs.max(axis=1, keepdims=True)
    is_highest = log_probs == highest  # kept out of the sum, in which the lower ones would lose digits
    n_highest = is_highest.sum(axis=1)
    lower = np.exp(np.where(is_highest, -np.inf, log_probs - highest)).sum(axis=1) / n_highest
    return np.log1p(lower) + np.log(n_highest) + highest[:, 0] - np.log(logits.shape[1])
