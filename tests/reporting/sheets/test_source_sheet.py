"""Every source has a readable sheet that shows its faces."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fer.core.labels import EMOTIONS
from fer.core.table import TABLE_COLUMNS
from fer.reporting.sheets import source_sheet
from fer.reporting.sheets.source_sheet import write_source_sheet

FACES = np.random.default_rng(0).integers(0, 256, (400, 16, 16), dtype=np.uint8)


def make_table(fold: str | list[str], emotion: str | list[str] = "", reason: str | list[str] = "", n: int = 40) -> Any:
    """Return the rows of a source, repeating lists that are shorter than `n`."""
    cycled = {"fold": fold, "emotion": emotion, "reason": reason}
    columns = {name: np.resize(np.array(values, dtype=object), n) for name, values in cycled.items()}
    rows = pd.DataFrame(columns | {"id": [f"{row}.jpg" for row in range(n)], "twin_in_train": False})
    return rows.assign(source="mine", votes="", group="")[list(TABLE_COLUMNS)]


LABELLED = make_table(["train"] * 4 + ["valid", "test"], list(EMOTIONS), n=400)
EVERY_FOLD = make_table(["train", "valid", "test", "unlabelled", "excluded"], ["fear", "fear", "fear", ""])
SOURCES = {
    "all emotions": LABELLED,
    "one face": make_table("test", "contempt", n=1),
    "a pool": make_table("unlabelled", n=400),
    "hidden labels": make_table(["train", "unlabelled"], ["sad", ""], ["", "label hidden"]),
    "all excluded": make_table("excluded", "happy", [f"same picture as face {number}" for number in range(12)]),
    "no face": make_table("train", n=0),
    "every fold": EVERY_FOLD,
}


def read_pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("L"))


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_has_a_readable_sheet(tmp_path: Path, name: str) -> None:
    path = tmp_path / "new" / "mine.png"
    write_source_sheet(path, "mine", FACES, SOURCES[name])
    page = read_pixels(path)
    assert 400 < page.shape[1] < 1600
    assert 50 < page.shape[0] < 3000
    assert page.min() < 100
    assert list(path.parent.iterdir()) == [path]


def first_rows(path: Path, *greys: int) -> list[int]:
    """Return the first row of pixels in which the faces of each grey are."""
    page = read_pixels(path)
    return [int(np.flatnonzero((page == grey).sum(axis=1) > 20)[0]) for grey in greys]


def test_emotions_are_in_order_and_above_the_reasons_by_frequency(tmp_path: Path) -> None:
    reasons = ["a blank picture", "same picture", "same picture", ""]
    rows = make_table(["excluded"] * 3 + ["train"], ["happy", "happy", "sad", "sad"], reasons).iloc[:-2]
    rows = pd.concat([rows, make_table("train", "angry", n=2).set_index(pd.Index([398, 399]))])
    faces = np.full((400, 16, 16), 215, dtype=np.uint8)  # angry
    faces[:40] = np.resize([50, 100, 100, 150], 40)[:, None, None]
    write_source_sheet(tmp_path / "mine.png", "mine", faces, rows)
    tops = first_rows(tmp_path / "mine.png", 215, 150, 100, 50)
    assert tops == sorted(tops)
    assert min(np.diff(tops)) > source_sheet.TILE_INCHES * 100


class RecordingArray(np.ndarray):
    """An array that records which rows are read."""

    rows_read: list[int]

    def __getitem__(self, key: Any) -> Any:
        self.rows_read.append(key)
        return np.asarray(self)[key]


def test_faces_of_a_large_source_are_sampled_over_all_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_sheet, "BRIGHTNESS_SAMPLE", 10)
    faces = np.zeros((5000, 16, 16), dtype=np.uint8).view(RecordingArray)
    faces.rows_read = []
    rows = make_table(["train", "unlabelled"], ["happy", ""], n=5000)
    write_source_sheet(tmp_path / "mine.png", "mine", faces, rows)
    assert {0, 1, 4998, 4999} <= set(faces.rows_read)
    assert len(faces.rows_read) < 150


def test_same_source_gives_the_same_bytes_for_any_matplotlib_settings(tmp_path: Path) -> None:
    write_source_sheet(tmp_path / "first.png", "mine", FACES, EVERY_FOLD)
    with matplotlib.rc_context({"font.size": 30, "text.hinting": "none", "savefig.dpi": 20, "figure.dpi": 30}):
        write_source_sheet(tmp_path / "second.png", "mine", FACES, EVERY_FOLD)
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()


CHANGES = {
    "the name": {"source": "other"},
    "a label": {"table": LABELLED.assign(emotion=LABELLED["emotion"].replace("sad", "fear"))},
    "a fold": {"table": LABELLED.assign(fold=LABELLED["fold"].replace("valid", "train"))},
    "the pixels": {"faces": FACES // 2},
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_of_a_source_changes_the_sheet(tmp_path: Path, change: str) -> None:
    arguments: dict[str, Any] = {"source": "mine", "faces": FACES, "table": LABELLED}
    write_source_sheet(tmp_path / "first.png", **arguments)
    write_source_sheet(tmp_path / "second.png", **arguments | CHANGES[change])
    assert (tmp_path / "first.png").read_bytes() != (tmp_path / "second.png").read_bytes()
