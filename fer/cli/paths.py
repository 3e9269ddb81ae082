"""Paths of the project that several commands use."""

from pathlib import Path

RAW_FOLDER, PARAMS_FILE = Path("data/raw"), Path("params.yaml")


SUMMARY_FILE = Path("metrics/summary.json")


ROUND_FOLDERS = tuple(
    Path("data") / name for name in ("models", "predictions", "pseudo_labels")
)  # a folder for each round
