"""The stage `train`: its hint about a faster profile."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from torch import nn

from fer.training.examples import LabelledSet
from fer.training.step import replica_seed
from pipeline import train

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("network", "replica", "has_bf16", "printed"),
    [
        ("se", "0", True, ["run `fer profile cpu-bf16`"]),
        ("se", "0", False, []),
        ("se", "1", True, []),
        ("improved_se", "0", True, []),
    ],
)
def test_the_first_member_of_the_ensemble_prints_one_hint(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    network: str,
    replica: str,
    has_bf16: bool,
    printed: list[str],
) -> None:
    content = yaml.safe_load((ROOT / "params.yaml").read_text()) | {
        "ensemble": ["se", "improved_se"],
        "replicas": [0, 1],
    }
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FER_DEVICE", "cpu")
    faces = LabelledSet(np.zeros((2, 16, 16), np.uint8), np.eye(7, dtype=np.float32)[[0, 1]], np.ones(2, np.float32))

    def save_model(model: object, config: object, out: Path) -> None:
        (out / "model").touch()

    arguments: dict[str, Any] = {}

    def train_network(*sets: object, **options: Any) -> list[dict[str, int]]:
        arguments.update(options)
        return [{"epoch": 1}]

    monkeypatch.setattr(train, "supports_bf16", lambda device: has_bf16)
    monkeypatch.setattr(train, "read_labelled_sets", lambda *_: (faces, faces))
    monkeypatch.setattr(train, "init_model", lambda *_: (nn.Identity(), None))
    monkeypatch.setattr(train, "train_network", train_network)
    monkeypatch.setattr(train.weights, "save_model", save_model)
    paths = [part for name in ("faces", "table", "augmented") for part in (f"--{name}", "x")]
    monkeypatch.setattr("sys.argv", ["train", network, "--replica", replica, *paths, "--out", "out"])
    train.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("; ")[2] for line in lines] == printed
    assert all(line.startswith("hint: ") for line in lines)
    assert arguments["name"] == f"{network}-{replica}"
    assert arguments["seed"] == replica_seed(content["seed"], int(replica))
    assert sorted(path.name for path in Path("out").iterdir()) == ["curve.csv", "model"]
