"""Paths of the project that the commands use, relative to its folder."""

from pathlib import Path

PARAMS_FILE = Path("params.yaml")
SUMMARY_FILE = Path("metrics/summary.json")

DATA_FOLDER = Path("data")
RAW_FOLDER = DATA_FOLDER / "raw"
SOURCES_FOLDER = DATA_FOLDER / "sources"
UNIFIED_FOLDER = DATA_FOLDER / "unified"
PACKAGE_FOLDER = DATA_FOLDER / "package"
REVIEWS_FILE = DATA_FOLDER / "reviews.csv"
ROUND_FOLDERS = tuple(DATA_FOLDER / name for name in ("models", "predictions", "pseudo_labels"))  # one folder a round
