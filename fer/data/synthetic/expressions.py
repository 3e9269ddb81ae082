"""Emotions as facial action units (Ekman and Friesen, Facial Action Coding System, 1978).

Action units move only brows, lids, nose, cheeks and mouth.
"""

from collections.abc import Mapping

import numpy as np

ActionUnits = Mapping[int, float]  # action unit -> strength, where 1 is full

# Each emotion is shown by one of these variants, drawn at random.
EXPRESSION_VARIANTS: dict[str, tuple[ActionUnits, ...]] = {
    "angry": (
        {4: 1.0, 5: 0.2, 7: 0.6, 17: 0.3, 24: 1.0},
        {4: 1.0, 5: 0.3, 7: 0.4, 10: 0.3, 16: 0.9, 25: 0.7},
        {4: 1.0, 5: 0.5, 10: 0.5, 16: 0.7, 27: 0.6},
    ),
    "disgust": (
        {4: 0.5, 7: 0.6, 9: 1.0, 10: 0.9, 15: 0.5, 17: 0.4},
        {4: 0.4, 7: 0.7, 9: 1.0, 10: 1.0, 15: 0.3, 25: 0.5},
        {4: 0.3, 7: 0.9, 9: 1.0, 10: 0.6, 15: 0.7, 24: 0.4, 43: 0.5},
    ),
    "fear": (
        {1: 1.0, 2: 0.5, 4: 0.5, 5: 1.0, 16: 0.3, 20: 1.0, 25: 0.3},
        {1: 1.0, 2: 0.6, 4: 0.4, 5: 0.9, 20: 0.8, 25: 0.8},
        {1: 1.0, 2: 0.3, 4: 0.7, 5: 1.0, 16: 0.3, 20: 0.7, 27: 0.4},
    ),
    "happy": ({6: 0.8, 12: 1.0}, {6: 1.0, 12: 1.0, 25: 0.8}, {1: 0.4, 2: 0.5, 6: 0.6, 12: 1.0, 25: 0.6, 27: 0.3}),
    "sad": (
        {1: 1.0, 4: 0.4, 15: 1.0, 17: 0.4, 43: 0.3},
        {1: 0.9, 4: 0.5, 7: 0.3, 15: 0.9, 17: 0.7},
        {1: 1.0, 4: 0.6, 6: 0.5, 15: 0.9, 20: 0.4, 25: 0.5, 43: 0.5},
    ),
    "surprise": (
        {1: 0.9, 2: 1.0, 5: 0.9, 27: 1.0},
        {1: 1.0, 2: 1.0, 5: 1.0, 25: 0.2, 27: 0.6},
        {1: 1.0, 2: 1.0, 5: 0.8, 27: 0.45},
    ),
    "neutral": ({},),
}
ACTION_UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 15, 16, 17, 20, 24, 25, 27, 43)
UPPER_FACE_UNITS = {1, 2, 4, 5, 7, 43}  # brows and lids, whose intensity differs from the rest of the face


def sample_expression(emotion: str, intensity: float, rng: np.random.Generator) -> dict[int, float]:
    """Return the strength of each action unit for a random variant of the emotion, with random activity added."""
    variant = EXPRESSION_VARIANTS[emotion][int(rng.random() * len(EXPRESSION_VARIANTS[emotion]))]
    upper, lower = intensity * rng.uniform(0.65, 1.15, 2)
    units = {
        unit: variant.get(unit, 0.0) * (upper if unit in UPPER_FACE_UNITS else lower) * rng.uniform(0.7, 1.1)
        for unit in ACTION_UNITS
    }
    for unit in (1, 2, 4, 5, 7, 12, 15, 17, 24):
        units[unit] += abs(rng.normal(0, 0.06))
    talk_chance, blink_chance = rng.random(2)
    units[25] += (talk_chance < 0.15) * rng.uniform(0, 0.5)
    units[43] += (blink_chance < 0.08) * rng.uniform(0.3, 1.0)
    return units
