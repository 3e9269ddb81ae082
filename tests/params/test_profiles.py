"""Profiles change precision, batches and what depends on the batch, and lead back to the old values."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer.cli.profile import NAMES
from fer.params import load_params
from fer.params.profiles import (
    MAX_ADAPTIVE_RATE,
    PROFILES,
    SHIPPED_RATE,
    faster_profile_hint,
    profile_changes,
    scale_decay,
    scale_rate,
)
from fer.runtime.yaml_files import read_yaml

FILE = Path(__file__).parents[2] / "params.yaml"
rates = st.floats(1e-5, 1).map(lambda rate: float(f"{rate:.3g}"))
batches = st.sampled_from([8, 32, 64, 512])


def apply(content: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a copy of a params.yaml with a profile applied."""
    content = deepcopy(content)  # keeps sections that are shared
    for key, (old, new) in profile_changes(content, name).items():
        *sections, last = key.split(".")
        section: Any = content
        for part in sections:
            section = section[int(part) if isinstance(section, list) else part]
        assert section[last] == old
        section[last] = new
    return content


def test_the_profile_cpu_is_the_shipped_file() -> None:
    params = load_params(FILE)
    assert tuple(PROFILES) == NAMES
    assert PROFILES["cpu"] == (params.precision, params.train.batch, params.predict.batch)
    assert params.train.optimizer.lr == SHIPPED_RATE
    assert profile_changes(read_yaml(FILE), "cpu") == {}


def test_the_profile_gpu_scales_the_shipped_recipe_and_what_networks_share_once() -> None:
    assert profile_changes(read_yaml(FILE), "gpu") == {
        "precision": ("fp32", "bf16"),
        "train.batch": (32, 512),
        "train.optimizer.lr": (3e-3, 5e-3),
        "train.ema": (0.95, 0.44),
        "networks.resnet50v2.transfer.phases.0.lr": (1e-3, 4e-3),
        "networks.resnet50v2.transfer.phases.1.lr": (5e-4, 2e-3),
        "networks.resnet50v2.transfer.phases.2.lr": (5e-5, 2e-4),
        "predict.batch": (256, 4096),
    }


def test_networks_scale_what_they_override_by_the_factor_of_train() -> None:
    content = read_yaml(FILE)
    content["networks"]["shallow"] = {"batch": 20, "optimizer": {"kind": "sgd", "lr": 0.05}, "ema": 0.5}
    content["networks"]["deeper"] = None
    content["networks"]["mobilenet"] = {
        "optimizer": {"kind": "sgd", "lr": 0.1},
        "transfer": {"phases": [{"lr": 0.002}]},
    }
    content["networks"]["se"] = {"transfer": None, "ema": 0, "optimizer": {"kind": "adadelta", "lr": 1}}
    changes = profile_changes(content, "cpu-bf16")
    own = ("networks.shallow", "networks.deeper", "networks.mobilenet", "networks.se.")
    assert {key: new for key, (_, new) in changes.items() if key.startswith(own)} == {
        "networks.shallow.batch": 40,
        "networks.shallow.optimizer.lr": 0.1,
        "networks.shallow.ema": 0.25,
        "networks.mobilenet.optimizer.lr": 0.2,
        "networks.mobilenet.transfer.phases.0.lr": 0.004,
    }


def test_a_profile_that_is_set_changes_nothing_more() -> None:
    for name in PROFILES:
        content = apply(read_yaml(FILE), name)
        content["train"]["ema"] = 0.123456
        assert profile_changes(content, name) == {}


@pytest.mark.parametrize("path", [["gpu", "cpu"], ["cpu-bf16", "cpu"], ["gpu", "cpu-bf16", "gpu", "cpu-bf16", "cpu"]])
def test_the_way_back_leads_to_the_shipped_file(path: list[str]) -> None:
    content = read_yaml(FILE)
    for name in path:
        content = apply(content, name)
    assert content == read_yaml(FILE)


@pytest.mark.parametrize(
    ("kind", "rate", "k", "scaled"),
    [
        ("sgd", 0.05, 16.0, 0.8),
        ("adamw", 1e-3, 16.0, 4e-3),
        ("adam", 1e-3, 16.0, 4e-3),
        ("rmsprop", 4e-3, 1 / 16, 1e-3),
        ("adamw", 2e-3, 16.0, MAX_ADAPTIVE_RATE),
        ("adadelta", 1.0, 16.0, 1.0),
        ("adadelta", 1.0, 1 / 16, 1.0),
    ],
)
def test_rates_follow_the_batch(kind: str, rate: float, k: float, scaled: float) -> None:
    assert scale_rate(rate, kind, k, 32) == scaled


@given(st.sampled_from(["sgd", "adamw"]), rates, batches, batches)
def test_a_rate_comes_back(kind: str, rate: float, old: int, new: int) -> None:
    scaled = scale_rate(rate, kind, new / old, new)
    if kind == "sgd" or scaled != MAX_ADAPTIVE_RATE:
        assert scale_rate(scaled, kind, old / new, old) == pytest.approx(rate, rel=1e-3)
        assert kind == "sgd" or scaled <= max(rate, MAX_ADAPTIVE_RATE)


@given(st.floats(0.01, 0.9999), batches, batches)
def test_a_decay_comes_back(decay: float, old: int, new: int) -> None:
    scaled = scale_decay(decay, new / old)
    assert 0 < scaled < 1
    back = scale_decay(scaled, old / new)
    assert back == pytest.approx(decay, rel=5e-3)
    assert 1 - back == pytest.approx(1 - decay, rel=5e-3)


@given(st.sampled_from([0.0, 0.5, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9999]), batches, batches)
def test_a_usual_decay_comes_back_exactly(decay: float, old: int, new: int) -> None:
    assert scale_decay(scale_decay(decay, new / old), old / new) == decay


@pytest.mark.parametrize(
    ("changes", "device", "has_bf16", "profile"),
    [
        ({}, "cuda", True, "gpu"),
        ({"precision": "bf16"}, "cuda", True, "gpu"),
        ({"precision": "bf16", "batch": 256}, "cuda", True, None),
        ({"batch": 256}, "cuda", True, "gpu"),
        ({}, "cuda", False, None),
        ({}, "cpu", True, "cpu-bf16"),
        ({}, "cpu", False, None),
        ({}, "cpu", None, None),
        ({"precision": "bf16"}, "cpu", True, None),
        ({}, "mps", None, None),
    ],
)
def test_a_faster_profile_is_named_if_there_is_one(
    changes: dict[str, Any], device: str, has_bf16: bool | None, profile: str | None
) -> None:
    params = load_params(FILE)
    train = params.train.model_copy(update={"batch": changes.get("batch", 32)})
    params = params.model_copy(update={"precision": changes.get("precision", "fp32"), "train": train})
    hint = faster_profile_hint(params, "improved_se-0", device, has_bf16)
    assert hint is None if profile is None else f"run `fer profile {profile}`" in str(hint)


def test_only_the_first_member_of_the_ensemble_names_it() -> None:
    params = load_params(FILE).model_copy(update={"ensemble": {"se": 1.0, "improved_se": 1.0}, "replicas": [1, 2]})
    assert faster_profile_hint(params, "se-1", "cuda", True)
    assert faster_profile_hint(params, "se-2", "cuda", True) is None
    assert faster_profile_hint(params, "improved_se-1", "cuda", True) is None
