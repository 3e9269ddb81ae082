"""An interrupted training resumes and ends with the weights of an uninterrupted one."""

import os
import signal
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from test_loop import RECIPE, SCHEDULES, TRANSFORMS, are_equal, make_faces, small_network
from torch import nn

from fer.nn.devices import to_device
from fer.runtime.errors import InputError, StoppedError
from fer.training import checkpoint, loop
from fer.training.examples import UnlabelledPool
from fer.training.params import Online, Phase, Transfer

STEPS = 24  # in four epochs
PHASES = [Phase(layers=layers, epochs=2, lr=0.01, class_weights="none") for layers in ("head", "all")]
IN_PHASES = Transfer(pretrained=False, input_px=32, phases=PHASES)
ONLINE = Online(policy="softmatch", threshold=0.5, share=0.5, alignment="none")


class PowerCutError(Exception):
    """A simulated power failure."""


def train(
    path: Path | None, *, stop_at: int | None = None, by: signal.Signals | None = None, seed: int = 0, **changes: Any
) -> tuple[dict[str, torch.Tensor], list[dict[str, float]], int]:
    """Train, and return weights, curve and number of steps; after `stop_at` steps send `by`, or raise PowerCutError."""
    online, logit_adjustment = changes.pop("online", False), changes.pop("logit_adjustment", 0.0)
    recipe = RECIPE.model_copy(update=changes)
    layers = small_network(recipe.dropout)
    body = nn.Sequential(*layers[:3], nn.Conv2d(4, 4, 3, padding=1), *layers[3:5])
    network = to_device(nn.Sequential(OrderedDict(backbone=body, head=layers[5:])), torch.device("cpu"))
    n_steps = 0

    def interrupt(module: nn.Module, faces: Any) -> None:
        nonlocal n_steps
        if not module.training:
            return
        if n_steps == stop_at and by is None:
            raise PowerCutError
        if n_steps == stop_at and by is not None:
            os.kill(os.getpid(), by)
            os.kill(os.getpid(), by)  # Ctrl-C comes twice: from the terminal and from the parent process
        n_steps += 1

    network.register_forward_pre_hook(interrupt)
    pool = UnlabelledPool(make_faces(64, 5).pixels, ONLINE, "soft", 3, None) if online else None
    try:
        curve = loop.train_network(
            network,
            make_faces(96, 0),
            make_faces(60, 1),
            recipe=recipe,
            transforms=TRANSFORMS,
            seed=seed,
            precision="fp32",
            name="small",
            epoch_faces=96,
            unlabelled=pool,
            logit_adjustment=logit_adjustment,
            checkpoint=path,
        )
    except (PowerCutError, StoppedError) as error:
        error.add_note(str(n_steps))
        raise
    return network.state_dict(), curve, n_steps


@pytest.mark.parametrize("stop_at", [1, 5, 6, 7, 17, 23])
@pytest.mark.parametrize(
    "changes",
    [{}, {"schedule": SCHEDULES["plateau"], "mixup": 0.4}, {"online": True}, {"patience": 1}, {"transfer": IN_PHASES}],
    ids=["plain", "plateau", "online", "patience", "phases"],
)
def test_a_resumed_training_equals_an_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int, changes: dict[str, Any]
) -> None:
    whole, curve, n_steps = train(None, **changes)
    stop_at = min(stop_at, n_steps - 1)
    monkeypatch.setattr(checkpoint, "SAVE_INTERVAL_SECONDS", -1)
    with pytest.raises(PowerCutError):
        train(tmp_path / "checkpoint", stop_at=stop_at, **changes)
    monkeypatch.setattr(checkpoint, "SAVE_INTERVAL_SECONDS", 1e9)
    resumed, resumed_curve, resumed_steps = train(tmp_path / "checkpoint", **changes)
    assert are_equal(whole, resumed)
    assert curve == resumed_curve
    assert resumed_steps == n_steps - stop_at
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_the_last_step(tmp_path: Path, by: signal.Signals, capsys: pytest.CaptureFixture[str]) -> None:
    whole, _, n_steps = train(None)
    handler = signal.getsignal(by)
    with pytest.raises(StoppedError, match="run it again to resume from here"):
        train(tmp_path / "checkpoint", stop_at=9, by=by)
    assert signal.getsignal(by) == handler
    assert "resuming" not in capsys.readouterr().out
    resumed, _, resumed_steps = train(tmp_path / "checkpoint")
    assert f"resuming from {tmp_path / 'checkpoint'}\n" in capsys.readouterr().out
    assert are_equal(whole, resumed)
    assert resumed_steps == n_steps - 10


def test_a_signal_during_the_last_validation_saves_the_last_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, curve, _ = train(None)
    validate, n_validations = loop.validate, 0

    def validate_and_signal(*args: Any) -> tuple[float, float]:
        nonlocal n_validations
        n_validations += 1
        if n_validations == len(curve):
            os.kill(os.getpid(), signal.SIGTERM)
        return validate(*args)

    monkeypatch.setattr(loop, "validate", validate_and_signal)
    with pytest.raises(StoppedError, match="run it again to resume from here"):
        train(tmp_path / "checkpoint")
    resumed, resumed_curve, resumed_steps = train(tmp_path / "checkpoint")
    assert are_equal(whole, resumed)
    assert (resumed_curve, resumed_steps) == (curve, 0)


def test_a_checkpoint_of_other_inputs_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(checkpoint, "SAVE_INTERVAL_SECONDS", -1)
    with pytest.raises(PowerCutError):
        train(tmp_path / "checkpoint", stop_at=9)
    for changes in ({"seed": 1}, {"epochs": 5}, {"label_smoothing": 0.0}, {"logit_adjustment": 1.0}):
        _, _, n_steps = train(tmp_path / "checkpoint", **changes)
        assert n_steps == 6 * changes.get("epochs", 4)
        assert "training starts over" in capsys.readouterr().out
        with pytest.raises(PowerCutError):
            train(tmp_path / "checkpoint", stop_at=9)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:100],
        lambda data: b"",
        lambda data: data[:-5000],
        lambda data: data[:-1] + bytes([1 ^ data[-1]]),
    ],
)
def test_a_damaged_file_is_reported_and_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], damage: Any
) -> None:
    monkeypatch.setattr(checkpoint, "SAVE_INTERVAL_SECONDS", -1)
    with pytest.raises(PowerCutError):
        train(tmp_path / "checkpoint", stop_at=9)
    (tmp_path / "checkpoint").write_bytes(damage((tmp_path / "checkpoint").read_bytes()))
    assert are_equal(train(tmp_path / "checkpoint")[0], train(None)[0])
    assert "damaged" in capsys.readouterr().out


def test_the_fingerprint_covers_arrays_values_and_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = (np.arange(3), "x", 1.5)
    fingerprint = checkpoint.compute_fingerprint(*inputs)
    assert fingerprint == checkpoint.compute_fingerprint(*inputs)
    assert fingerprint != checkpoint.compute_fingerprint(np.arange(4), "x", 1.5)
    assert fingerprint != checkpoint.compute_fingerprint(np.arange(3), "x", 1.25)
    (tmp_path / "code.py").write_text("different code")
    monkeypatch.setattr(checkpoint, "CODE_FOLDER", tmp_path)
    assert fingerprint != checkpoint.compute_fingerprint(*inputs)


TENSORS = {"0": torch.zeros(2)}
CRC = checkpoint._checksum(TENSORS)


@pytest.mark.parametrize("header", [None, {}, {"fingerprint": "x"}, {"fingerprint": "x", "crc": CRC}])
@pytest.mark.parametrize("state", ["[" * 100_000, "[]", '{"pairs": [7]}', '{"pairs": [[[], 7]]}', "x", "null"])
def test_a_file_that_is_no_checkpoint_is_not_used(
    tmp_path: Path, header: dict[str, str] | None, state: str, capsys: pytest.CaptureFixture[str]
) -> None:
    save_file(TENSORS, tmp_path / "c", header and header | {"state": state})
    assert checkpoint.Checkpoint(tmp_path / "c", "x").metadata == {}
    assert "training starts over" in capsys.readouterr().out


@pytest.mark.parametrize("state", ["", ', ["network", 7]', ', ["network", {"pairs": []}]'])
def test_a_checkpoint_with_missing_or_invalid_parts_is_rejected(tmp_path: Path, state: str) -> None:
    state = f'{{"pairs": [["metadata", {{"pairs": []}}]{state}]}}'
    save_file(TENSORS, tmp_path / "c", {"fingerprint": "x", "crc": CRC, "state": state})
    with pytest.raises(InputError, match="damaged"):
        checkpoint.Checkpoint(tmp_path / "c", "x").resume({"network": nn.Linear(2, 2)})


def test_running_out_of_memory_does_not_discard_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def safe_open(*_: object, **__: object) -> None:
        raise RuntimeError("unable to mmap 7 bytes from file <c>: Cannot allocate memory (12)")

    (tmp_path / "c").write_bytes(b"checkpoint")
    monkeypatch.setattr(checkpoint, "safe_open", safe_open)
    with pytest.raises(MemoryError, match="to load"):
        checkpoint.Checkpoint(tmp_path / "c", "x")
    assert (tmp_path / "c").read_bytes() == b"checkpoint"
