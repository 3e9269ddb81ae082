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


def test_the_methods_are_compared_in_a_table_and_plots(
    measured: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("true_labels", "softmatch", *ARGUMENTS, "--replicas", "2")
    assert call_fer(monkeypatch, "benchmark", "ssl", *arguments) is None
    table = pd.read_csv(measured / "gains.csv")
    rows = ["teacher", "vote", "no_pool", "true_labels", "softmatch"]
    assert list(table["arm"]) == [*rows, *(row for row in rows if row != "true_labels")]
    assert set(table["seeds"]) == {2}
    assert table["budget"].isna().sum() == 4
    assert (
        table[["test_macro_f1", "test_worst_recall", "valid_recall_disgust", "gain_worst_recall"]].notna().any().all()
    )
    text = (measured / "gains.md").read_text()
    assert text.count("\n| ") == len(table) + 1
    for note in (
        "The vote is the mean of 2 teachers, and labels the pool.",
        "Intervals and verdicts need at least 3 seeds.",
        "Validation has 26 faces, too few for a prior: corrected rows need 70.",
        "all labels: the truth of the pool is unknown, so the oracle is left out.",
        "Standard deviation of test accuracy over teachers",
    ):
        assert text.count(note) == 1
    for name in ("gains.png", "budgets.png"):
        with Image.open(measured / name) as image:
            assert 800 < image.width < 2200
    output = capsys.readouterr().out
    assert "2 labels per emotion, softmatch: no verdict from fewer than 3 seeds: " in output
    assert "all labels, seed 1, vote: " in output
    names = ["no_pool", "softmatch", "teacher", "teacher_1", "true_labels"]
    assert sorted(path.name for path in (measured / "2" / "1").iterdir() if path.is_file()) == [
        f"{name}.{kind}" for name in names for kind in ("json", "npy")
    ]


def test_one_teacher_has_no_vote_and_natural_labels_have_a_folder_of_their_own(
    measured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("no_pool", "--steps", "4", "--seeds", "0", "--budgets", "2", "--replicas", "1", "--labels", "natural")
    assert call_fer(monkeypatch, "benchmark", "ssl", *arguments) is None
    assert list(pd.read_csv(measured / "gains.csv")["arm"]) == ["teacher", "no_pool"]
    text = (measured / "gains.md").read_text()
    assert "One teacher in each trial: there is no vote, and the variance of training alone is unknown." in text
    assert "Labels are drawn at natural frequencies; their number in all is that of balanced budgets." in text
    assert sorted(path.name for path in measured.iterdir()) == ["2_natural", "gains.csv", "gains.md", "gains.png"]


def test_a_second_run_trains_only_new_methods(
    measured: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--steps", "4", "--seeds", "0", "--budgets", "2", "--replicas", "1")
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
        (("no_pool", "--replicas", "0"), "0 is not an integer of at least 1"),
        (("no_pool", "--labels", "random"), "invalid choice: 'random'"),
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
