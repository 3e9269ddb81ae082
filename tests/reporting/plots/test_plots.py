"""The pictures are drawn for every shape of the figures, and alike for the same ones."""

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


def probs_and_labels(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    probs = random.dirichlet(np.full(len(EMOTIONS), 0.3), n).astype(np.float32)
    return probs, random.integers(0, len(EMOTIONS), n)


def curves(rounds: int, networks: int = 1, epochs: int = 3) -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.concat(
        pd.DataFrame(random.random((epochs, 6)), columns=CURVE_COLUMNS).assign(
            epoch=range(1, epochs + 1), round=round_, network=f"network_{network}"
        )
        for round_ in range(rounds)
        for network in range(networks)
    )


def confusion(rounds: int, n: int = 50, emotions: int = len(EMOTIONS)) -> pd.DataFrame:
    random = np.random.default_rng(0)
    names = np.array(EMOTIONS[:emotions])
    return pd.DataFrame(
        {
            "round": np.repeat(np.arange(rounds), n),
            "actual": names[random.integers(0, emotions, rounds * n)],
            "predicted": names[random.integers(0, emotions, rounds * n)],
        }
    )


def reliability(rounds: int) -> pd.DataFrame:
    return pd.concat(
        metrics.reliability_bins(*probs_and_labels(40, seed), 10).assign(round=round_, calibration=calibration)
        for round_ in range(rounds)
        for seed, calibration in enumerate(("before", "after"))
    )


def coverage(rounds: int, known: bool = True) -> pd.DataFrame:
    probs, truth = probs_and_labels(40)
    curve = metrics.coverage_curve(probs, truth if known else np.full(40, -1))
    none = [pd.DataFrame(columns=["round", *curve.columns])]
    return pd.concat([curve.assign(round=round_) for round_ in range(1, rounds + 1)] or none)


def montage(path: Path) -> None:
    faces = np.random.default_rng(0).integers(0, 256, (2, 3, 16, 16), dtype=np.uint8)
    plots.plot_montage(path, faces, ["happy", "sad"], ["original", "1", "2"], "Faces")


SAME = dict.fromkeys(EMOTIONS, 0.8)
EACH = dict.fromkeys(EMOTIONS, 0.5) | {"happy": 0.9, "sad": 0.0, "fear": 1.0}
NEAR = {emotion: 0.3 + place / 250 for place, emotion in enumerate(EMOTIONS)}
PICTURES: dict[str, Draw] = {
    "curves of 1 round": lambda path: plots.plot_learning_curves(path, curves(1)),
    "curves of 7 rounds and 3 networks": lambda path: plots.plot_learning_curves(path, curves(7, 3)),
    "curves of 1 epoch": lambda path: plots.plot_learning_curves(path, curves(2, 2, epochs=1)),
    "confusion of 1 round": lambda path: plots.plot_confusion(path, confusion(1), EMOTIONS),
    "confusion of 4 rounds": lambda path: plots.plot_confusion(path, confusion(4), EMOTIONS),
    "confusion without an emotion": lambda path: plots.plot_confusion(path, confusion(2, emotions=5), EMOTIONS),
    "confusion of 1 face": lambda path: plots.plot_confusion(path, confusion(1, n=1), EMOTIONS),
    "reliability of 1 round": lambda path: plots.plot_reliability(path, reliability(1)),
    "reliability of 4 rounds": lambda path: plots.plot_reliability(path, reliability(4)),
    "coverage of no round": lambda path: plots.plot_coverage(path, coverage(0), {}),
    "coverage of 1 round": lambda path: plots.plot_coverage(path, coverage(1), {1: SAME}),
    "coverage of 4 rounds": lambda path: plots.plot_coverage(path, coverage(4), dict.fromkeys(range(1, 5), SAME)),
    "coverage with thresholds for each emotion": lambda path: plots.plot_coverage(path, coverage(1), {1: EACH}),
    "coverage with thresholds near one another": lambda path: plots.plot_coverage(path, coverage(1), {1: NEAR}),
    "coverage without truth": lambda path: plots.plot_coverage(path, coverage(1, known=False), {1: SAME}),
    "montage": montage,
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_readable_and_not_blank(tmp_path: Path, name: str) -> None:
    path = tmp_path / "new" / "picture.png"
    PICTURES[name](path)
    with Image.open(path) as image:
        assert 250 < image.width < 1600
        assert len(set(image.convert("L").tobytes())) > 20
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("draw", [PICTURES["curves of 1 round"], PICTURES["confusion of 1 round"], montage])
def test_the_same_figures_give_the_same_bytes_whatever_the_users_settings(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "one.png")
    with matplotlib.rc_context({"font.size": 30, "axes.grid": False, "savefig.dpi": 20}):
        draw(tmp_path / "other.png")
        assert matplotlib.rcParams["font.size"] == 30, "the user's settings stay as they were"
    written = (tmp_path / "one.png").read_bytes()
    assert written == (tmp_path / "other.png").read_bytes()
    assert b"matplotlib" not in written.lower()


def test_other_figures_give_another_picture(tmp_path: Path) -> None:
    plots.plot_confusion(tmp_path / "one.png", confusion(1, n=50), EMOTIONS)
    plots.plot_confusion(tmp_path / "other.png", confusion(1, n=60), EMOTIONS)
    assert (tmp_path / "one.png").read_bytes() != (tmp_path / "other.png").read_bytes()


def test_a_picture_that_fails_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "confusion.png"
    plots.plot_confusion(path, confusion(1), EMOTIONS)
    before = path.read_bytes()
    with pytest.raises(InputError):
        plots.plot_confusion(path, confusion(1).assign(actual="bored"), EMOTIONS)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
