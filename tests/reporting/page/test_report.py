"""The report is one self-contained page that states the verdict first and reports missing data."""

import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fer.core.files import write_json
from fer.core.labels import EMOTIONS
from fer.core.table import write_csv
from fer.evaluation import audit, evaluate
from fer.evaluation.inputs import RoundPseudoLabels
from fer.evaluation.statistics import compare_correct
from fer.predictions import metrics
from fer.reporting.page import report

SEVEN = EMOTIONS[:7]
MALICIOUS_TEXT = "<script>alert(\"{{ verdict }} & 'x'\")</script>"
VOID_TAGS = {"meta", "img"}
BuildInputs = Callable[..., report.ReportInputs]


class Page(HTMLParser):
    """The text and the tags of a page, which are checked to be balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text, self.open_tags = "", []
        self.feed(text)
        assert not self.open_tags

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {key: value or "" for key, value in attributes}))
        if tag not in VOID_TAGS:
            self.open_tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open_tags.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data if self.open_tags[-1:] != ["style"] else ""

    def find_all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def random_predictions(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(7, 0.3), n).astype(np.float32), rng.integers(0, 7, n)


def evaluate_networks(n: int, seed: int, names: tuple[str, ...]) -> dict[str, Any]:
    probs, labels = random_predictions(n, seed)
    scores = metrics.compute_metrics(probs, labels, SEVEN, 10)
    evaluation = {"valid": scores, "test": scores, "test_without_twins": scores, "test_by_source": {"photos": scores}}
    evaluation |= {
        "corrected_to_prior": evaluation | {"test": scores | ({"accuracy": 0.987} if n else {})},
        "ece_before_calibration": {"valid": 0.1, "test": 0.2} if n else {},
        "single_crop": {"test": 0.5} if n else {},
    }
    return dict.fromkeys((*names, "ensemble"), evaluation)


@pytest.fixture
def build(tmp_path: Path) -> BuildInputs:
    """Return a function that writes the outputs of the stages before `report` and returns their paths."""

    def write(
        rounds: int = 1,
        truth_known: bool = True,
        n: int = 60,
        names: tuple[str, ...] = ("se",),
        shifted: bool = False,
        text: str = "a note",
    ) -> report.ReportInputs:
        inputs = report.ReportInputs(
            metrics=tmp_path / "metrics",
            explained=tmp_path / "explained",
            sources=tmp_path / "sources",
            preview=tmp_path / "preview.png",
            params=tmp_path / "params.yaml",
            lock=tmp_path / "dvc.lock",
        )
        evaluation = {round_: evaluate_networks(n, round_, names) for round_ in range(rounds + 1)}
        right = np.random.default_rng(0).random((rounds + 1, n)) < 0.5
        estimate = {"estimated_from": 9, "estimated_precision": 0.625, "per_emotion": {name: {} for name in SEVEN}}
        shift = {"shifted": shifted, "confidence": 0.5, "share_of_pool_above": 0.9, "share_of_valid_above": 0.3}
        pseudo_labels = {}
        for round_ in range(1, rounds + 1):
            probs, truth = random_predictions(50, round_)
            pseudo_labels[round_] = RoundPseudoLabels(
                rows=np.arange(50), probs=probs, accepted=probs.max(axis=1) > 0.5,
                truth=truth if truth_known else np.full(50, -1),
                summary={"estimate": estimate, "shift": shift, "reviewed": 0, "set_aside": 0},
            )  # fmt: skip
        table = pd.DataFrame({"fold": ["train"] * 7, "emotion": list(SEVEN)})
        audits = evaluate.audit_rounds(pseudo_labels, SEVEN)
        audits = audit.complete_audits(audits, pseudo_labels, table, {"excluded": {}}, SEVEN)
        verdicts = {
            round_: ({"accuracy": compare_correct(right[[0]], right[[round_]])} if n else {"n": 0})
            | {"verdict": f"Round {round_} helped.", "losses": f"Recall fell in {round_}." if n else ""}
            for round_ in pseudo_labels
        }
        supplied = {
            "reader": "tree",
            "terms": text,
            "pictures": 3,
            "faces": 2,
            "dropped": {text: 1},
            "left_out": {},
            "notes": [text],
        }
        data = {
            "faces": 1234, "folds": {"train": 7, "test": n}, "sources": {"photos": {"train": 7}},
            "emotions": {"train": {"happy": 3, "angry": 1}, "valid": {}, "test": {}},
            "excluded": {text: 2}, "notes": [text], "supplied": {"photos": supplied},
            "identical_twins_as_supplied": {"test_in_train": 2}, "similar_twins_as_supplied": {"test_in_train": 3},
        }  # fmt: skip
        documents = {"evaluate": evaluation, "verdict": verdicts, "pseudo_labels": audits, "data": data}
        for name, document in documents.items():
            write_json(inputs.metrics / f"{name}.json", document)
        emotions = np.array(SEVEN, dtype=object)
        predictions = [(str(round_), *random_predictions(n, round_)) for round_ in evaluation]
        write_csv(
            inputs.metrics / "confusion.csv",
            pd.concat(
                pd.DataFrame({"round": round_, "actual": emotions[labels], "predicted": emotions[probs.argmax(axis=1)]})
                for round_, probs, labels in predictions
            ),
        )
        parts = ("tests", "ways", "maps", "pseudo_labels") if rounds else ("tests",)
        pages = [{"part": part, "file": f"{part}.png", "title": text, "alt": "faces"} for part in parts]
        manifest = {"network": f"se, round {rounds}", "voters": list(names), "round": rounds, "pages": pages}
        write_json(inputs.explained / "pages.json", manifest)
        images = [
            inputs.metrics / f"{name}.png"
            for name in ("curves", "confusion", "reliability", "coverage", "pseudo_labels")
        ]
        images += [inputs.explained / page["file"] for page in pages] + [
            inputs.sources / "photos.png",
            inputs.preview,
        ]
        for path in images:
            path.parent.mkdir(exist_ok=True)
            Image.new("RGB", (40, 20)).save(path)
        inputs.params.write_text(f"seed: 0  # {text}\n")
        return inputs

    return write


@pytest.mark.parametrize("rounds", [0, 1, 3])
@pytest.mark.parametrize("truth_known", [True, False])
@pytest.mark.parametrize("names", [("se",), ("se", "shallow")])
def test_page_loads_nothing_and_describes_every_image(
    build: BuildInputs, rounds: int, truth_known: bool, names: tuple[str, ...]
) -> None:
    page = Page(report.render_report(build(rounds, truth_known, names=names)))
    assert not page.find_all("script")
    assert not page.find_all("link")
    for image in page.find_all("img"):
        assert image["src"].startswith("data:image/png;base64,")
        assert image["alt"]
        assert int(image["width"])
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [link["href"] for link in page.find_all("a")]
    assert {link[1:] for link in links if link.startswith("#")} == set(ids)
    assert [link for link in links if not link.startswith("#")] == ["https://doi.org/10.1177/1529100619832930"]
    headings = [tag for tag, _ in page.tags if tag in ("h1", "h2", "h3")]
    assert headings.count("h1") == 1
    assert headings[0] == "h1"
    assert len(page.find_all("section")) == headings.count("h2")
    assert len(page.find_all("caption")) == len(page.find_all("table"))
    assert "None" not in page.text
    assert "nan" not in page.text.casefold().split()


def test_verdict_comes_first(build: BuildInputs) -> None:
    inputs = build()
    verdict = json.loads((inputs.metrics / "verdict.json").read_text())["1"]
    text = Page(report.render_report(inputs)).text
    assert (
        text.index(verdict["verdict"])
        < text.index(verdict["losses"])
        < text.index("test accuracy")
        < text.index("Accuracy by round")
    )


def test_every_round_has_its_verdict(build: BuildInputs) -> None:
    text = Page(report.render_report(build(3))).text
    assert all(f"Round {round_}: " in text for round_ in (1, 2, 3))
    assert "The package holds round 3." in text
    assert "Changes from round to round" not in text, "these audits have no changes"


def test_below_each_network_are_its_corrected_predictions(build: BuildInputs) -> None:
    text = " ".join(Page(report.render_report(build(names=("se", "shallow")))).text.split())
    for name in ("se", "shallow", "ensemble"):
        assert text.count(f"{name}, corrected to the class frequencies of validation98.7 %") == 2, "in both rounds"


def test_missing_rounds_are_reported(build: BuildInputs) -> None:
    page = Page(report.render_report(build(0)))
    assert "No round used pseudo-labels, so there is nothing to compare." in page.text
    assert "Run fer rounds 1 to add one." in page.text
    assert len(page.find_all("img")) == 6


@pytest.mark.parametrize("truth_known", [True, False])
def test_estimated_precision_is_labelled_as_an_estimate(build: BuildInputs, truth_known: bool) -> None:
    text = Page(report.render_report(build(truth_known=truth_known))).text
    assert ("the true precision of the pseudo-labels is unknown" in text) == (not truth_known)
    assert ("  precision of the pseudo-labels" in text) == truth_known
    assert ("estimated precision of the pseudo-labels62.5 %" in text) == (not truth_known)


@pytest.mark.parametrize("shifted", [True, False])
def test_shifted_pool_is_reported(build: BuildInputs, shifted: bool) -> None:
    text = " ".join(Page(report.render_report(build(shifted=shifted))).text.split())
    assert (
        "Confidence is above 0.5 for 90.0 % of the unlabelled faces and 30.0 % of the validation" in text
    ) == shifted


def test_missing_test_faces_are_reported(build: BuildInputs) -> None:
    text = Page(report.render_report(build(n=0))).text
    assert "There are no test faces." in text
    assert "were not tested" in Page(report.render_report(build(rounds=0, n=0))).text


def test_text_of_users_is_escaped(build: BuildInputs) -> None:
    text = report.render_report(build(text=MALICIOUS_TEXT))
    page = Page(text)
    assert not page.find_all("script")
    assert page.text.count(MALICIOUS_TEXT) == 6
    assert all("onerror" not in attributes for _, attributes in page.tags)


def test_faces_are_large_enough_on_a_phone(build: BuildInputs) -> None:
    inputs = build()
    Image.new("RGB", (640, 20)).save(inputs.explained / "tests.png")
    (image,) = (image for image in Page(report.render_report(inputs)).find_all("img") if image["width"] == "640")
    assert image["style"] == "min-width: 480px", "108 pixels for each of four faces side by side"


def test_explained_network_of_an_ensemble_is_named(build: BuildInputs) -> None:
    text = Page(report.render_report(build(names=("se", "shallow")))).text
    assert "largest weight in the ensemble of 2 networks" in " ".join(text.split())
    assert "ensemble" not in Page(report.render_report(build())).text


def test_inputs_have_the_hashes_recorded_by_dvc(build: BuildInputs) -> None:
    inputs = build()
    assert Page(report.render_report(inputs)).text.count("not recorded") == 2
    entry = "{path: data/raw/photos, hash: md5, md5: 0123abcd.dir, size: 4321, nfiles: 17}"
    inputs.lock.write_text(
        f"schema: '2.0'\nstages:\n  ingest@photos:\n    cmd: x\n    deps: [{entry}]\n  sample: {{cmd: y}}\n"
    )
    text = Page(report.render_report(inputs)).text
    assert "data/raw/photos174,3210123abcd.dir" in text
    assert text.count("not recorded") == 1


def test_removed_rounds_are_not_mentioned(build: BuildInputs) -> None:
    inputs = build(2)
    stage = "cmd: x, deps: [{path: data/reviews.csv, md5: %s, size: 5}]"
    stages = [f"  pseudo_label@{round_}: {{{stage % md5}}}\n" for round_, md5 in ((1, "one"), (2, "two"), (3, "three"))]
    inputs.lock.write_text(f"stages:\n{''.join(stages)}")
    assert "data/reviews.csv15two" in Page(report.render_report(inputs)).text
    assert "reviews.csv" not in Page(report.render_report(build(0))).text


def test_page_is_deterministic(build: BuildInputs) -> None:
    inputs = build()
    assert report.render_report(inputs) == report.render_report(inputs)
