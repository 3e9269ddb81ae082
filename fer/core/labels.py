"""The emotions, their order and other names, and the table that says for every face what it is.

Row i of the table is face i of `faces.npy`, of every prediction and of every pseudo-label.
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
ENSEMBLE = "ensemble"  # its key in metrics, beside its networks'

_OTHER_NAMES = {
    "angry": ("anger", "an"),
    "disgust": ("disgusted", "di"),
    "fear": ("fearful", "afraid", "scared", "fe", "af"),
    "happy": ("happiness", "joy", "ha"),
    "sad": ("sadness", "sa"),
    "surprise": ("surprised", "su"),
    "neutral": ("normal", "ne"),
    "contempt": ("contemptuous",),
}
EMOTION_ALIASES = {name: emotion for emotion, others in _OTHER_NAMES.items() for name in (emotion, *others)}

TABLE_COLUMNS = ("id", "source", "fold", "emotion", "votes", "group", "twin_in_train", "reason")


def parse_emotion(name: str) -> str | None:
    """The emotion that a word stands for ("Happiness" → "happy"), or None where it stands for none."""
    return EMOTION_ALIASES.get(name.strip().casefold())


def encode_labels(labels: Sequence[str] | pd.Series, emotions: Sequence[str]) -> Int[np.ndarray, " n"]:
    """Class index of each name in `emotions`, -1 for an empty name.

    Raises:
        InputError: a name is none of them.
    """
    code_of = {emotion: code for code, emotion in enumerate(emotions)} | {"": -1}
    if unknown := set(labels) - code_of.keys():
        raise InputError(f"{sorted(unknown)[0]!r} is none of the emotions {', '.join(emotions)}; run `dvc repro`")
    return np.fromiter((code_of[name] for name in labels), dtype=np.int64, count=len(labels))


def target_prior(alignment: str, valid_prior: Float[np.ndarray, " classes"]) -> Float[np.ndarray, " classes"] | None:
    """How frequent `alignment` has each emotion; None where it has them as they come."""
    match alignment:
        case "valid":
            return valid_prior
        case "uniform":
            return np.full(len(valid_prior), 1 / len(valid_prior))
    return None


def parse_votes(votes: Sequence[str] | pd.Series, emotions: Sequence[str]) -> Float[np.ndarray, "n classes"]:
    """The share of each emotion among the votes for the `emotions`; zeros where there are no such votes.

    A vote is written "sad:6 fear:3 unknown:1".
    """
    shares = np.zeros((len(votes), len(emotions)), dtype=np.float32)
    code_of = {emotion: code for code, emotion in enumerate(emotions)}
    for row, text in enumerate(votes):
        for vote in text.split():
            emotion, _, count = vote.partition(":")
            if emotion in code_of:
                shares[row, code_of[emotion]] = int(count)
    return shares / shares.sum(axis=1, keepdims=True).clip(min=1)


def read_table(path: Path) -> pd.DataFrame:
    """The table that `unify` wrote, with `COLUMNS`; missing text is "", `twin_in_train` is boolean.

    Raises:
        InputError: it has other columns, or a face of a labelled fold has no label.
    """
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if tuple(table.columns) != TABLE_COLUMNS:
        raise InputError(
            f"{path}: has the columns {', '.join(table.columns)}, not {', '.join(TABLE_COLUMNS)}; run `dvc repro`"
        )
    bare = np.flatnonzero(table["fold"].isin(FOLDS[:3]) & (table["emotion"] == ""))
    if len(bare):
        raise InputError(f"{path}: line {bare[0] + 2} is of a labelled fold but has no emotion; run `dvc repro`")
    table["twin_in_train"] = table["twin_in_train"] == "True"
    return table


def read_truth(path: Path) -> pd.Series:
    """The emotion of each hidden-label face, "" where none is known. For `evaluate` alone."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)["emotion"]


Emotion = Literal["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral", "contempt"]
