"""The stage `predict`: shards are parts of its predictions, and it finishes them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fer.nn import pool as nn_pool
from fer.nn.weights import ModelConfig, save_model
from fer.params import load_params
from fer.runtime.errors import InputError
from pipeline import predict


def test_shards_leave_no_result_until_the_stage_merges_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faces, model, out = tmp_path / "faces.npy", tmp_path / "model", tmp_path / "out" / "simple_cnn.npy"
    np.save(faces, np.random.default_rng(0).integers(0, 256, (20, 16, 16), dtype=np.uint8))
    emotions = tuple(load_params().emotions)
    config = ModelConfig(network="simple_cnn", emotions=emotions, size=16, dropout=0.0, input_px=None)
    model.mkdir()
    torch.manual_seed(0)
    save_model(config.build(), config, model)
    monkeypatch.setattr(nn_pool, "_slice_size", lambda *_: 8)
    monkeypatch.setenv("FER_DEVICE", "cpu")

    def run(*options: str) -> None:
        monkeypatch.setattr(
            "sys.argv", ["predict", "--faces", str(faces), "--model", str(model), "--out", str(out), *options]
        )
        predict.main()

    run()
    expected = {file.name: file.read_bytes() for file in out.parent.iterdir()}
    assert set(expected) == {"simple_cnn.npy", "simple_cnn.json"}
    for file in out.parent.iterdir():
        file.unlink()
    run("--shard", "2/2")
    assert [file.name[:20] for file in out.parent.iterdir()] == [".simple_cnn.npy.2of2"]
    run()
    assert {file.name: file.read_bytes() for file in out.parent.iterdir()} == expected
    with pytest.raises(InputError, match="--shard : write number/count"):  # not a run of the whole stage
        run("--shard", "")
