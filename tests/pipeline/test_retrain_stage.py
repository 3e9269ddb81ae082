"""The stage `retrain`: its arguments to the training loop."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from torch import nn

from fer.training.examples import LabelledSet
from fer.training.step import replica_seed
from pipeline import retrain

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("steps", [1.0, 2.5])
def test_the_number_of_steps_depends_only_on_labelled_faces_and_logits_are_adjusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: float
) -> None:
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["retrain"] |= {"steps": steps, "start": "scratch", "logit_adjustment": 0.7}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    monkeypatch.chdir(tmp_path)
    arguments: dict[str, Any] = {}

    def make_set(n: int) -> LabelledSet:
        return LabelledSet(
            np.zeros((n, 16, 16), np.uint8), np.eye(7, dtype=np.float32)[[0] * n], np.ones(n, np.float32)
        )

    def train_network(
        network: object, train_set: LabelledSet, valid_set: LabelledSet, **options: Any
    ) -> list[dict[str, float]]:
        arguments.update(options, n=len(train_set))
        return [{"epoch": 1}]

    monkeypatch.setattr(retrain, "read_labelled_sets", lambda *_: (make_set(20), make_set(5)))
    monkeypatch.setattr(retrain, "read_pseudo_labelled_set", lambda *_: make_set(30))
    monkeypatch.setattr(retrain, "read_unlabelled_pool", lambda *_: None)
    monkeypatch.setattr(retrain, "init_model", lambda *_: (nn.Identity(), None))
    monkeypatch.setattr(retrain, "train_network", train_network)
    monkeypatch.setattr(retrain.weights, "save_model", lambda *_: None)
    paths = [part for name in ("faces", "table", "augmented", "pseudo-labels", "models") for part in (f"--{name}", "x")]
    network = next(iter(content["networks"]))
    monkeypatch.setattr("sys.argv", ["retrain", network, "--replica", "2", *paths, "--out", str(tmp_path / "out")])
    retrain.main()
    assert (arguments["name"], arguments["seed"]) == (f"{network}-2", replica_seed(content["seed"], 2))
    assert (arguments["n"], arguments["epoch_faces"]) == (50, 20 * steps)
    assert arguments["logit_adjustment"] == 0.7
