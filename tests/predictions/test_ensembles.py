"""Stored predictions, and the vote of several networks."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer.predictions.calibration import compute_probs, cross_fit_probs, fit_temperature
from fer.predictions.ensembles import average_probs, calibrate_ensemble, read_stored_logits
from fer.runtime.errors import InputError

EMOTIONS = ["angry", "happy", "neutral"]


ALONE = {"net": 1.0}


def equal_vote(probs: list[np.ndarray]) -> np.ndarray:
    names = [f"network_{place}" for place in range(len(probs))]
    return average_probs(dict(zip(names, probs, strict=True)), dict.fromkeys(names, 0.5))


def some_logits(seed: int, n: int = 60) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 2, 3)).astype(np.float32) * 3


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=4))
def test_the_vote_lies_between_the_voters_and_sums_to_1(seeds):
    probs = [compute_probs(some_logits(seed), 1.0) for seed in seeds]
    voted = equal_vote(probs)
    assert voted.dtype == np.float32
    assert (voted <= np.max(probs, axis=0) + 1e-6).all()
    assert (voted >= np.min(probs, axis=0) - 1e-6).all()
    np.testing.assert_allclose(voted.sum(axis=1), 1, atol=1e-6)


def test_one_voter_decides_alone():
    probs = compute_probs(some_logits(0), 1.0)
    np.testing.assert_array_equal(equal_vote([probs]), probs)


def test_a_voter_counts_by_its_weight_and_not_at_all_without():
    one, other = (compute_probs(some_logits(seed), 1.0) for seed in range(2))
    weighed = average_probs({"one": one, "other": other}, {"one": 3.0, "other": 1.0})
    np.testing.assert_array_equal(weighed, equal_vote([one, one, one, other]))
    np.testing.assert_array_equal(average_probs({"one": one, "other": other}, {"one": 0.0, "other": 2.0}), other)


def test_the_order_of_the_voters_does_not_matter():
    probs = [compute_probs(some_logits(seed), 1.0) for seed in range(2)]
    np.testing.assert_array_equal(equal_vote(probs), equal_vote(probs[::-1]))


def test_each_network_has_its_own_temperature_and_votes_with_calibrated_probabilities():
    logits = {"sharp": some_logits(0) * 5, "shy": some_logits(0) / 5}
    labels = np.random.default_rng(1).integers(0, 3, 60)
    valid = np.arange(60) < 20
    calibrated = calibrate_ensemble(logits, labels, valid, 0, {"sharp": 1.0, "shy": 1.0})
    assert list(calibrated.temperatures) == ["sharp", "shy"]
    for network, said in logits.items():
        temperature = fit_temperature(said[valid], labels[valid])
        assert calibrated.temperatures[network] == temperature
        np.testing.assert_array_equal(calibrated.probs[network][~valid], compute_probs(said[~valid], temperature))
    np.testing.assert_array_equal(calibrated.ensemble_probs, equal_vote(list(calibrated.probs.values())))


def test_validation_faces_are_cross_fitted():
    logits = {"net": some_logits(0)}
    labels = np.random.default_rng(1).integers(0, 3, 60)
    valid = np.arange(60) % 2 == 0
    probs = calibrate_ensemble(logits, labels, valid, 5, ALONE).probs["net"]
    np.testing.assert_array_equal(probs[valid], cross_fit_probs(logits["net"][valid], labels[valid], seed=5))


def test_labels_outside_validation_are_not_read():
    logits = {"net": some_logits(0)}
    labels = np.random.default_rng(1).integers(0, 3, 60)
    valid = np.arange(60) < 20
    hidden = np.where(valid, labels, -1)
    np.testing.assert_array_equal(
        calibrate_ensemble(logits, labels, valid, 0, ALONE).ensemble_probs,
        calibrate_ensemble(logits, hidden, valid, 0, ALONE).ensemble_probs,
    )


def test_without_validation_faces_the_user_is_told_what_to_do():
    with pytest.raises(InputError, match=r"validation fold has no faces.*unify\.valid"):
        calibrate_ensemble({"net": some_logits(0)}, np.zeros(60, np.int64), np.zeros(60, bool), 0, ALONE)


def write(folder: Path, logits: np.ndarray, **changed: object) -> None:
    facts = {"network": "net", "weights_sha256": "ab", "views": ["plain", "flip"], "emotions": EMOTIONS} | changed
    np.save(folder / "net.npy", logits)
    (folder / "net.json").write_text(json.dumps(facts))


def test_predictions_are_read_in_the_order_of_the_networks(tmp_path):
    write(tmp_path, some_logits(0))
    write(tmp_path, some_logits(1), network="other")
    for suffix in (".npy", ".json"):
        (tmp_path / f"net{suffix}").rename(tmp_path / f"other{suffix}")
    write(tmp_path, some_logits(0))
    read = read_stored_logits(tmp_path, ["other", "net"], EMOTIONS, 60)
    assert list(read) == ["other", "net"]
    np.testing.assert_array_equal(read["other"].logits, some_logits(1))
    assert read["net"].weights_sha256 == "ab"


def test_predictions_of_no_faces_are_read(tmp_path):
    write(tmp_path, some_logits(0, n=0))
    assert read_stored_logits(tmp_path, ["net"], EMOTIONS, 0)["net"].logits.shape == (0, 2, 3)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"emotions": EMOTIONS[::-1]}, r"net\.json: emotions is .*'neutral', 'happy', 'angry'.*should be .*dvc repro"),
        ({"emotions": None}, r"net\.json: emotions is None"),
        ({"network": "other"}, r"net\.json: network is other, but should be net"),
        ({"views": ["plain"]}, r"net\.npy: has shape \(60, 2, 3\).* is \(60, 1, 3\)"),
        ({"views": 2}, r"net\.json: views is 2, but should be a list"),
        ({"weights_sha256": None}, r"net\.json: weights_sha256 is None"),
    ],
)
def test_facts_that_do_not_fit_are_named(tmp_path, changed, message):
    write(tmp_path, some_logits(0), **changed)
    with pytest.raises(InputError, match=message):
        read_stored_logits(tmp_path, ["net"], EMOTIONS, 60)


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (some_logits(0, n=59), r"net\.npy: has shape \(59, 2, 3\).* is \(60, 2, 3\)"),
        (some_logits(0)[:, 0], r"net\.npy: has shape \(60, 3\)"),
        (some_logits(0).astype(np.float64), r"net\.npy: holds float64"),
        (
            np.where(np.arange(60)[:, None, None] == 7, np.float32(np.nan), some_logits(0)),
            r"net\.npy: row 7 is not finite",
        ),
    ],
)
def test_arrays_that_do_not_fit_are_named(tmp_path, logits, message):
    write(tmp_path, logits)
    with pytest.raises(InputError, match=message):
        read_stored_logits(tmp_path, ["net"], EMOTIONS, 60)


@pytest.mark.parametrize("name", ["net.npy", "net.json"])
@pytest.mark.parametrize("content", [None, b"", b"[1", b"\x93NUMPY\x01\x00"])
def test_missing_and_damaged_files_are_named(tmp_path, name, content):
    write(tmp_path, some_logits(0))
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name}: .*dvc repro"):
        read_stored_logits(tmp_path, ["net"], EMOTIONS, 60)


def test_a_truncated_array_is_named(tmp_path):
    write(tmp_path, some_logits(0))
    (tmp_path / "net.npy").write_bytes((tmp_path / "net.npy").read_bytes()[:-4])
    with pytest.raises(InputError, match=r"net\.npy: not an array"):
        read_stored_logits(tmp_path, ["net"], EMOTIONS, 60)
