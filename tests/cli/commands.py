"""Run a command line in the test's process, and write the sources that it reads."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer import cli


def call_fer(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str | int | None:
    """Return the exit code or message of `fer`, None if it succeeds."""
    monkeypatch.setattr(sys, "argv", ["fer", *arguments])
    try:
        cli.main()
    except SystemExit as exit:
        return exit.code
    return None


def write_fer2013_csv(path: Path, rows: int = 12, width: int = 48 * 48) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    usages = ("Training", "PublicTest", "PrivateTest")
    text = " ".join(map(str, np.random.default_rng(0).integers(0, 256, width)))
    lines = [f"{row % 7},{row} {text.split(' ', 1)[1]},{usages[row % 3]}" for row in range(rows)]
    path.write_text("\n".join(["emotion,pixels,Usage", *lines, ""]))
    return path


def write_images(folder: Path, count: int = 3) -> Path:
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (60, 60), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder
