"""The page that tells what came of a run: the verdict in words, then figures, pictures, data, parameters and hashes.

It needs nothing beside it, has no scripts, and what is missing is told in words. The text between is in `report.html`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import yaml

from fer import report_figures
from fer.markup import PLOT, paragraph, picture, table
from fer.percentages import NONE, between, figure, percent
from fer.report_figures import VOTE
from fer.tables import read_json

PAGE = Path(__file__).with_suffix(".html")
Figures = Mapping[str, Any]


@dataclass(frozen=True)
class Inputs:
    """Where the stages before this one left what the page shows."""

    metrics: Path
    explained: Path
    sources: Path  # folder with the sheet of each source
    preview: Path  # of augmentation
    params: Path
    lock: Path  # dvc.lock; it may be missing


def page(given: Inputs) -> str:
    """The page, as HTML."""
    names = ("evaluate", "pseudo_labels", "verdict", "data")
    figured, audits, verdicts, data = (read_json(given.metrics / f"{name}.json") for name in names)
    explained = read_json(given.explained / "pages.json")
    return Template(PAGE.read_text(encoding="utf-8")).substitute(
        verdict=_verdict(figured, verdicts),
        tiles=_tiles(figured, audits, verdicts),
        warnings=_warnings(audits),
        figures=paragraph(f"Packaged for use is round {explained['round']}.") + report_figures.figures(figured),
        learning=picture(
            given.metrics / "curves.png", "Loss and accuracy by epoch, for each network and round", **PLOT
        ),
        emotions=report_figures.emotions(figured, given.metrics),
        confidence=report_figures.confidence(figured, given.metrics),
        pseudo_labels=report_figures.pseudo_labels(audits, given.metrics)
        + _gallery(explained, given.explained, "pseudo_labels"),
        faces=_faces(explained, given.explained),
        data=report_figures.data(data, given.sources, given.preview),
        hashes=_hashes(given.lock, data["supplied"], audits),
        params=escape(given.params.read_text(encoding="utf-8")),
    )


def _verdict(figured: Figures, verdicts: Figures) -> str:
    """A sentence for each later round; without one, how good the only one is."""
    if not verdicts:
        test = figured["0"][VOTE]["test"]
        good = f"is right on {figure(test, 'accuracy')} of {test['n']:,} test faces" if test["n"] else "was not tested"
        text = f"No round learned from pseudo-labels, so nothing can be compared. What labels alone teach {good}."
        return paragraph(text, "verdict")
    number = len(verdicts) > 1
    texts = (f"Round {round_}: {of['verdict']}" if number else of["verdict"] for round_, of in verdicts.items())
    return "".join(paragraph(text, "verdict") for text in texts)


def _tiles(figured: Figures, audits: Figures, verdicts: Figures) -> str:
    """The few figures of the last round that matter most."""
    last = list(figured)[-1]
    test = figured[last][VOTE]["test"]
    tiles = [(f"test accuracy, round {last}", percent(test.get("accuracy")), between(test.get("accuracy_interval")))]
    if (of := verdicts.get(last)) and "difference" in of:
        ends = f"({100 * of['low']:+.1f} to {100 * of['high']:+.1f})"
        tiles.append(("points gained over round 0", f"{100 * of['difference']:+.1f}", ends))
    if audit := audits.get(last):
        tiles.append(("pseudo-labels accepted", f"{audit['accepted']:,}", f"of {audit['unlabelled']:,} faces"))
        key, known = ("precision", "in truth") if "precision" in audit else ("estimated_precision", "as estimated")
        tiles.append((f"of these are right, {known}", percent(audit.get(key)), between(audit.get(f"{key}_interval"))))
    each = (
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}<small>{escape(more)}</small></dd></div>"
        for name, value, more in tiles
    )
    return f'<dl class="tiles">{"".join(each)}</dl>'


def _warnings(audits: Figures) -> str:
    """What to know before trusting the figures."""
    found = []
    for round_, audit in audits.items():
        if (shift := audit.get("shift", {})).get("shifted"):
            pool, valid = (percent(shift[f"share_of_{name}_above"]) for name in ("pool", "valid"))
            found.append(
                f"Round {round_}: the unlabelled faces are unlike the validation faces. {pool} of them have a "
                f"confidence above {shift['confidence']:.2g}, and {valid} of the others. Estimates may not hold."
            )
        if audit["accepted"] and "precision" not in audit:
            found.append(
                f"Round {round_}: nobody knows how many pseudo-labels are right. The share given is an estimate from "
                "validation faces; look at some of those accepted."
            )
    return "".join(paragraph(text, "warning") for text in found)


def _faces(explained: Figures, folder: Path) -> str:
    """The pages of `explain` but those of pseudo-labels."""
    voters, name = explained["voters"], explained["network"]
    of = f"{name}; of the {len(voters)} networks that vote, the one with most weight" if len(voters) > 1 else name
    text = (
        f"Heat shows what in a face speaks for the emotion that it is taken for, in {of}. Of each emotion there are "
        "the test faces that are right and those that are wrong with most confidence, and those whose two likeliest "
        "emotions are closest: not typical faces, but the ends of what it can do."
    )
    return paragraph(text) + _gallery(explained, folder, "tests", "ways", "maps")


def _gallery(explained: Figures, folder: Path, *parts: str) -> str:
    pages = [page for page in explained["pages"] if page["part"] in parts]
    pictures = [picture(folder / page["file"], f"{page['title']}: {page['alt']}", least=0.75) for page in pages]
    return f'<div class="figures">{"".join(pictures)}</div>' if pictures else ""


def _hashes(lock: Path, sources: Iterable[str], rounds: Iterable[str]) -> str:
    """What DVC noted of the sources and of what people said of faces, when the stages of this run read them."""
    stages = yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"] if lock.is_file() else {}
    read = [(f"ingest@{name}", f"data/raw/{name}") for name in sources]
    read += [(f"pseudo_label@{round_}", "data/reviews.csv") for round_ in list(rounds)[-1:]]
    rows = []
    for stage, path in read:  # the lock has stages of dropped rounds and sources, too
        noted = {item["path"]: item for item in stages.get(stage, {}).get("deps", [])}
        of = noted.get(path, {"nfiles": NONE, "size": NONE, "md5": "not noted"})
        rows.append([path, of.get("nfiles", 1), of["size"], of["md5"]])
    return table("Inputs, as noted in dvc.lock", ["path", "files", "bytes", "MD5, of a folder DVC's"], rows)
