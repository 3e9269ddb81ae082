"""The report of a run: the verdict, then metrics, plots, data, parameters and hashes on one self-contained page.

The page has no scripts. Its text and HTML are in `report.html`.
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
    """Paths of the outputs of earlier stages that the page shows."""

    metrics: Path
    explained: Path
    sources: Path  # folder with the sheet of each source
    preview: Path  # preview of augmentation
    params: Path
    lock: Path  # dvc.lock, which may be missing


def render_report(inputs: ReportInputs) -> str:
    """Return the page as HTML."""
    names = ("evaluate", "pseudo_labels", "verdict", "data")
    evaluation, audits, verdicts, data = (read_json(inputs.metrics / f"{name}.json") for name in names)
    last = list(evaluation)[-1]
    test = evaluation[last][ENSEMBLE]["test"]
    environment = Environment(
        loader=FileSystemLoader(REPORT_TEMPLATE.parent), autoescape=True, undefined=StrictUndefined
    )
    environment.filters |= {
        "metric": format_metric,
        "number": _format_number,
        "percent": format_percent,
        "png": _encode_png,
    }
    return environment.get_template(REPORT_TEMPLATE.name).render(
        inputs=inputs,
        explained=read_json(inputs.explained / "pages.json"),
        audits=audits,
        verdicts=verdicts,
        last=last,
        test=test,
        tiles=_key_figures(last, test, audits, verdicts),
        accuracies=figures.accuracy_section(evaluation),
        confusions=figures.common_confusions(test, last, inputs.metrics / "confusion.csv"),
        emotions=figures.emotion_section(test, last),
        calibration_errors=figures.calibration_errors(evaluation),
        pseudo_labels=figures.pseudo_label_section(audits),
        data=figures.data_section(data),
        hashes=_input_hashes(inputs.lock, data["supplied"], audits),
        params=inputs.params.read_text(encoding="utf-8"),
    )


def _key_figures(last: str, test: Metrics, audits: Metrics, verdicts: Metrics) -> list[tuple[str, str, str]]:
    """Return name, value and interval of the key figures of the last round."""
    accuracy, interval = format_percent(test.get("accuracy")), format_interval(test.get("accuracy_interval"))
    tiles = [(f"test accuracy, round {last}", accuracy, interval)]
    if gain := verdicts.get(last, {}).get("accuracy"):
        interval = f"({100 * gain['low']:+.1f} to {100 * gain['high']:+.1f})"
        tiles.append(("percentage points gained over round 0", f"{100 * gain['difference']:+.1f}", interval))
    if audit := audits.get(last):
        tiles.append(("pseudo-labels accepted", f"{audit['accepted']:,}", f"of {audit['unlabelled']:,} faces"))
        key = "precision" if "precision" in audit else "estimated_precision"
        precision, interval = format_percent(audit.get(key)), format_interval(audit.get(f"{key}_interval"))
        tiles.append((f"{key.replace('_', ' ')} of the pseudo-labels", precision, interval))
    return tiles


def _input_hashes(lock: Path, sources: Iterable[str], rounds: Iterable[str]) -> Table:
    """Return the hashes that DVC recorded of the sources and the reviews for the stages of this run."""
    stages = yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"] if lock.is_file() else {}
    inputs = [(f"ingest@{name}", f"data/raw/{name}") for name in sources]
    inputs += [(f"pseudo_label@{round_}", "data/reviews.csv") for round_ in list(rounds)[-1:]]
    rows = []
    for stage, path in inputs:  # the lock also holds stages of removed rounds and sources
        deps = {dep["path"]: dep for dep in stages.get(stage, {}).get("deps", [])}
        dep = deps.get(path, {"nfiles": MISSING_TEXT, "size": MISSING_TEXT, "md5": "not recorded"})
        rows.append([path, dep.get("nfiles", 1), dep["size"], dep["md5"]])
    return Table("Inputs, as recorded in dvc.lock", ["path", "files", "bytes", "MD5 (of a folder: DVC's)"], rows)


def _encode_png(path: Path, scale: float) -> tuple[str, int, int]:
    """Return a PNG as a data URI, and its width and height at `scale`."""
    with Image.open(path, formats=("PNG",)) as image:
        width, height = (round(scale * side) for side in image.size)
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}", width, height


def _format_number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
