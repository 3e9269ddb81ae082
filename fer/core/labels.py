"""The emotions, their order, aliases and codes, and the names of the folds."""

from collections.abc import Collection, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from fer.runtime.errors import InputError

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral", "contempt")
FOLDS = ("train", "valid", "test", "unlabelled", "excluded")
ENSEMBLE = "ensemble"  # key of the ensemble in metrics, beside the names of its members

_ALIASES = {
    "angry": ("anger", "an"),
    "disgust": ("disgusted", "di"),
    "fear": ("fearful", "afraid", "scared", "fe", "af"),
    "happy": ("happiness", "joy", "ha"),
    "sad": ("sadness", "sa"),
    "surprise": ("surprised", "su"),
    "neutral": ("normal", "ne"),
    "contempt": ("contemptuous",),
}
EMOTION_ALIASES = {name: emotion for emotion, aliases in _ALIASES.items() for name in (emotion, *aliases)}


def member_name(network: str, replica: int) -> str:
    """Return the name of a member of the ensemble: of its stages, folder, predictions and metrics."""
    return f"{network}-{replica}"


def parse_emotion(name: str) -> str | None:
    """Return the emotion that a word stands for ("Happiness" → "happy"), or None."""
    return EMOTION_ALIASES.get(name.strip().casefold())


def encode_labels(labels: Collection[str], emotions: Sequence[str]) -> Int[np.ndarray, " n"]:
    """Return the index of each label in `emotions`, -1 for an empty label.

    Raises:
        InputError: A label is not in `emotions`.
    """
    import pandas as pd  # whoever has labels to encode has read a table with it

    codes = {emotion: code for code, emotion in enumerate(emotions)} | {"": -1}
    number, names = pd.factorize(np.asarray(labels, dtype=object))
    if unknown := set(names) - codes.keys():
        raise InputError(f"{sorted(unknown)[0]!r} is not one of the emotions {', '.join(emotions)}; run `dvc repro`")
    return np.array([codes[name] for name in names], dtype=np.int64)[number]


def target_prior(alignment: str, valid_prior: Float[np.ndarray, " classes"]) -> Float[np.ndarray, " classes"] | None:
    """Return the class frequencies that `alignment` asks for, or None if it leaves them as they are."""
    match alignment:
        case "valid":
            return valid_prior
        case "uniform":
            return np.full(len(valid_prior), 1 / len(valid_prior))
    return None


def parse_votes(votes: Collection[str], emotions: Sequence[str]) -> Float[np.ndarray, "n classes"]:
    """Return the share of each emotion among the votes for `emotions`; zeros if there are none.

    Votes are written as "sad:6 fear:3 unknown:1".
    """
    shares = np.zeros((len(votes), len(emotions)), dtype=np.float32)
    codes = {emotion: code for code, emotion in enumerate(emotions)}
    for row, text in enumerate(votes):
        for vote in text.split():
            emotion, _, count = vote.partition(":")
            if emotion in codes:
                shares[row, codes[emotion]] = int(count)
    return shares / shares.sum(axis=1, keepdims=True).clip(min=1)


Emotion = Literal["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral", "contempt"]
