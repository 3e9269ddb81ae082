"""Plots are drawn for every shape of the tables and are deterministic."""

from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fer.core.labels import EMOTIONS
from fer.predictions import metrics
from fer.reporting.plots import plots
from fer.runtime.errors import InputError

Draw = Callable[[Path], None]
CURVE_COLUMNS = ["epoch", "learning_rate", "train_loss", "train_accuracy", "valid_loss", "valid_accuracy"]


def random_predictions(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.full(len(EMOTIONS), 0.3), n).astype(np.float32)
    return probs, rng.integers(0, len(EMOTIONS), n)


def learning_curves(rounds: int, networks: int = 1, epochs: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.concat(
        pd.DataFrame(rng.random((epochs, 6)), columns=CURVE_COLUMNS).assign(
            epoch=range(1, epochs + 1), round=round_, network=f"network_{network}"
        )
        for round_ in range(rounds)
        for network in range(networks)
    )


def confusion(rounds: int, n: int = 50, emotions: int = len(EMOTIONS)) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    names = np.array(EMOTIONS[:emotions])
    return pd.DataFrame(
        {
            "round": np.repeat(np.arange(rounds), n),
            "actual": names[rng.integers(0, emotions, rounds * n)],
            "predicted": names[rng.integers(0, emotions, rounds * n)],
        }
    )


def reliability(rounds: int) -> pd.DataFrame:
    return pd.concat(
        metrics.reliability_bins(*random_predictions(40, seed), 10).assign(round=round_, calibration=calibration)
        for round_ in range(rounds)
        for seed, calibration in enumerate(("before", "after"))
    )


def coverage(rounds: int, truth_known: bool = True) -> pd.DataFrame:
    probs, truth = random_predictions(40)
    curve = metrics.coverage_curve(probs, truth if truth_known else np.full(40, -1))
    empty = [pd.DataFrame(columns=["round", *curve.columns])]
    return pd.concat([curve.assign(round=round_) for round_ in range(1, rounds + 1)] or empty)


def montage(path: Path) -> None:
    faces = np.random.default_rng(0).integers(0, 256, (2, 3, 16, 16), dtype=np.uint8)
    plots.plot_montage(path, faces, ["happy", "sad"], ["original", "1", "2"], "Faces")


EQUAL_THRESHOLDS = dict.fromkeys(EMOTIONS, 0.8)
DISTINCT_THRESHOLDS = dict.fromkeys(EMOTIONS, 0.5) | {"happy": 0.9, "sad": 0.0, "fear": 1.0}
CLOSE_THRESHOLDS = {emotion: 0.3 + code / 250 for code, emotion in enumerate(EMOTIONS)}
PLOTS: dict[str, Draw] = {
    "curves of 1 round": lambda path: plots.plot_learning_curves(path, learning_curves(1)),
    "curves of 7 rounds and 3 networks": lambda path: plots.plot_learning_curves(path, learning_curves(7, 3)),
    "curves of 1 epoch": lambda path: plots.plot_learning_curves(path, learning_curves(2, 2, epochs=1)),
    "confusion of 1 round": lambda path: plots.plot_confusion(path, confusion(1), EMOTIONS),
    "confusion of 4 rounds": lambda path: plots.plot_confusion(path, confusion(4), EMOTIONS),
    "confusion without an emotion": lambda path: plots.plot_confusion(path, confusion(2, emotions=5), EMOTIONS),
    "confusion of 1 face": lambda path: plots.plot_confusion(path, confusion(1, n=1), EMOTIONS),
    "reliability of 1 round": lambda path: plots.plot_reliability(path, reliability(1)),
    "reliability of 4 rounds": lambda path: plots.plot_reliability(path, reliability(4)),
    "coverage of no round": lambda path: plots.plot_coverage(path, coverage(0), {}),
    "coverage of 1 round": lambda path: plots.plot_coverage(path, coverage(1), {1: EQUAL_THRESHOLDS}),
    "coverage of 4 rounds": lambda path: plots.plot_coverage(
        path, coverage(4), dict.fromkeys(range(1, 5), EQUAL_THRESHOLDS)
    ),
    "coverage with distinct thresholds": lambda path: plots.plot_coverage(path, coverage(1), {1: DISTINCT_THRESHOLDS}),
    "coverage with close thresholds": lambda path: plots.plot_coverage(path, coverage(1), {1: CLOSE_THRESHOLDS}),
    "coverage without truth": lambda path: plots.plot_coverage(
        path, coverage(1, truth_known=False), {1: EQUAL_THRESHOLDS}
    ),
    "montage": montage,
}


@pytest.mark.parametrize("name", PLOTS)
def test_plot_is_readable_and_not_blank(tmp_path: Path, name: str) -> None:
    path = tmp_path / "new" / "plot.png"
    PLOTS[name](path)
    with Image.open(path) as image:
        assert 250 < image.width < 1600
        assert len(set(image.convert("L").tobytes())) > 20
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("draw", [PLOTS["curves of 1 round"], PLOTS["confusion of 1 round"], montage])
def test_same_table_gives_the_same_bytes_for_any_matplotlib_settings(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "first.png")
    with matplotlib.rc_context({"font.size": 30, "axes.grid": False, "savefig.dpi": 20}):
        draw(tmp_path / "second.png")
        assert matplotlib.rcParams["font.size"] == 30, "the user's settings are unchanged"
    content = (tmp_path / "first.png").read_bytes()
    assert content == (tmp_path / "second.png").read_bytes()
    assert b"matplotlib" not in content.lower()


def test_different_tables_give_different_plots(tmp_path: Path) -> None:
    plots.plot_confusion(tmp_path / "first.png", confusion(1, n=50), EMOTIONS)
    plots.plot_confusion(tmp_path / "second.png", confusion(1, n=60), EMOTIONS)
    assert (tmp_path / "first.png").read_bytes() != (tmp_path / "second.png").read_bytes()


def test_failed_plot_keeps_the_previous_file(tmp_path: Path) -> None:
    path = tmp_path / "confusion.png"
    plots.plot_confusion(path, confusion(1), EMOTIONS)
    previous = path.read_bytes()
    with pytest.raises(InputError):
        plots.plot_confusion(path, confusion(1).assign(actual="bored"), EMOTIONS)
    assert path.read_bytes() == previous
    assert list(tmp_path.iterdir()) == [path]
