"""The same seed gives a network bit-identical weights, also if its training is interrupted."""

import pytest

from tests.robustness.lies import NAMES, trained_weights_hash


@pytest.mark.parametrize("name", ["simple_cnn", "improved_se", "mobilenet"])
def test_training_is_reproducible_also_after_an_interruption(name: str) -> None:
    assert name in NAMES
    expected = trained_weights_hash(name)
    assert trained_weights_hash(name) == expected
    assert trained_weights_hash(name, cut_at=2) == expected
    assert trained_weights_hash(name, seed=1) != expected
