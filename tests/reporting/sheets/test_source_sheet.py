"""Every source has a readable sheet that shows its faces unchanged."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fer.core.labels import EMOTIONS
from fer.core.table import TABLE_COLUMNS
from fer.data.media.images import resize_face
from fer.reporting.sheets import source_sheet
from fer.reporting.sheets.source_sheet import FACES_LEFT, SHEET_MARGIN, SHEET_WIDTH, TILE, write_source_sheet

FACES = np.random.default_rng(0).integers(0, 256, (400, 16, 16), dtype=np.uint8)
LONG = "a reason with more words than there is room for " * 20
FOREIGN = "$\\frac{$/照片/한국어/фото/صورة/चित्र/\U0001f600/\u202egpj.exe/\udcff/$x_1^{2}$/a\tb\nc\x00"


def make_table(fold: str | list[str], emotion: str | list[str] = "", reason: str | list[str] = "", n: int = 40) -> Any:
    """Return the rows of a source, repeating lists that are shorter than `n`."""
    cycled = {"fold": fold, "emotion": emotion, "reason": reason}
    columns = {name: np.resize(np.array(values, dtype=object), n) for name, values in cycled.items()}
    rows = pd.DataFrame(columns | {"id": [f"{row}.jpg" for row in range(n)], "twin_in_train": False})
    return rows.assign(source="mine", votes="", group="")[list(TABLE_COLUMNS)]


def make_report(
    left_out: Mapping[str, int] | None = None, notes: tuple[str, ...] = (), **changes: Any
) -> dict[str, Any]:
    skipped = {reason: {"count": n, "examples": [f"{FOREIGN}: {LONG}"]} for reason, n in (left_out or {}).items()}
    report = {"reader": "photos", "terms": "the user's own", "faces": 40, "pictures": 40, "pictures_with_a_face": 40}
    return report | {"mean": 127.5, "dropped": skipped, "left_out": skipped, "notes": list(notes)} | changes


LABELLED = make_table(["train"] * 4 + ["valid", "test"], list(EMOTIONS), n=400)
REASONS = [f"same picture as a face of {'very_' * 30}long_{number}" for number in range(12)]
SOURCES = {
    "all emotions": (LABELLED, make_report()),
    "one emotion": (make_table("train", "happy"), make_report()),
    "one face": (make_table("test", "contempt", n=1), make_report()),
    "a pool": (make_table("unlabelled", n=400), make_report(pictures=10**7, pictures_with_a_face=10**6, faces=10**7)),
    "hidden labels": (make_table(["train", "unlabelled"], ["sad", ""], ["", "label hidden"]), make_report()),
    "all excluded": (make_table("excluded", "happy", REASONS), make_report()),
    "no face": (make_table("train", n=0), make_report()),
    "every fold": (
        make_table(["train", "valid", "test", "unlabelled", "excluded"], ["fear", "fear", "fear", ""]),
        make_report(),
    ),
    "many left out": (LABELLED, make_report({f"{number} {LONG}": 10**number for number in range(10)})),
    "many notes": (LABELLED, make_report(notes=("short", LONG * 3, "x" * 5000, FOREIGN, "", "a", "b", "c"))),
    "long terms": (LABELLED, make_report(terms=LONG, reader="r" * 300)),
    "twins": (LABELLED.assign(twin_in_train=LABELLED["fold"] == "test"), make_report()),
    "too bright": (make_table("train", "happy"), make_report(mean=255.0)),
}


def read_pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("L"))


def has_white_margins(page: np.ndarray) -> bool:
    return bool((page[:, : SHEET_MARGIN - 8] == 255).all() and (page[:, SHEET_WIDTH - SHEET_MARGIN + 8 :] == 255).all())


@pytest.mark.parametrize("name", SOURCES)
def test_sheet_keeps_its_margins(tmp_path: Path, name: str) -> None:
    rows, report = SOURCES[name]
    path = tmp_path / "new" / "mine.png"
    write_source_sheet(path, "mine", FACES, rows, report)
    page = read_pixels(path)
    assert page.shape[1] == SHEET_WIDTH
    assert 300 < page.shape[0] < 3000
    assert page.min() < 100
    assert has_white_margins(page)
    assert list(path.parent.iterdir()) == [path]


@given(text=st.text(max_size=300), name=st.text(st.characters(codec="ascii"), max_size=80))
@settings(max_examples=15, deadline=None)
def test_any_text_fits_on_the_sheet(tmp_path_factory: pytest.TempPathFactory, text: str, name: str) -> None:
    path = tmp_path_factory.getbasetemp() / "texts.png"
    report = make_report({text: 3}, notes=(text,), terms=text)
    write_source_sheet(path, name, FACES, make_table("excluded", "happy", [text, name]), report)
    assert has_white_margins(read_pixels(path))


@pytest.mark.parametrize(("size", "notes"), [(16, 0), (TILE, 1), (100, 2), (TILE, 3), (TILE, 4)])
def test_faces_are_drawn_in_order_and_not_resampled(tmp_path: Path, size: int, notes: int) -> None:
    faces = np.random.default_rng(1).integers(0, 256, (50, size, size), dtype=np.uint8)
    rows = make_table("train", ["happy", "sad"], n=20).set_index(pd.RangeIndex(30, 50))
    write_source_sheet(tmp_path / "mine.png", "mine", faces, rows, make_report(notes=("a note",) * notes))
    column = read_pixels(tmp_path / "mine.png")[:, FACES_LEFT : FACES_LEFT + TILE]
    windows = np.lib.stride_tricks.sliding_window_view(column, (TILE, TILE))[:, 0]
    happy, sad = (
        np.flatnonzero((abs(windows - resize_face(faces[row], TILE).astype(int)) < 2).all(axis=(1, 2)))
        for row in (30, 31)
    )
    assert len(happy) == len(sad) == 1
    assert happy[0] < sad[0]


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
    write_source_sheet(tmp_path / "mine.png", "mine", faces, rows, make_report())
    assert {0, 1, 4998, 4999} <= set(faces.rows_read)
    assert len(faces.rows_read) < 150


def test_same_source_gives_the_same_bytes_for_any_matplotlib_settings(tmp_path: Path) -> None:
    rows, report = SOURCES["every fold"]
    write_source_sheet(tmp_path / "first.png", "mine", FACES, rows, report)
    with matplotlib.rc_context({"font.size": 30, "text.hinting": "none", "savefig.dpi": 20, "figure.dpi": 30}):
        write_source_sheet(tmp_path / "second.png", "mine", FACES, rows, report)
    content = (tmp_path / "first.png").read_bytes()
    assert content == (tmp_path / "second.png").read_bytes()
    assert b"matplotlib" not in content.lower()


CHANGES = {
    "the name": {"source": "other"},
    "a label": {"table": LABELLED.assign(emotion=LABELLED["emotion"].replace("sad", "fear"))},
    "a fold": {"table": LABELLED.assign(fold=LABELLED["fold"].replace("valid", "train"))},
    "a twin": {"table": SOURCES["twins"][0]},
    "the pixels": {"faces": FACES // 2},
    "a note": {"report": make_report(notes=("pixel statistics differ",))},
    "the terms": {"report": make_report(terms="CC BY 4.0")},
    "the mean": {"report": make_report(mean=100.0)},
    "a skipped item": {"report": make_report({"empty file": 1})},
    "images without a face": {"report": make_report(pictures=41)},
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_of_a_source_changes_the_sheet(tmp_path: Path, change: str) -> None:
    arguments: dict[str, Any] = {"source": "mine", "faces": FACES, "table": LABELLED, "report": make_report()}
    write_source_sheet(tmp_path / "first.png", **arguments)
    write_source_sheet(tmp_path / "second.png", **arguments | CHANGES[change])
    assert (tmp_path / "first.png").read_bytes() != (tmp_path / "second.png").read_bytes()


def test_reasons_for_exclusion_are_sorted_by_frequency(tmp_path: Path) -> None:
    """The few bright faces of the rarest reason are below the many dark faces of the most common reason."""
    faces = np.zeros((400, 16, 16), dtype=np.uint8)
    rows = make_table("excluded", "happy", ["a blank picture", *["same picture"] * 49], n=400)
    faces[rows["reason"] == "a blank picture"] = 200
    write_source_sheet(tmp_path / "mine.png", "mine", faces, rows, make_report())
    column = read_pixels(tmp_path / "mine.png")[:, FACES_LEFT + TILE // 2]
    dark, bright = (np.flatnonzero(column == grey) for grey in (0, 200))
    assert len(dark) == len(bright) == TILE
    assert dark[0] < bright[0]
