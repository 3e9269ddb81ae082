"""The page that tells what came of a run: the verdict in words, then figures, pictures, data, parameters and hashes.

The page needs no other file and has no scripts. Its text and HTML are in `report.html`.
"""

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from fer.core.files import read_json
from fer.core.formatting import MISSING_TEXT, format_interval, format_metric, format_percent
from fer.core.labels import ENSEMBLE
from fer.reporting.page import figures
from fer.reporting.page.figures import Metrics, Table

REPORT_TEMPLATE = Path(__file__).with_suffix(".html")


@dataclass(frozen=True)
class ReportInputs:
    """Where the stages before this one left what the page shows."""

    metrics: Path
    explained: Path
    sources: Path  # folder with the sheet of each source
    preview: Path  # of augmentation
    params: Path
    lock: Path  # dvc.lock; it may be missing


def render_report(inputs: ReportInputs) -> str:
    """Return the page as HTML."""
    names = ("evaluate", "pseudo_labels", "verdict", "data")
    figured, audits, verdicts, data = (read_json(inputs.metrics / f"{name}.json") for name in names)
    last = list(figured)[-1]
    test = figured[last][ENSEMBLE]["test"]
    environment = Environment(
        loader=FileSystemLoader(REPORT_TEMPLATE.parent), autoescape=True, undefined=StrictUndefined
    )
    environment.filters |= {"figure": format_metric, "number": _number, "percent": format_percent, "png": _png}
    return environment.get_template(REPORT_TEMPLATE.name).render(
        given=inputs,
        explained=read_json(inputs.explained / "pages.json"),
        audits=audits,
        verdicts=verdicts,
        last=last,
        test=test,
        tiles=_key_figures(last, test, audits, verdicts),
        figures=figures.accuracy_section(figured),
        mistakes=figures.mistakes(test, last, inputs.metrics / "confusion.csv"),
        emotions=figures.emotion_section(test, last),
        calibration_errors=figures.calibration_errors(figured),
        pseudo_labels=figures.pseudo_label_section(audits),
        data=figures.data_section(data),
        hashes=_input_hashes(inputs.lock, data["supplied"], audits),
        params=inputs.params.read_text(encoding="utf-8"),
    )


def _key_figures(last: str, test: Metrics, audits: Metrics, verdicts: Metrics) -> list[tuple[str, str, str]]:
    """Return name, value and interval of the few figures of the last round that matter most."""
    tiles = [
        (
            f"test accuracy, round {last}",
            format_percent(test.get("accuracy")),
            format_interval(test.get("accuracy_interval")),
        )
    ]
    if (of := verdicts.get(last)) and "difference" in of:
        ends = f"({100 * of['low']:+.1f} to {100 * of['high']:+.1f})"
        tiles.append(("points gained over round 0", f"{100 * of['difference']:+.1f}", ends))
    if audit := audits.get(last):
        tiles.append(("pseudo-labels accepted", f"{audit['accepted']:,}", f"of {audit['unlabelled']:,} faces"))
        key, known = ("precision", "in truth") if "precision" in audit else ("estimated_precision", "as estimated")
        tiles.append(
            (
                f"of these are right, {known}",
                format_percent(audit.get(key)),
                format_interval(audit.get(f"{key}_interval")),
            )
        )
    return tiles


def _input_hashes(lock: Path, sources: Iterable[str], rounds: Iterable[str]) -> Table:
    """Return what DVC noted of the sources and the reviews when the stages of this run read them."""
    stages = yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"] if lock.is_file() else {}
    read = [(f"ingest@{name}", f"data/raw/{name}") for name in sources]
    read += [(f"pseudo_label@{round_}", "data/reviews.csv") for round_ in list(rounds)[-1:]]
    rows = []
    for stage, path in read:  # the lock has stages of dropped rounds and sources, too
        noted = {item["path"]: item for item in stages.get(stage, {}).get("deps", [])}
        of = noted.get(path, {"nfiles": MISSING_TEXT, "size": MISSING_TEXT, "md5": "not noted"})
        rows.append([path, of.get("nfiles", 1), of["size"], of["md5"]])
    return Table("Inputs, as noted in dvc.lock", ["path", "files", "bytes", "MD5, of a folder DVC's"], rows)


def _png(path: Path, scale: float) -> tuple[str, int, int]:
    """Return a PNG as a data URI, and its width and height at `scale`."""
    with Image.open(path, formats=("PNG",)) as image:
        width, height = (round(scale * side) for side in image.size)
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}", width, height


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
