"""The names of the networks, found as files, so that adding one touches no file that others depend on."""

from pathlib import Path

NETWORKS = sorted(file.stem for file in (Path(__file__).parents[1] / "models").glob("*.py") if file.stem != "__init__")
