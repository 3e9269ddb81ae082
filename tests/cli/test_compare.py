"""`fer compare`, from faces to table and plot."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from commands import call_fer
from PIL import Image
from torch import nn

from fer.core.table import TABLE_COLUMNS, write_csv
from fer.experiments import comparison
from fer.params import load_params
from fer.runtime.errors import InputError

ARGUMENTS = ("--seeds", "0", "1", "--steps", "4", "--faces", "20")


@pytest.fixture
def compared(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the output folder of a project with unified faces; networks are tiny, and `deeper` can't be built."""
    n, emotions = 80, load_params().emotions
    table = pd.DataFrame("", index=range(n), columns=list(TABLE_COLUMNS))
    table["emotion"] = [emotions[row // 4 % len(emotions)] for row in range(n)]
    table["fold"] = [("train", "train", "valid", "test")[row % 4] for row in range(n)]
    write_csv(project / "data/unified/table.csv", table.assign(twin_in_train=False))
    np.save(project / "data/unified/faces.npy", np.random.default_rng(0).integers(0, 256, (n, 16, 16), dtype=np.uint8))

    def init_tiny_model(name: str, *_: object) -> tuple[nn.Module, None]:
        if name == "deeper":
            raise InputError("deeper: no such weights")
        torch.manual_seed(len(name))
        return nn.Sequential(nn.Conv2d(1, len(name), 3), nn.Flatten(), nn.Linear(len(name) * 196, len(emotions))), None

    monkeypatch.setattr("fer.experiments.comparison.init_model", init_tiny_model)
    monkeypatch.setattr(comparison, "MIN_TIMED_SECONDS", 1e-9)
    return project / "data" / "comparison"


def test_the_networks_are_compared_in_a_table_and_a_plot(compared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["se", "cnn", "cnn_se", "shallow"]
    assert call_fer(monkeypatch, "compare", *names, *ARGUMENTS) is None
    table = pd.read_csv(compared / "comparison.csv")
    assert set(table["network"]) == {*names, "vote of all", "vote of the best three"}
    assert list(table["valid_accuracy"]) == sorted(table["valid_accuracy"], reverse=True)
    assert set(table.loc[table["kind"] != "vote", "steps"]) == {4}
    for name in names:
        with (compared / name / "1.json").open() as file:
            assert json.load(file)["run_with"]["faces"] == 20
    assert (compared / "comparison.md").read_text().count("\n| ") == len(table) + 1
    with Image.open(compared / "comparison.png") as image:
        assert 800 < image.width < 1600
    assert sorted(path.name for path in compared.iterdir() if path.is_file()) == [
        f"comparison.{kind}" for kind in ("csv", "md", "png")
    ]


def test_a_failed_network_is_reported_and_the_others_are_compared(
    compared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    end = call_fer(monkeypatch, "compare", "deeper", "se", *ARGUMENTS)
    assert end == "error: deeper: training failed, see above; the other networks were compared"
    assert "deeper: left out: deeper: no such weights" in capsys.readouterr().err
    assert list(pd.read_csv(compared / "comparison.csv")["network"]) == ["se"]
    assert call_fer(monkeypatch, "compare", "deeper", *ARGUMENTS) is not None


def test_all_networks_of_params_are_compared_by_default(compared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = yaml.safe_load(Path("params.yaml").read_text())
    content |= {"networks": {"se": {}, "cnn": {"dropout": 0.3}}, "ensemble": ["se"]}
    Path("params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    assert call_fer(monkeypatch, "compare", "--seeds", "0", "--steps", "4") is None
    assert {path.name for path in compared.iterdir() if path.is_dir()} == {"se", "cnn"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sea",), "sea: not in `networks` of params.yaml; use shallow, "),
        (("se", "--faces", "2000"), "--faces is 2000, but data/unified/table.csv has 40 training faces"),
        (("se", "--unified", "elsewhere"), "elsewhere/faces.npy: no such file"),
    ],
)
def test_impossible_comparisons_are_reported_before_any_training(
    compared: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    assert message in str(call_fer(monkeypatch, "compare", *arguments))
    assert not compared.exists()


@pytest.mark.parametrize("arguments", [("--faces", "0"), ("--steps", "0"), ("--seeds", "-1"), ("--steps", "few")])
def test_numbers_out_of_range_are_rejected(
    compared: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, str]
) -> None:
    assert call_fer(monkeypatch, "compare", *arguments) == 2
