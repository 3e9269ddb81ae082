"""Reading stored logits, and the ensemble of several networks."""

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
SINGLE_WEIGHT = {"net": 1.0}


def equal_mean(probs: list[np.ndarray]) -> np.ndarray:
    names = [f"network_{place}" for place in range(len(probs))]
    return average_probs(dict(zip(names, probs, strict=True)), dict.fromkeys(names, 0.5))


def random_logits(seed: int, n: int = 60) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 2, 3)).astype(np.float32) * 3


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=4))
def test_the_mean_lies_between_the_networks_and_sums_to_1(seeds):
    probs = [compute_probs(random_logits(seed), 1.0) for seed in seeds]
    mean = equal_mean(probs)
    assert mean.dtype == np.float32
    assert (mean <= np.max(probs, axis=0) + 1e-6).all()
    assert (mean >= np.min(probs, axis=0) - 1e-6).all()
    np.testing.assert_allclose(mean.sum(axis=1), 1, atol=1e-6)


def test_the_ensemble_of_one_network_is_that_network():
    probs = compute_probs(random_logits(0), 1.0)
    np.testing.assert_array_equal(equal_mean([probs]), probs)


def test_networks_count_by_their_weight():
    first, second = (compute_probs(random_logits(seed), 1.0) for seed in range(2))
    probs = {"first": first, "second": second}
    weighted = average_probs(probs, {"first": 3.0, "second": 1.0})
    np.testing.assert_array_equal(weighted, equal_mean([first, first, first, second]))
    np.testing.assert_array_equal(average_probs(probs, {"first": 0.0, "second": 2.0}), second)


def test_the_order_of_the_networks_does_not_matter():
    probs = [compute_probs(random_logits(seed), 1.0) for seed in range(2)]
    np.testing.assert_array_equal(equal_mean(probs), equal_mean(probs[::-1]))


def test_each_network_is_calibrated_before_averaging():
    logits = {"sharp": random_logits(0) * 5, "flat": random_logits(0) / 5}
    labels = np.random.default_rng(1).integers(0, 3, 60)
    valid = np.arange(60) < 20
    calibrated = calibrate_ensemble(logits, labels, valid, 0, {"sharp": 1.0, "flat": 1.0})
    assert list(calibrated.temperatures) == ["sharp", "flat"]
    for name, network_logits in logits.items():
        temperature = fit_temperature(network_logits[valid], labels[valid])
        assert calibrated.temperatures[name] == temperature
        expected = compute_probs(network_logits[~valid], temperature)
        np.testing.assert_array_equal(calibrated.probs[name][~valid], expected)
    np.testing.assert_array_equal(calibrated.ensemble_probs, equal_mean(list(calibrated.probs.values())))


def test_validation_faces_are_cross_fitted():
    logits = {"net": random_logits(0)}
    labels = np.random.default_rng(1).integers(0, 3, 60)
    valid = np.arange(60) % 2 == 0
    probs = calibrate_ensemble(logits, labels, valid, 5, SINGLE_WEIGHT).probs["net"]
    np.testing.assert_array_equal(probs[valid], cross_fit_probs(logits["net"][valid], labels[valid], seed=5))


def test_labels_outside_validation_are_not_read():
    logits = {"net": random_logits(0)}
    labels = np.random.default_rng(1).integers(0, 3, 60)
    valid = np.arange(60) < 20
    hidden = np.where(valid, labels, -1)
    np.testing.assert_array_equal(
        calibrate_ensemble(logits, labels, valid, 0, SINGLE_WEIGHT).ensemble_probs,
        calibrate_ensemble(logits, hidden, valid, 0, SINGLE_WEIGHT).ensemble_probs,
    )


def test_missing_validation_faces_are_reported_with_a_remedy():
    with pytest.raises(InputError, match=r"validation fold has no faces.*unify\.valid"):
        calibrate_ensemble({"net": random_logits(0)}, np.zeros(60, np.int64), np.zeros(60, bool), 0, SINGLE_WEIGHT)


def write(folder: Path, logits: np.ndarray, **changed: object) -> None:
    manifest = {
        "network": "net",
        "replica": 0,
        "weights_sha256": "ab",
        "views": ["plain", "flip"],
        "emotions": EMOTIONS,
    } | changed
    np.save(folder / "net-0.npy", logits)
    (folder / "net-0.json").write_text(json.dumps(manifest))


def test_predictions_are_read_in_the_order_of_the_networks(tmp_path):
    write(tmp_path, random_logits(0))
    write(tmp_path, random_logits(1), network="other", replica=2)
    for suffix in (".npy", ".json"):
        (tmp_path / f"net-0{suffix}").rename(tmp_path / f"other-2{suffix}")
    write(tmp_path, random_logits(0))
    predictions = read_stored_logits(tmp_path, ["other-2", "net-0"], EMOTIONS, 60)
    assert list(predictions) == ["other-2", "net-0"]
    np.testing.assert_array_equal(predictions["other-2"].logits, random_logits(1))
    assert predictions["net-0"].weights_sha256 == "ab"


def test_predictions_of_no_faces_are_read(tmp_path):
    write(tmp_path, random_logits(0, n=0))
    assert read_stored_logits(tmp_path, ["net-0"], EMOTIONS, 0)["net-0"].logits.shape == (0, 2, 3)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"emotions": EMOTIONS[::-1]},
            r"net-0\.json: emotions is .*'neutral', 'happy', 'angry'.*should be .*dvc repro",
        ),
        ({"emotions": None}, r"net-0\.json: emotions is None"),
        ({"network": "other"}, r"net-0\.json: member is other-0, but should be net-0"),
        ({"replica": 1}, r"net-0\.json: member is net-1, but should be net-0"),
        ({"views": ["plain"]}, r"net-0\.npy: has shape \(60, 2, 3\).* is \(60, 1, 3\)"),
        ({"views": 2}, r"net-0\.json: views is 2, but should be a list"),
        ({"weights_sha256": None}, r"net-0\.json: weights_sha256 is None"),
    ],
)
def test_a_wrong_manifest_is_reported(tmp_path, changed, message):
    write(tmp_path, random_logits(0), **changed)
    with pytest.raises(InputError, match=message):
        read_stored_logits(tmp_path, ["net-0"], EMOTIONS, 60)


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (random_logits(0, n=59), r"net-0\.npy: has shape \(59, 2, 3\).* is \(60, 2, 3\)"),
        (random_logits(0)[:, 0], r"net-0\.npy: has shape \(60, 3\)"),
        (random_logits(0).astype(np.float64), r"net-0\.npy: holds float64"),
        (
            np.where(np.arange(60)[:, None, None] == 7, np.float32(np.nan), random_logits(0)),
            r"net-0\.npy: row 7 is not finite",
        ),
    ],
)
def test_a_wrong_array_is_reported(tmp_path, logits, message):
    write(tmp_path, logits)
    with pytest.raises(InputError, match=message):
        read_stored_logits(tmp_path, ["net-0"], EMOTIONS, 60)


@pytest.mark.parametrize("name", ["net-0.npy", "net-0.json"])
@pytest.mark.parametrize("content", [None, b"", b"[1", b"\x93NUMPY\x01\x00"])
def test_missing_and_damaged_files_are_reported(tmp_path, name, content):
    write(tmp_path, random_logits(0))
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name}: .*dvc repro"):
        read_stored_logits(tmp_path, ["net-0"], EMOTIONS, 60)


def test_a_truncated_array_is_reported(tmp_path):
    write(tmp_path, random_logits(0))
    (tmp_path / "net-0.npy").write_bytes((tmp_path / "net-0.npy").read_bytes()[:-4])
    with pytest.raises(InputError, match=r"net-0\.npy: not an array"):
        read_stored_logits(tmp_path, ["net-0"], EMOTIONS, 60)
