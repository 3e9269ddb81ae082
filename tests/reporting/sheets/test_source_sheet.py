"""A source's sheet can be looked at whatever the source is like, and shows its faces as they are."""

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

from fer.core.labels import EMOTIONS, TABLE_COLUMNS
from fer.data.media.images import resize_face
from fer.reporting.sheets import source_sheet
from fer.reporting.sheets.source_sheet import FACES_LEFT, SHEET_MARGIN, SHEET_WIDTH, TILE, write_source_sheet

FACES = np.random.default_rng(0).integers(0, 256, (400, 16, 16), dtype=np.uint8)
LONG = "a reason with more words than there is room for " * 20
FOREIGN = "$\\frac{$/照片/한국어/фото/صورة/चित्र/\U0001f600/\u202egpj.exe/\udcff/$x_1^{2}$/a\tb\nc\x00"


def table(fold: str | list[str], emotion: str | list[str] = "", reason: str | list[str] = "", n: int = 40) -> Any:
    """The rows of a source; where a list is shorter than `n`, it is repeated."""
    cycled = {"fold": fold, "emotion": emotion, "reason": reason}
    columns = {name: np.resize(np.array(values, dtype=object), n) for name, values in cycled.items()}
    rows = pd.DataFrame(columns | {"id": [f"{row}.jpg" for row in range(n)], "twin_in_train": False})
    return rows.assign(source="mine", votes="", group="")[list(TABLE_COLUMNS)]


def report(left_out: Mapping[str, int] | None = None, notes: tuple[str, ...] = (), **others: Any) -> dict[str, Any]:
    found = {reason: {"count": n, "examples": [f"{FOREIGN}: {LONG}"]} for reason, n in (left_out or {}).items()}
    about = {"reader": "photos", "terms": "the user's own", "faces": 40, "pictures": 40, "pictures_with_a_face": 40}
    return about | {"mean": 127.5, "dropped": found, "left_out": found, "notes": list(notes)} | others


LABELLED = table(["train"] * 4 + ["valid", "test"], list(EMOTIONS), n=400)
REASONS = [f"same picture as a face of {'very_' * 30}long_{number}" for number in range(12)]
SOURCES = {
    "all emotions": (LABELLED, report()),
    "one emotion": (table("train", "happy"), report()),
    "one face": (table("test", "contempt", n=1), report()),
    "a pool": (table("unlabelled", n=400), report(pictures=10**7, pictures_with_a_face=10**6, faces=10**7)),
    "hidden labels": (table(["train", "unlabelled"], ["sad", ""], ["", "label hidden"]), report()),
    "all excluded": (table("excluded", "happy", REASONS), report()),
    "no face": (table("train", n=0), report()),
    "every fold": (table(["train", "valid", "test", "unlabelled", "excluded"], ["fear", "fear", "fear", ""]), report()),
    "many left out": (LABELLED, report({f"{number} {LONG}": 10**number for number in range(10)})),
    "many notes": (LABELLED, report(notes=("short", LONG * 3, "x" * 5000, FOREIGN, "", "a", "b", "c"))),
    "long terms": (LABELLED, report(terms=LONG, reader="r" * 300)),
    "twins": (LABELLED.assign(twin_in_train=LABELLED["fold"] == "test"), report()),
    "too bright": (table("train", "happy"), report(mean=255.0)),
}


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("L"))


def margins_are_white(page: np.ndarray) -> bool:
    return bool((page[:, : SHEET_MARGIN - 8] == 255).all() and (page[:, SHEET_WIDTH - SHEET_MARGIN + 8 :] == 255).all())


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_has_a_sheet_within_its_margins(tmp_path: Path, name: str) -> None:
    rows, about = SOURCES[name]
    path = tmp_path / "new" / "mine.png"
    write_source_sheet(path, "mine", FACES, rows, about)
    page = pixels(path)
    assert page.shape[1] == SHEET_WIDTH
    assert 300 < page.shape[0] < 3000
    assert page.min() < 100
    assert margins_are_white(page)
    assert list(path.parent.iterdir()) == [path]


@given(text=st.text(max_size=300), name=st.text(st.characters(codec="ascii"), max_size=80))
@settings(max_examples=15, deadline=None)
def test_no_text_breaks_a_sheet(tmp_path_factory: pytest.TempPathFactory, text: str, name: str) -> None:
    path = tmp_path_factory.getbasetemp() / "texts.png"
    about = report({text: 3}, notes=(text,), terms=text)
    write_source_sheet(path, name, FACES, table("excluded", "happy", [text, name]), about)
    assert margins_are_white(pixels(path))


@pytest.mark.parametrize(("size", "notes"), [(16, 0), (TILE, 1), (100, 2), (TILE, 3), (TILE, 4)])
def test_faces_are_shown_in_their_order_and_pixel_for_pixel_within_a_grey_level(
    tmp_path: Path, size: int, notes: int
) -> None:
    faces = np.random.default_rng(1).integers(0, 256, (50, size, size), dtype=np.uint8)
    rows = table("train", ["happy", "sad"], n=20).set_index(pd.RangeIndex(30, 50))
    write_source_sheet(tmp_path / "mine.png", "mine", faces, rows, report(notes=("a note",) * notes))
    column = pixels(tmp_path / "mine.png")[:, FACES_LEFT : FACES_LEFT + TILE]
    windows = np.lib.stride_tricks.sliding_window_view(column, (TILE, TILE))[:, 0]
    happy, sad = (
        np.flatnonzero((abs(windows - resize_face(faces[row], TILE).astype(int)) < 2).all(axis=(1, 2)))
        for row in (30, 31)
    )
    assert len(happy) == len(sad) == 1
    assert happy[0] < sad[0]


class Watched(np.ndarray):
    """An array that remembers the rows that were looked at."""

    looked_at: list[int]

    def __getitem__(self, key: Any) -> Any:
        self.looked_at.append(key)
        return np.asarray(self)[key]


def test_of_a_large_source_only_some_faces_are_read_from_its_beginning_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_sheet, "BRIGHTNESS_SAMPLE", 10)
    faces = np.zeros((5000, 16, 16), dtype=np.uint8).view(Watched)
    faces.looked_at = []
    rows = table(["train", "unlabelled"], ["happy", ""], n=5000)
    write_source_sheet(tmp_path / "mine.png", "mine", faces, rows, report())
    assert {0, 1, 4998, 4999} <= set(faces.looked_at)
    assert len(faces.looked_at) < 150


def test_the_same_source_gives_the_same_bytes_whatever_the_users_settings(tmp_path: Path) -> None:
    rows, about = SOURCES["every fold"]
    write_source_sheet(tmp_path / "one.png", "mine", FACES, rows, about)
    with matplotlib.rc_context({"font.size": 30, "text.hinting": "none", "savefig.dpi": 20, "figure.dpi": 30}):
        write_source_sheet(tmp_path / "other.png", "mine", FACES, rows, about)
    written = (tmp_path / "one.png").read_bytes()
    assert written == (tmp_path / "other.png").read_bytes()
    assert b"matplotlib" not in written.lower()


SEEN = {
    "its name": {"source": "other"},
    "a label": {"table": LABELLED.assign(emotion=LABELLED["emotion"].replace("sad", "fear"))},
    "a fold": {"table": LABELLED.assign(fold=LABELLED["fold"].replace("valid", "train"))},
    "a twin": {"table": SOURCES["twins"][0]},
    "its pixels": {"faces": FACES // 2},
    "a note": {"report": report(notes=("pixel statistics differ between folds",))},
    "its terms": {"report": report(terms="CC BY 4.0")},
    "its mean": {"report": report(mean=100.0)},
    "what was left out": {"report": report({"empty file": 1})},
    "pictures without a face": {"report": report(pictures=41)},
}


@pytest.mark.parametrize("what", SEEN)
def test_it_shows(tmp_path: Path, what: str) -> None:
    usual: dict[str, Any] = {"source": "mine", "faces": FACES, "table": LABELLED, "report": report()}
    write_source_sheet(tmp_path / "one.png", **usual)
    write_source_sheet(tmp_path / "other.png", **usual | SEEN[what])
    assert (tmp_path / "one.png").read_bytes() != (tmp_path / "other.png").read_bytes()


def test_why_faces_are_excluded_is_shown_the_most_common_reasons_first(tmp_path: Path) -> None:
    """Seven faces of the rarest reason, bright, stand below the many of the most common one, dark."""
    faces = np.zeros((400, 16, 16), dtype=np.uint8)
    rows = table("excluded", "happy", ["a blank picture", *["same picture"] * 49], n=400)
    faces[rows["reason"] == "a blank picture"] = 200
    write_source_sheet(tmp_path / "mine.png", "mine", faces, rows, report())
    column = pixels(tmp_path / "mine.png")[:, FACES_LEFT + TILE // 2]
    dark, bright = (np.flatnonzero(column == grey) for grey in (0, 200))
    assert len(dark) == len(bright) == TILE
    assert dark[0] < bright[0]
