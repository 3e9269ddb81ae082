"""The same seed gives every network the same weights, to the bit, also where its training was cut short."""

import pytest

from tests.robustness.lies import NAMES, trained_weights_hash


@pytest.mark.parametrize("name", ["simple_cnn", "improved_se", "mobilenet"])
def test_a_network_is_trained_to_the_same_bytes_twice_and_with_a_break(name: str) -> None:
    assert name in NAMES
    once = trained_weights_hash(name)
    assert trained_weights_hash(name) == once
    assert trained_weights_hash(name, cut_at=2) == once
    assert trained_weights_hash(name, seed=1) != once
