"""The pictures of `explain` show the faces that they say, at sizes that people can see."""

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


def table(n: int = N) -> pd.DataFrame:
    return pd.DataFrame({"id": [f"{row:03}" for row in range(n)], "source": "drawn"})


def probs(n: int = N) -> np.ndarray:
    return np.random.default_rng(1).dirichlet(np.ones(3), n).astype(np.float32)


def faces(n: int = N, size: int = 48) -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, (n, size, size), dtype=np.uint8)


def voter(size: int = 48) -> EnsembleMember:
    torch.manual_seed(0)
    facts = weights.ModelConfig(network="se_resnet9", emotions=EMOTIONS, size=size, dropout=0.1, input_px=None)
    return EnsembleMember(facts.build(), "se_resnet9, round 1", EMOTIONS)


def test_each_group_has_the_faces_that_it_names() -> None:
    labels, said = np.arange(N) % 3, probs()
    taken, sure = said.argmax(axis=1), said.max(axis=1)
    for emotion in range(3):
        groups = selection.select_test_examples(emotion, said, labels, table(), 4)
        right, wrong = groups["right and confident"], groups["wrong and confident"]
        assert (labels[np.concatenate(list(groups.values()))] == emotion).all()
        assert (taken[right] == emotion).all()
        assert (taken[wrong] != emotion).all()
        others = np.setdiff1d(np.flatnonzero((labels == emotion) & (taken != emotion)), wrong)
        assert sure[wrong].min() >= sure[others].max(initial=0)
        gap = np.diff(np.sort(said, axis=1)[:, -2:])[:, 0]
        assert gap[groups["on the border"]].max() <= np.sort(gap[labels == emotion])[3]


def test_pseudo_labels_are_shown_from_the_surest_to_the_least_sure() -> None:
    said, pool = probs(), np.arange(N) % 2 == 0
    accepted = pool & (said.max(axis=1) > 0.6)
    for emotion in range(3):
        groups = selection.select_pseudo_label_examples(emotion, said, accepted, pool, table(), 3)
        for heading, where in (("accepted", accepted), ("not accepted", pool & ~accepted)):
            among = np.flatnonzero(where & (said.argmax(axis=1) == emotion))
            sure = said.max(axis=1)[groups[heading]]
            assert len(sure) == min(3, len(among))
            assert set(groups[heading]) <= set(among)
            assert (np.diff(sure) <= 0).all()
            if len(among):
                assert {sure[0], sure[-1]} == {said.max(axis=1)[among].max(), said.max(axis=1)[among].min()}


def test_the_surest_of_each_emotion_is_right() -> None:
    labels, said = np.arange(N) % 3, probs()
    rows = selection.select_most_confident(said, labels, table())
    assert labels[rows].tolist() == said[rows].argmax(axis=1).tolist() == [0, 1, 2]
    assert len(selection.select_most_confident(said[:0], labels[:0], table(0))) == 0


@pytest.mark.parametrize("size", [24, 48, 200])
@pytest.mark.parametrize("n", [0, 1, N])
def test_every_page_is_written_and_said_in_words(tmp_path: Path, size: int, n: int) -> None:
    shown, said, labels = faces(n, size), probs(n), np.arange(n) % 3
    pages = gallery.write_test_pages(tmp_path, voter(size), shown, said, labels, table(n))
    everyone = np.ones(n, dtype=bool)
    pages += gallery.write_pseudo_label_pages(
        tmp_path, 1, EMOTIONS, shown, said, said.max(axis=1) > 0.5, everyone, table(n)
    )
    assert [page["file"] for page in pages] == [
        f"{part}_{emotion}.png" for part in ("test", "pseudo_labels") for emotion in EMOTIONS
    ]
    for page in pages:
        picture = np.asarray(Image.open(tmp_path / page["file"]).convert("L"))
        assert picture.shape[1] == heatmaps.PAGE_WIDTH
        assert picture[: 3 * heatmaps.PAGE_MARGIN].min() < 60, "the title can be read"
        assert page["alt"]


def test_the_same_faces_give_the_same_bytes(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        gallery.write_methods_page(folder, voter(), faces(3), np.array([0, 1, 2]))
        gallery.write_feature_maps_page(folder, voter(), faces(1)[0])
    for name in ("ways.png", "maps.png"):
        assert (one / name).read_bytes() == (other / name).read_bytes()


def test_cam_is_among_the_ways_where_it_applies(tmp_path: Path) -> None:
    assert (
        "Grad-CAM, CAM, pixel gradient" in gallery.write_methods_page(tmp_path, voter(), faces(1), np.array([0]))["alt"]
    )
    linear = EnsembleMember(nn.Sequential(nn.Flatten(), nn.Linear(48 * 48, 3)), "linear, round 0", EMOTIONS)
    assert "heat of pixel gradient" in gallery.write_methods_page(tmp_path, linear, faces(1), np.array([0]))["alt"]
    pages = gallery.write_test_pages(tmp_path, linear, faces(), probs(), np.arange(N) % 3, table())
    assert all("heat of pixel gradient" in page["alt"] for page in pages)


def test_without_heat_a_face_is_as_it_was_and_with_most_it_is_bright() -> None:
    grey = np.full((48, 48), 90, dtype=np.uint8)
    cold, hot = (heatmaps.overlay_heat(grey, np.full((48, 48), heat, dtype=np.float32)) for heat in (0, 1))
    assert (cold == 90).all()
    assert cold.shape == (heatmaps.FACE_TILE_PX, heatmaps.FACE_TILE_PX, 3)
    assert (hot.astype(int).sum(axis=2) > 3 * 150).all()
