"""A training that is cut short anywhere ends with the weights that it would have had."""

import os
import signal
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from test_loop import RECIPE, SCHEDULES, TRANSFORMS, examples, same, small_network
from torch import nn

from fer.nn.inference import to_device
from fer.runtime.errors import InputError, StoppedError
from fer.training import checkpoint, loop
from fer.training.examples import UnlabelledPool
from fer.training.params import Online, Phase, Transfer

STEPS = 24  # in four epochs
PHASES = [Phase(layers=layers, epochs=2, lr=0.01, class_weights="none") for layers in ("head", "all")]
IN_PHASES = Transfer(pretrained=False, input_px=32, phases=PHASES)
ONLINE = Online(policy="softmatch", threshold=0.5, share=0.5, alignment="none")


class PowerCutError(Exception):
    pass


def learnt(
    path: Path | None, *, cut_at: int | None = None, by: signal.Signals | None = None, seed: int = 0, **changes: Any
) -> tuple[dict[str, torch.Tensor], list[dict[str, float]], int]:
    """Weights, curve and steps taken; the power goes, or a signal comes, in the step after `cut_at` ones."""
    online = changes.pop("online", False)
    recipe = RECIPE.model_copy(update=changes)
    layers = small_network(recipe.dropout)
    body = nn.Sequential(*layers[:3], nn.Conv2d(4, 4, 3, padding=1), *layers[3:5])
    network = to_device(nn.Sequential(OrderedDict(backbone=body, head=layers[5:])), torch.device("cpu"))
    taken = 0

    def look(module: nn.Module, faces: Any) -> None:
        nonlocal taken
        if not module.training:
            return
        if taken == cut_at and by is None:
            raise PowerCutError
        if taken == cut_at and by is not None:
            os.kill(os.getpid(), by)
            os.kill(os.getpid(), by)  # as of Ctrl-C, which comes from the terminal and from what started the process
        taken += 1

    network.register_forward_pre_hook(look)
    pool = UnlabelledPool(examples(64, 5).pixels, ONLINE, "soft", 3, None) if online else None
    try:
        curve = loop.train_network(
            network,
            examples(96, 0),
            examples(60, 1),
            recipe=recipe,
            transforms=TRANSFORMS,
            seed=seed,
            precision="fp32",
            name="small",
            epoch_faces=96,
            unlabelled=pool,
            checkpoint=path,
        )
    except (PowerCutError, StoppedError) as error:
        error.add_note(str(taken))
        raise
    return network.state_dict(), curve, taken


@pytest.mark.parametrize("cut_at", [1, 5, 6, 7, 17, 23])
@pytest.mark.parametrize(
    "changes",
    [{}, {"schedule": SCHEDULES["plateau"], "mixup": 0.4}, {"online": True}, {"patience": 1}, {"transfer": IN_PHASES}],
    ids=["plain", "plateau", "online", "patience", "phases"],
)
def test_the_weights_are_those_of_a_training_that_was_not_cut_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut_at: int, changes: dict[str, Any]
) -> None:
    whole, curve, steps = learnt(None, **changes)
    cut_at = min(cut_at, steps - 1)
    monkeypatch.setattr(checkpoint, "SAVE_INTERVAL_SECONDS", -1)
    with pytest.raises(PowerCutError):
        learnt(tmp_path / "kept", cut_at=cut_at, **changes)
    monkeypatch.setattr(checkpoint, "SAVE_INTERVAL_SECONDS", 1e9)
    resumed, curve_resumed, taken = learnt(tmp_path / "kept", **changes)
    assert same(whole, resumed)
    assert curve == curve_resumed
    assert taken == steps - cut_at
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_a_process_that_is_told_to_end_keeps_its_last_step(
    tmp_path: Path, by: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, _, steps = learnt(None)
    before = signal.getsignal(by)
    with pytest.raises(StoppedError, match="goes on from here"):
        learnt(tmp_path / "kept", cut_at=9, by=by)
    assert signal.getsignal(by) == before
    assert "going on" not in capsys.readouterr().out
    resumed, _, taken = learnt(tmp_path / "kept")
    assert f"going on with {tmp_path / 'kept'}\n" in capsys.readouterr().out
    assert same(whole, resumed)
    assert taken == steps - 10


def test_a_process_that_is_told_to_end_after_the_last_step_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, curve, _ = learnt(None)
    validate, validated = loop.validate, 0

    def told(*given: Any) -> tuple[float, float]:
        nonlocal validated
        validated += 1
        if validated == len(curve):
            os.kill(os.getpid(), signal.SIGTERM)
        return validate(*given)

    monkeypatch.setattr(loop, "validate", told)
    with pytest.raises(StoppedError, match="goes on from here"):
        learnt(tmp_path / "kept")
    resumed, curve_resumed, taken = learnt(tmp_path / "kept")
    assert same(whole, resumed)
    assert (curve_resumed, taken) == (curve, 0)


def test_what_follows_from_something_else_is_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(checkpoint, "SAVE_INTERVAL_SECONDS", -1)
    with pytest.raises(PowerCutError):
        learnt(tmp_path / "kept", cut_at=9)
    for changes in ({"seed": 1}, {"epochs": 5}, {"label_smoothing": 0.0}):
        _, _, taken = learnt(tmp_path / "kept", **changes)
        assert taken == 6 * changes.get("epochs", 4)
        assert "training from the beginning" in capsys.readouterr().out
        with pytest.raises(PowerCutError):
            learnt(tmp_path / "kept", cut_at=9)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:100],
        lambda data: b"",
        lambda data: data[:-5000],
        lambda data: data[:-1] + bytes([1 ^ data[-1]]),
    ],
)
def test_a_damaged_file_is_told_and_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], damage: Any
) -> None:
    monkeypatch.setattr(checkpoint, "SAVE_INTERVAL_SECONDS", -1)
    with pytest.raises(PowerCutError):
        learnt(tmp_path / "kept", cut_at=9)
    (tmp_path / "kept").write_bytes(damage((tmp_path / "kept").read_bytes()))
    assert same(learnt(tmp_path / "kept")[0], learnt(None)[0])
    assert "damaged" in capsys.readouterr().out


def test_the_fingerprint_is_of_arrays_values_and_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = (np.arange(3), "x", 1.5)
    one = checkpoint.compute_fingerprint(*facts)
    assert one == checkpoint.compute_fingerprint(*facts)
    assert one != checkpoint.compute_fingerprint(np.arange(4), "x", 1.5)
    assert one != checkpoint.compute_fingerprint(np.arange(3), "x", 1.25)
    (tmp_path / "other.py").write_text("other code")
    monkeypatch.setattr(checkpoint, "CODE_FOLDER", tmp_path)
    assert one != checkpoint.compute_fingerprint(*facts)


@pytest.mark.parametrize("about", [None, {}, {"fingerprint": "x"}])
@pytest.mark.parametrize("state", ["[" * 100_000, "[]", '{"pairs": [7]}', '{"pairs": [[[], 7]]}', "x", "null"])
def test_a_file_of_something_else_is_no_checkpoint(
    tmp_path: Path, about: dict[str, str] | None, state: str, capsys: pytest.CaptureFixture[str]
) -> None:
    save_file({"0": torch.zeros(2)}, tmp_path / "c", about and about | {"state": state})
    assert checkpoint.Checkpoint(tmp_path / "c", "x").metadata == {}
    assert "training from the beginning" in capsys.readouterr().out


@pytest.mark.parametrize("state", ["", ', ["network", 7]', ', ["network", {"pairs": []}]'])
def test_a_checkpoint_without_its_parts_is_refused(tmp_path: Path, state: str) -> None:
    tensors = {"0": torch.zeros(2)}
    about = {"fingerprint": "x", "crc": checkpoint._checksum(tensors)}
    about["state"] = f'{{"pairs": [["aside", {{"pairs": []}}]{state}]}}'
    save_file(tensors, tmp_path / "c", about)
    with pytest.raises(InputError, match="damaged"):
        checkpoint.Checkpoint(tmp_path / "c", "x").resume({"network": nn.Linear(2, 2)})


def test_too_little_memory_for_a_checkpoint_does_not_begin_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def safe_open(*_: object, **__: object) -> None:
        raise RuntimeError("unable to mmap 7 bytes from file <c>: Cannot allocate memory (12)")

    (tmp_path / "c").write_bytes(b"of an hour")
    monkeypatch.setattr(checkpoint, "safe_open", safe_open)
    with pytest.raises(MemoryError, match="to load"):
        checkpoint.Checkpoint(tmp_path / "c", "x")
    assert (tmp_path / "c").read_bytes() == b"of an hour"
