"""Paths of the project that several commands use."""

from pathlib import Path

RAW, PARAMS = Path("data/raw"), Path("params.yaml")


SUMMARY = Path("metrics/summary.json")


MADE = tuple(Path("data") / name for name in ("models", "predictions", "pseudo_labels"))  # a folder for each round
