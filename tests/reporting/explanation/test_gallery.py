"""The galleries of `explain` hold the faces that their headings name, at readable sizes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from fer.nn import weights
from fer.nn.weights import EnsembleMember
from fer.reporting.explanation import gallery, heatmaps, selection

EMOTIONS = ("angry", "happy", "sad")
N = 40


def make_table(n: int = N) -> pd.DataFrame:
    return pd.DataFrame({"id": [f"{row:03}" for row in range(n)], "source": "drawn"})


def random_probs(n: int = N) -> np.ndarray:
    return np.random.default_rng(1).dirichlet(np.ones(3), n).astype(np.float32)


def random_faces(n: int = N, size: int = 48) -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, (n, size, size), dtype=np.uint8)


def make_member(size: int = 48) -> EnsembleMember:
    torch.manual_seed(0)
    config = weights.ModelConfig(network="se_resnet9", emotions=EMOTIONS, size=size, dropout=0.1, input_px=None)
    return EnsembleMember(config.build(), "se_resnet9, round 1", EMOTIONS)


def test_groups_hold_the_faces_that_their_headings_name() -> None:
    labels, probs = np.arange(N) % 3, random_probs()
    predicted, confidence = probs.argmax(axis=1), probs.max(axis=1)
    for emotion in range(3):
        groups = selection.select_test_examples(emotion, probs, labels, make_table(), 4)
        right, wrong = groups["right and confident"], groups["wrong and confident"]
        assert (labels[np.concatenate(list(groups.values()))] == emotion).all()
        assert (predicted[right] == emotion).all()
        assert (predicted[wrong] != emotion).all()
        not_selected = np.setdiff1d(np.flatnonzero((labels == emotion) & (predicted != emotion)), wrong)
        assert confidence[wrong].min() >= confidence[not_selected].max(initial=0)
        margin = np.diff(np.sort(probs, axis=1)[:, -2:])[:, 0]
        assert margin[groups["on the border"]].max() <= np.sort(margin[labels == emotion])[3]


def test_pseudo_labels_are_sorted_by_confidence() -> None:
    probs, pool = random_probs(), np.arange(N) % 2 == 0
    accepted = pool & (probs.max(axis=1) > 0.6)
    for emotion in range(3):
        groups = selection.select_pseudo_label_examples(emotion, probs, accepted, pool, make_table(), 3)
        for heading, mask in (("accepted", accepted), ("not accepted", pool & ~accepted)):
            candidates = np.flatnonzero(mask & (probs.argmax(axis=1) == emotion))
            confidence = probs.max(axis=1)[groups[heading]]
            assert len(confidence) == min(3, len(candidates))
            assert set(groups[heading]) <= set(candidates)
            assert (np.diff(confidence) <= 0).all()
            if len(candidates):
                limits = probs.max(axis=1)[candidates]
                assert {confidence[0], confidence[-1]} == {limits.max(), limits.min()}


def test_most_confident_face_of_each_emotion_is_right() -> None:
    labels, probs = np.arange(N) % 3, random_probs()
    rows = selection.select_most_confident(probs, labels, make_table())
    assert labels[rows].tolist() == probs[rows].argmax(axis=1).tolist() == [0, 1, 2]
    assert len(selection.select_most_confident(probs[:0], labels[:0], make_table(0))) == 0


@pytest.mark.parametrize(("n", "size"), [(0, 48), (1, 24), (N, 48), (N, 200)])
def test_every_page_is_written_and_has_a_description(tmp_path: Path, size: int, n: int) -> None:
    faces, probs, labels = random_faces(n, size), random_probs(n), np.arange(n) % 3
    pages = gallery.write_test_pages(tmp_path, make_member(size), faces, probs, labels, make_table(n))
    accepted, pool = probs.max(axis=1) > 0.5, np.ones(n, dtype=bool)
    pages += gallery.write_pseudo_label_pages(tmp_path, 1, EMOTIONS, faces, probs, accepted, pool, make_table(n))
    assert [page["file"] for page in pages] == [
        f"{part}_{emotion}.png" for part in ("test", "pseudo_labels") for emotion in EMOTIONS
    ]
    for page in pages:
        pixels = np.asarray(Image.open(tmp_path / page["file"]).convert("L"))
        assert pixels.shape[1] == heatmaps.PAGE_WIDTH
        assert pixels[: 3 * heatmaps.PAGE_MARGIN].min() < 60, "the title is readable"
        assert page["alt"]


def test_same_faces_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        gallery.write_methods_page(folder, make_member(), random_faces(3), np.array([0, 1, 2]))
        gallery.write_feature_maps_page(folder, make_member(), random_faces(1)[0])
    for name in ("ways.png", "maps.png"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_cam_is_among_the_methods_if_it_applies(tmp_path: Path) -> None:
    page = gallery.write_methods_page(tmp_path, make_member(), random_faces(1), np.array([0]))
    assert "Grad-CAM, CAM, pixel gradient" in page["alt"]
    linear = EnsembleMember(nn.Sequential(nn.Flatten(), nn.Linear(48 * 48, 3)), "linear, round 0", EMOTIONS)
    assert (
        "heatmap by pixel gradient"
        in gallery.write_methods_page(tmp_path, linear, random_faces(1), np.array([0]))["alt"]
    )
    pages = gallery.write_test_pages(tmp_path, linear, random_faces(), random_probs(), np.arange(N) % 3, make_table())
    assert all("pixel gradient heatmap" in page["alt"] for page in pages)


def test_zero_heat_leaves_the_face_and_full_heat_is_bright() -> None:
    grey = np.full((48, 48), 90, dtype=np.uint8)
    cold, hot = (heatmaps.overlay_heat(grey, np.full((48, 48), heat, dtype=np.float32)) for heat in (0, 1))
    assert (cold == 90).all()
    assert cold.shape == (heatmaps.FACE_TILE_PX, heatmaps.FACE_TILE_PX, 3)
    assert (hot.astype(int).sum(axis=2) > 3 * 150).all()
