"""`fer benchmark ssl`, from faces to table and plot."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from commands import call_fer
from PIL import Image
from torch import nn

from fer.core.table import TABLE_COLUMNS, write_csv
from fer.nn import weights
from fer.params import load_params
from fer.training.params import Recipe

ARGUMENTS = ("--steps", "4", "--seeds", "0", "1", "--budgets", "2", "all")


@pytest.fixture
def measured(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the output folder of a project with unified faces, in which every network is tiny."""
    n, emotions = 112, load_params().emotions
    table = pd.DataFrame("", index=range(n), columns=list(TABLE_COLUMNS))
    table["id"] = [f"{row}.png" for row in range(n)]
    table["emotion"] = [emotions[row // 4 % len(emotions)] for row in range(n)]
    table["fold"] = [("train", "train", "valid", "test")[row % 4] for row in range(n)]
    table.loc[:7, ["fold", "emotion"]] = ["unlabelled", ""]
    write_csv(project / "data/unified/table.csv", table.assign(twin_in_train=False))
    write_csv(project / "data/unified/truth.csv", pd.DataFrame({"id": table["id"], "emotion": ""}))
    np.save(project / "data/unified/faces.npy", np.random.default_rng(0).integers(0, 256, (n, 16, 16), dtype=np.uint8))

    def init_tiny_model(
        name: str, recipe: Recipe, emotions: list[str], size: int, seed: int
    ) -> tuple[nn.Module, weights.ModelConfig]:
        torch.manual_seed(seed)
        config = weights.ModelConfig(
            network=name, emotions=tuple(emotions), size=size, dropout=recipe.dropout, input_px=None
        )
        return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(392, len(emotions))), config

    monkeypatch.setattr("fer.experiments.benchmark.init_model", init_tiny_model)
    return project / "data" / "benchmark"


def test_the_methods_are_compared_in_a_table_and_a_plot(
    measured: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call_fer(monkeypatch, "benchmark", "ssl", "no_pool", "true_labels", "softmatch", *ARGUMENTS) is None
    table = pd.read_csv(measured / "gains.csv")
    assert list(table["arm"]) == ["teacher", "no_pool", "true_labels", "softmatch"] * 2
    assert set(table["seeds"]) == {2}
    assert table["budget"].isna().sum() == 4
    assert (measured / "gains.md").read_text().count("\n| ") == len(table) + 1
    with Image.open(measured / "gains.png") as image:
        assert 800 < image.width < 2200
    output = capsys.readouterr().out
    assert "2 labels of each emotion, softmatch: " in output
    assert "all labels, seed 1, true_labels: " in output
    assert sorted(path.name for path in (measured / "2" / "1").iterdir() if path.is_file()) == [
        f"{method}.{kind}" for method in ("no_pool", "softmatch", "teacher", "true_labels") for kind in ("json", "npy")
    ]


def test_a_second_run_trains_only_new_methods(
    measured: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--steps", "4", "--seeds", "0", "--budgets", "2")
    assert call_fer(monkeypatch, "benchmark", "ssl", "no_pool", *arguments) is None
    capsys.readouterr()
    assert call_fer(monkeypatch, "benchmark", "ssl", "no_pool", "fixed_95", *arguments) is None
    trained = [line for line in capsys.readouterr().out.splitlines() if "best epoch" in line]
    assert len(trained) == 1
    assert "fixed_95" in trained[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fixmatch", "--budgets", "5"), "fixmatch: no such arm; use no_pool, random_labels"),
        (("no_pool", "--budgets", "5", "--network", "vgg99"), "vgg99"),
        (("no_pool", "--budgets", "0"), "0 is not an integer of at least 1"),
        (("no_pool", "--seeds", "-1"), "-1 is not an integer of at least 0"),
        (("no_pool", "--steps", "0"), "0 is not an integer of at least 1"),
        (("no_pool", "--budgets", "many"), "many is not an integer of at least 1"),
    ],
)
def test_impossible_arguments_are_reported(
    measured: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    end = call_fer(monkeypatch, "benchmark", "ssl", *arguments)
    assert end is not None
    assert message in f"{end} {capsys.readouterr().err}"
    assert not measured.exists()
