"""From logits to probabilities that mean what they say: temperature scaling (Guo et al. 2017, arXiv:1706.04599)."""

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logsumexp

from fer.runtime.errors import InputError

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0  # temperatures searched between
CALIBRATION_CHUNK = 65_536  # faces computed at a time: logits may be memory-mapped and ten million


def compute_probs(logits: Float[np.ndarray, "n views classes"], temperature: float) -> Float[np.ndarray, "n classes"]:
    """Mean over the views of softmax(logits / temperature), float32."""
    probs = np.empty((logits.shape[0], logits.shape[2]), dtype=np.float32)
    for start in range(0, len(logits), CALIBRATION_CHUNK):
        part = slice(start, start + CALIBRATION_CHUNK)
        probs[part] = np.exp(_mean_log_probs(logits[part], temperature))
    return probs


def fit_temperature(logits: Float[np.ndarray, "n views classes"], labels: Int[np.ndarray, " n"]) -> float:
    """The temperature at which `probabilities` gives the labels the least negative log-likelihood.

    One made-up face, of every emotion alike, is counted with the others, much as Platt (1999) does for two classes:
    without it a fold that has no error, as one of a single emotion may, asks for a temperature of 0. No faces give 1.

    Raises:
        InputError: a logit is not finite.
    """
    if not len(logits):
        return 1.0
    if len(broken := np.flatnonzero(~np.isfinite(logits).all(axis=(1, 2)))):
        raise InputError(f"logits of validation face {broken[0]} are not finite; train and predict again")
    made_up = 1 / (len(logits) + 1)
    rows = np.arange(len(logits))

    def loss(log_temperature: float) -> float:
        log_probs = _mean_log_probs(logits, float(np.exp(log_temperature)))
        return -float((1 - made_up) * log_probs[rows, labels].mean() + made_up * log_probs.mean())

    found = minimize_scalar(
        loss, bounds=(np.log(MIN_TEMPERATURE), np.log(MAX_TEMPERATURE)), method="bounded", options={"xatol": 1e-6}
    )
    return float(np.exp(found.x))


def cross_fit_probs(
    logits: Float[np.ndarray, "n views classes"], labels: Int[np.ndarray, " n"], seed: int
) -> Float[np.ndarray, "n classes"]:
    """Probabilities of the faces that calibrate: each random half at the temperature fitted on the other half.

    A fold measured at its own temperature looks better calibrated than it is.
    """
    probs = np.empty((logits.shape[0], logits.shape[2]), dtype=np.float32)
    one, other = np.array_split(np.random.default_rng(seed).permutation(len(logits)), 2)
    for rows, fitted_on in ((one, other), (other, one)):
        probs[rows] = compute_probs(logits[rows], fit_temperature(logits[fitted_on], labels[fitted_on]))
    return probs


def _mean_log_probs(logits: Float[np.ndarray, "n views classes"], temperature: float) -> Float[np.ndarray, "n classes"]:
    """Logarithm of the views' mean probability; stays finite where the probability itself would be 0."""
    views = log_softmax(logits.astype(np.float64) / temperature, axis=2)
    return np.asarray(logsumexp(views, axis=1) - np.log(logits.shape[1]))
