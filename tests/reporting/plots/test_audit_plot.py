"""The audit plot is drawn for every shape of an audit."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fer.core.labels import EMOTIONS
from fer.reporting.plots import audit_plot


def make_audit(emotions: int = 7, true: bool = True, estimated: bool = True, accepted: int = 30) -> dict[str, Any]:
    interval = {"low": 0.5, "high": 0.9}
    scores: dict[str, Any] = {"accepted": accepted, "unlabelled": 1000}
    scores |= {"precision": 0.8, "precision_interval": interval} if true else {}
    scores |= {"estimated_precision": 0.7, "estimated_precision_interval": interval} if estimated else {}
    shares = {"share_of_labelled": 0.1, "share_with_pseudo_labels": 0.2}
    per_emotion = dict.fromkeys(EMOTIONS[:emotions], scores | shares)
    return scores | {"per_emotion": per_emotion, "shift": {"shifted": not true}}


def make_empty_audit() -> dict[str, Any]:
    shares = {"share_of_labelled": 0.1, "share_with_pseudo_labels": 0.1}
    return {"unlabelled": 0, "accepted": 0, "per_emotion": dict.fromkeys(EMOTIONS[:7], shares)}


def draw_audit(path: Path, audits: dict[int, Any]) -> bytes:
    audit_plot.plot_audit(path, audits)
    with Image.open(path) as image:
        assert 250 < image.width < 1600
        assert len(set(image.convert("L").tobytes())) > 20
    return path.read_bytes()


@pytest.mark.parametrize(
    "audits",
    [
        {},
        {1: make_audit()},
        {1: make_audit(8), 2: make_audit(8), 3: make_audit(8, true=False)},
        {1: make_audit(2)},
        {1: make_empty_audit()},
    ],
    ids=["no round", "one round", "three rounds", "two emotions", "no pool"],
)
def test_plot_is_readable_and_not_blank(tmp_path: Path, audits: dict[int, Any]) -> None:
    draw_audit(tmp_path / "plot.png", audits)


def test_truth_estimate_and_balance_change_the_plot(tmp_path: Path) -> None:
    audits = [
        make_audit(),
        make_audit(true=False),
        make_audit(estimated=False),
        make_audit(true=False, estimated=False),
    ]
    balanced = make_audit()
    balanced["per_emotion"]["happy"] = balanced["per_emotion"]["happy"] | {"share_with_pseudo_labels": 0.3}
    contents = {draw_audit(tmp_path / "plot.png", {1: scores}) for scores in (*audits, balanced)}
    assert len(contents) == 5


def test_same_audit_gives_the_same_bytes(tmp_path: Path) -> None:
    assert draw_audit(tmp_path / "first.png", {1: make_audit()}) == draw_audit(
        tmp_path / "second.png", {1: make_audit()}
    )
