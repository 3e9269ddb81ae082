"""Profiles of `params.yaml`: precision and batch sizes for a kind of device, and what has to change with the batch."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from fer.params.sections import Params


class Profile(NamedTuple):
    precision: str
    batch: int  # of training
    predict_batch: int


PROFILES = {"gpu": Profile("bf16", 512, 4096), "cpu-bf16": Profile("bf16", 64, 256), "cpu": Profile("fp32", 32, 256)}
MIN_GPU_BATCH = 256  # with a smaller one a GPU waits for the host
MAX_ADAPTIVE_RATE = 5e-3
SHIPPED_RATE = 3e-3  # at the batch of the profile `cpu`


def profile_changes(content: Mapping[str, Any], name: str) -> dict[str, tuple[Any, Any]]:
    """Return the old and the new value of each key of a params.yaml that a profile changes, by its dotted key.

    With k = new ÷ old `train.batch`, the batches of `networks` are multiplied by k too, and learning rates and EMA
    decays of `train` and `networks` follow as in `scale_rate` and `scale_decay`. `retrain` has none of its own. A
    section that several networks share by an alias occurs once, under the first of them.

    The way back leads to the old values, rounded to three digits, with one exception: `MAX_ADAPTIVE_RATE` does not
    tell from which rate it was cut, and becomes the shipped one.
    """
    profile, train = PROFILES[name], content["train"]
    k = profile.batch / train["batch"]
    changes: dict[tuple[int, str], tuple[str, Any, Any]] = {}  # by identity of the section and name

    def change(prefix: str, section: Mapping[str, Any], key: str, value: Any) -> None:
        changes.setdefault((id(section), key), (f"{prefix}{key}", section[key], value))

    change("", content, "precision", profile.precision)
    rows = {f"networks.{network}.": row or {} for network, row in content["networks"].items()}
    for prefix, row in ({"train.": train} | rows).items() if k != 1 else ():
        kind = row.get("optimizer", train["optimizer"])["kind"]
        if "batch" in row:
            change(prefix, row, "batch", max(2, round(row["batch"] * k)))
        if "optimizer" in row:
            rate = scale_rate(float(row["optimizer"]["lr"]), kind, k, profile.batch)
            change(f"{prefix}optimizer.", row["optimizer"], "lr", rate)
        for index, phase in enumerate((row.get("transfer") or {"phases": []})["phases"]):
            rate = scale_rate(float(phase["lr"]), kind, k, profile.batch)
            change(f"{prefix}transfer.phases.{index}.", phase, "lr", rate)
        if "ema" in row:
            change(prefix, row, "ema", scale_decay(float(row["ema"]), k))
    change("predict.", content["predict"], "batch", profile.predict_batch)
    return {key: (old, new) for key, old, new in changes.values() if old != new}


def scale_rate(rate: float, kind: str, k: float, batch: int) -> float:
    """Return the learning rate of the optimiser `kind` for `batch`, which is k times the batch of `rate`.

    That of SGD is multiplied by k (Goyal et al. 2017, arXiv:1706.02677). Those of adaptive optimisers are multiplied by
    √k (Malladi et al. 2022, arXiv:2205.10287), up to `MAX_ADAPTIVE_RATE`; higher rates stay as they are.
    """
    if kind == "sgd":
        return _shorten(rate * k)
    if rate > MAX_ADAPTIVE_RATE:
        return rate
    if rate == MAX_ADAPTIVE_RATE and k < 1:
        rate, k = SHIPPED_RATE, batch / PROFILES["cpu"].batch
    return min(_shorten(rate * math.sqrt(k)), MAX_ADAPTIVE_RATE)


def scale_decay(decay: float, k: float) -> float:
    """Return the EMA decay per step that forgets as much in an epoch with batches k times as large.

    That is the decay to the power of k (Busbridge et al. 2023, arXiv:2307.13813).
    """
    scaled = decay**k
    if not 0 < scaled < 1:
        return decay
    return _shorten(scaled) if scaled < 0.5 else round(1 - _shorten(1 - scaled), 15)


def _shorten(number: float) -> float:
    """Return the number with three significant digits, or with four if three change it by more than 0.06 %.

    A number of three digits then comes back as it was.
    """
    short, long = (float(f"{number:.{digits}g}") for digits in (3, 4))
    return short if math.isclose(short, number, rel_tol=6e-4) else long


def faster_profile_hint(params: Params, member: str, device: str, has_bf16: bool | None) -> str | None:
    """Return which profile would make training about twice as fast on `device`, or None if there is none.

    Also None unless `member` is the first of the ensemble: one training of a run prints the hint.
    """
    if member != next(iter(params.members)) or not has_bf16:
        return None
    if device == "cuda" and (params.precision == "fp32" or params.train.batch < MIN_GPU_BATCH):
        return "this GPU would train several times as fast; run `fer profile gpu`"
    if device == "cpu" and params.precision == "fp32":
        return "this processor has bf16 instructions and would train twice as fast; run `fer profile cpu-bf16`"
    return None
