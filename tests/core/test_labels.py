"""Names and codes of emotions, and votes."""

import pytest

from fer.core import labels
from fer.runtime.errors import InputError


@pytest.mark.parametrize(
    ("word", "emotion"),
    [("Happiness", "happy"), (" anger ", "angry"), ("SU", "surprise"), ("normal", "neutral"), ("7", None), ("", None)],
)
def test_aliases_are_understood_and_numbers_are_not(word: str, emotion: str | None) -> None:
    assert labels.parse_emotion(word) == emotion


def test_every_alias_stands_for_an_emotion() -> None:
    assert set(labels.EMOTION_ALIASES.values()) == set(labels.EMOTIONS)
    assert all(labels.parse_emotion(emotion) == emotion for emotion in labels.EMOTIONS)


def test_codes_are_positions_in_the_emotions() -> None:
    assert labels.encode_labels(["sad", "", "angry"], ("angry", "sad")).tolist() == [1, -1, 0]
    assert labels.encode_labels(["sad", "", "angry"], ("sad", "angry")).tolist() == [0, -1, 1], "in their order"


def test_a_label_outside_the_emotions_is_reported() -> None:
    with pytest.raises(InputError, match="'contempt' is not one of the emotions angry, sad"):
        labels.encode_labels(["contempt"], ("angry", "sad"))


def test_votes_become_shares_of_the_emotions() -> None:
    votes = ["sad:6 fear:2 unknown:2", "", "contempt:10", "fear:10"]
    assert labels.parse_votes(votes, ("fear", "sad")).tolist() == [[0.25, 0.75], [0, 0], [0, 0], [1, 0]]
