"""The emotions, their order and aliases, and the table with the fold and label of every face.

Row i of the table belongs to face i in `faces.npy`, in every prediction and in every pseudo-label.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from fer.runtime.errors import InputError

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral", "contempt")
FOLDS = ("train", "valid", "test", "unlabelled", "excluded")
ENSEMBLE = "ensemble"  # key of the ensemble in metrics, beside the names of its networks

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

TABLE_COLUMNS = ("id", "source", "fold", "emotion", "votes", "group", "twin_in_train", "reason")


def parse_emotion(name: str) -> str | None:
    """Return the emotion that a word stands for ("Happiness" → "happy"), or None."""
    return EMOTION_ALIASES.get(name.strip().casefold())


def encode_labels(labels: Sequence[str] | pd.Series, emotions: Sequence[str]) -> Int[np.ndarray, " n"]:
    """Return the index of each label in `emotions`, -1 for an empty label.

    Raises:
        InputError: A label is not in `emotions`.
    """
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


def parse_votes(votes: Sequence[str] | pd.Series, emotions: Sequence[str]) -> Float[np.ndarray, "n classes"]:
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


def read_table(path: Path) -> pd.DataFrame:
    """Return the table that `unify` wrote, with `TABLE_COLUMNS`; missing text is "", `twin_in_train` is boolean.

    Raises:
        InputError: The table has other columns, or a face in a labelled fold has no label.
    """
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if tuple(table.columns) != TABLE_COLUMNS:
        raise InputError(
            f"{path}: columns are {', '.join(table.columns)}, not {', '.join(TABLE_COLUMNS)}; run `dvc repro`"
        )
    unlabelled = np.flatnonzero(table["fold"].isin(FOLDS[:3]) & (table["emotion"] == ""))
    if len(unlabelled):
        raise InputError(f"{path}: line {unlabelled[0] + 2} is in a labelled fold but has no emotion; run `dvc repro`")
    table["twin_in_train"] = table["twin_in_train"] == "True"
    return table


def read_truth(path: Path) -> pd.Series:
    """Return the emotion of each face with a hidden label, "" if unknown. Only `evaluate` may read it."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)["emotion"]


Emotion = Literal["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral", "contempt"]
