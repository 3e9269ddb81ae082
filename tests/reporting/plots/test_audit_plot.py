"""The picture of the audit is drawn for every shape of it."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fer.core.labels import EMOTIONS
from fer.reporting.plots import audit_plot


def audit(emotions: int = 7, true: bool = True, estimated: bool = True, accepted: int = 30) -> dict[str, Any]:
    interval = {"low": 0.5, "high": 0.9}
    figures: dict[str, Any] = {"accepted": accepted, "unlabelled": 1000}
    figures |= {"precision": 0.8, "precision_interval": interval} if true else {}
    figures |= {"estimated_precision": 0.7, "estimated_precision_interval": interval} if estimated else {}
    shares = {"share_of_labelled": 0.1, "share_with_pseudo_labels": 0.2}
    each = dict.fromkeys(EMOTIONS[:emotions], figures | shares)
    return figures | {"per_emotion": each, "shift": {"shifted": not true}}


def without_a_pool() -> dict[str, Any]:
    shares = {"share_of_labelled": 0.1, "share_with_pseudo_labels": 0.1}
    return {"unlabelled": 0, "accepted": 0, "per_emotion": dict.fromkeys(EMOTIONS[:7], shares)}


def drawn(path: Path, audits: dict[int, Any]) -> bytes:
    audit_plot.plot_audit(path, audits)
    with Image.open(path) as image:
        assert 250 < image.width < 1600
        assert len(set(image.convert("L").tobytes())) > 20
    return path.read_bytes()


@pytest.mark.parametrize(
    "audits",
    [{}, {1: audit()}, {1: audit(8), 2: audit(8), 3: audit(8, true=False)}, {1: audit(2)}, {1: without_a_pool()}],
    ids=["no round", "one round", "three rounds", "two emotions", "no pool"],
)
def test_the_picture_is_readable_and_not_blank(tmp_path: Path, audits: dict[int, Any]) -> None:
    drawn(tmp_path / "picture.png", audits)


def test_truth_estimate_and_balance_each_show(tmp_path: Path) -> None:
    pictures = [audit(), audit(true=False), audit(estimated=False), audit(true=False, estimated=False)]
    moved = audit()
    moved["per_emotion"]["happy"] = moved["per_emotion"]["happy"] | {"share_with_pseudo_labels": 0.3}
    written = {drawn(tmp_path / "picture.png", {1: figures}) for figures in (*pictures, moved)}
    assert len(written) == 5


def test_the_same_figures_give_the_same_bytes(tmp_path: Path) -> None:
    assert drawn(tmp_path / "one.png", {1: audit()}) == drawn(tmp_path / "other.png", {1: audit()})
