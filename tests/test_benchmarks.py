"""The comparisons run, and write what they promise."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as bench
from benchmarks import measuring

ROOT = Path(__file__).parents[1]
SMALLEST = {
    "training": ("--steps", "2", "--batch", "4", "--seeds"),
    "augmentation": (),
    "prediction": ("--faces", "64", "--network", "shallow"),
    "ranks": ("--faces", "96", "--processes", "1"),
}


@pytest.mark.parametrize("name", bench.COMPARISONS)
def test_a_comparison_writes_its_rates_and_a_picture(tmp_path: Path, name: str) -> None:
    command = [sys.executable, "-m", f"benchmarks.{name}", "--repeats", "1", "--out", str(tmp_path), *SMALLEST[name]]
    subprocess.run(command, cwd=ROOT, env=os.environ | {"FER_NPROC": "1"}, check=True, capture_output=True)
    found = json.loads((tmp_path / f"{name}.json").read_text())
    assert {"claim", "machine", "parts"} <= found.keys()
    for rows in found["parts"].values():
        assert rows[0]["ratio"] == 1
        assert all(row["lowest"] <= row["rate"] <= row["highest"] for row in rows)
        assert any(row["side"].startswith("ours") for row in rows)
    assert (tmp_path / f"{name}.png").stat().st_size > 5000


def test_ratios_are_of_the_same_repeat() -> None:
    rows = measuring.compared({"other": [1.0, 10.0, 2.0], "ours": [2.0, 30.0, 8.0]}, "other")
    assert [row["ratio"] for row in rows] == [1, 3]
    assert (rows[1]["lowest_ratio"], rows[1]["highest_ratio"], rows[1]["rate"]) == (2, 4, 8)


def test_sides_are_measured_in_turn_and_the_first_repeat_is_left_out() -> None:
    calls = []
    found = measuring.rates({"a": lambda: calls.append("a") or 3, "b": lambda: calls.append("b") or 5}, 2)
    assert calls == ["a", "b"] * 3
    assert {name: len(each) for name, each in found.items()} == {"a": 2, "b": 2}


def test_tables_take_the_place_of_earlier_ones() -> None:
    page = "x\n<!-- a -->\nold\n<!-- /a -->\ny"
    assert bench.filled(page, "a", "new") == "x\n<!-- a -->\nnew\n<!-- /a -->\ny"


def test_the_page_has_a_place_for_every_table() -> None:
    text = bench.PAGE.read_text()
    for name in bench.COMPARISONS:
        assert bench.filled(text, name, "new table").count("new table") == 1
