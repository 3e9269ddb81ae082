"""`fer explain` writes a page for each image, names both, and never overwrites an image of the user."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from bundles import write_package
from commands import call_fer, write_images
from PIL import Image

from fer.reporting.explanation.heatmaps import PAGE_WIDTH

PAGE = Path(__file__).parents[2] / "docs" / "explain.md"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of three images; the command runs in its parent, which has a package."""
    monkeypatch.chdir(tmp_path)
    write_package(tmp_path / "data" / "package")
    return write_images(tmp_path / "faces")


def test_each_image_is_explained(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call_fer(monkeypatch, "explain", "faces/2.png", "faces/0.png", "--out", "seen") is None
    assert capsys.readouterr().out.splitlines() == [
        "seen/0001.explained.png: faces/2.png",
        "seen/0002.explained.png: faces/0.png",
    ]
    for path in sorted(Path("seen").iterdir()):
        pixels = np.asarray(Image.open(path).convert("RGB"))
        assert pixels.shape[1] == PAGE_WIDTH
        assert np.ptp(pixels, axis=2).any(), "heat maps are coloured"


def test_unreadable_images_are_reported(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "1.png").write_bytes(b"no picture")
    Image.new("RGB", (300, 200)).save(folder / "3.png")
    assert call_fer(monkeypatch, "explain", "faces", "nowhere.jpg", "--out", "faces") == 1
    output = capsys.readouterr()
    assert len(output.out.splitlines()) == 2
    assert "faces/1.png: not a picture" in output.err
    assert "faces/3.png: no face" in output.err
    assert "nowhere.jpg" in output.err
    assert len(list(folder.iterdir())) == 6


def test_an_image_without_a_face_is_no_failure(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call_fer(monkeypatch, "explain", "faces/0.png", "--faces", "detect", "--out", "seen") is None


def test_out_must_be_a_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call_fer(monkeypatch, "explain", "faces", "--out", "faces/0.png") == 2
    assert call_fer(monkeypatch, "explain", "faces") == 2


def test_the_examples_of_the_page_work(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.rename("portraits")
    Image.open("portraits/0.png").save("selfie.jpg")
    commands = [line.partition(" #")[0] for line in re.findall("^    fer (.*)", PAGE.read_text(), re.M)]
    assert len(commands) == 2
    for command in commands:
        assert call_fer(monkeypatch, *shlex.split(command)) is None
    assert len(list(Path("explained").iterdir())) == 4
    (program,) = re.findall("```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names = {"image": np.zeros((64, 64, 3), dtype=np.uint8)}
    exec(program, names)
    assert names["heat"].shape == (1, 16, 16)
