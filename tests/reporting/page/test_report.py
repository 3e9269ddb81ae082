"""The report is one page that needs nothing beside it, says first what came of the run, and tells what is missing."""

import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fer.core.files import write_csv, write_json
from fer.core.labels import EMOTIONS
from fer.evaluation import audit, evaluate
from fer.predictions import metrics
from fer.reporting.page import report

SEVEN = EMOTIONS[:7]
EVIL = "<script>alert(\"{{ verdict }} & 'x'\")</script>"
VOID = {"meta", "img"}
Build = Callable[..., report.ReportInputs]


class Page(HTMLParser):
    """The tags of a page with their attributes, and its text; closed as they were opened."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text, self.open = "", []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {key: value or "" for key, value in attributes}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data if self.open[-1:] != ["style"] else ""

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def probs_of(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.dirichlet(np.full(7, 0.3), n).astype(np.float32), random.integers(0, 7, n)


def networks(n: int, seed: int, names: tuple[str, ...]) -> dict[str, Any]:
    probs, labels = probs_of(n, seed)
    of = metrics.compute_metrics(probs, labels, SEVEN, 10)
    each = {"valid": of, "test": of, "test_without_twins": of, "test_by_source": {"photos": of}}
    each |= {
        "ece_before_calibration": {"valid": 0.1, "test": 0.2} if n else {},
        "single_crop": {"test": 0.5} if n else {},
    }
    return dict.fromkeys((*names, "ensemble"), each)


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Writes what the stages before `report` leave, and returns where."""

    def write(
        rounds: int = 1,
        known: bool = True,
        n: int = 60,
        names: tuple[str, ...] = ("se",),
        shifted: bool = False,
        word: str = "a note",
    ) -> report.ReportInputs:
        given = report.ReportInputs(
            metrics=tmp_path / "metrics",
            explained=tmp_path / "explained",
            sources=tmp_path / "sources",
            preview=tmp_path / "preview.png",
            params=tmp_path / "params.yaml",
            lock=tmp_path / "dvc.lock",
        )
        figured = {round_: networks(n, round_, names) for round_ in range(rounds + 1)}
        right = [np.random.default_rng(round_).random(n) < 0.5 for round_ in range(rounds + 1)]
        decided = {}
        for round_ in range(1, rounds + 1):
            probs, truth = probs_of(50, round_)
            decided[round_] = evaluate.RoundPseudoLabels(
                rows=np.arange(50), probs=probs, accepted=probs.max(axis=1) > 0.5,
                truth=truth if known else np.full(50, -1), thresholds={}, review_counts={},
            )  # fmt: skip
        table = pd.DataFrame({"fold": ["train"] * 7, "emotion": list(SEVEN)})
        estimate = {"estimated_from": 9, "estimated_precision": 0.625, "per_emotion": {name: {} for name in SEVEN}}
        shift = {"shifted": shifted, "confidence": 0.5, "share_of_pool_above": 0.9, "share_of_valid_above": 0.3}
        audits = audit.complete_audits(
            evaluate.audit_rounds(decided, SEVEN),
            {round_: {"estimate": estimate, "shift": shift} for round_ in decided},
            table,
            {"excluded": {}},
            SEVEN,
        )
        compared = {round_: metrics.compare_accuracy(right[0], right[round_]) for round_ in decided}
        verdicts = {round_: of | {"verdict": metrics.summarize_gain(of)} for round_, of in compared.items()}
        supplied = {
            "reader": "tree",
            "terms": word,
            "pictures": 3,
            "faces": 2,
            "dropped": {word: 1},
            "left_out": {},
            "notes": [word],
        }
        data = {
            "faces": 1234, "folds": {"train": 7, "test": n}, "sources": {"photos": {"train": 7}},
            "emotions": {"train": {"happy": 3, "angry": 1}, "valid": {}, "test": {}},
            "excluded": {word: 2}, "notes": [word], "supplied": {"photos": supplied},
            "identical_twins_as_supplied": {"test_in_train": 2}, "similar_twins_as_supplied": {"test_in_train": 3},
        }  # fmt: skip
        documents = {"evaluate": figured, "verdict": verdicts, "pseudo_labels": audits, "data": data}
        for name, document in documents.items():
            write_json(given.metrics / f"{name}.json", document)
        names_of = np.array(SEVEN, dtype=object)
        taken = [(str(round_), *probs_of(n, round_)) for round_ in figured]
        write_csv(
            given.metrics / "confusion.csv",
            pd.concat(
                pd.DataFrame({"round": round_, "actual": names_of[labels], "predicted": names_of[probs.argmax(axis=1)]})
                for round_, probs, labels in taken
            ),
        )
        parts = ("tests", "ways", "maps", "pseudo_labels") if rounds else ("tests",)
        pages = [{"part": part, "file": f"{part}.png", "title": word, "alt": "faces"} for part in parts]
        facts = {"network": f"se, round {rounds}", "voters": list(names), "round": rounds, "pages": pages}
        write_json(given.explained / "pages.json", facts)
        pictures = [
            given.metrics / f"{name}.png"
            for name in ("curves", "confusion", "reliability", "coverage", "pseudo_labels")
        ]
        pictures += [given.explained / page["file"] for page in pages] + [
            given.sources / "photos.png",
            given.preview,
        ]
        for path in pictures:
            path.parent.mkdir(exist_ok=True)
            Image.new("RGB", (40, 20)).save(path)
        given.params.write_text(f"seed: 0  # {word}\n")
        return given

    return write


@pytest.mark.parametrize("rounds", [0, 1, 3])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("names", [("se",), ("se", "shallow")])
def test_nothing_is_loaded_and_everything_is_described(
    build: Build, rounds: int, known: bool, names: tuple[str, ...]
) -> None:
    page = Page(report.render_report(build(rounds, known, names=names)))
    assert not page.all("script")
    assert not page.all("link")
    for image in page.all("img"):
        assert image["src"].startswith("data:image/png;base64,")
        assert image["alt"]
        assert int(image["width"])
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [link["href"] for link in page.all("a")]
    assert {link[1:] for link in links if link.startswith("#")} == set(ids)
    assert [link for link in links if not link.startswith("#")] == ["https://doi.org/10.1177/1529100619832930"]
    headings = [tag for tag, _ in page.tags if tag in ("h1", "h2", "h3")]
    assert headings.count("h1") == 1
    assert headings[0] == "h1"
    assert len(page.all("section")) == headings.count("h2")
    assert len(page.all("caption")) == len(page.all("table"))
    assert "None" not in page.text
    assert "nan" not in page.text.casefold().split()


def test_the_verdict_comes_first(build: Build) -> None:
    given = build()
    sentence = json.loads((given.metrics / "verdict.json").read_text())["1"]["verdict"]
    text = Page(report.render_report(given)).text
    assert text.index(sentence) < text.index("test accuracy") < text.index("Figures of each round")


def test_of_several_rounds_each_has_its_verdict(build: Build) -> None:
    text = Page(report.render_report(build(3))).text
    assert all(f"Round {round_}: " in text for round_ in (1, 2, 3))
    assert "Packaged for use is round 3." in text
    assert "From round to round" not in text, "the audits have no changes"


def test_without_rounds_it_says_so(build: Build) -> None:
    page = Page(report.render_report(build(0)))
    assert "No round learned from pseudo-labels, so nothing can be compared." in page.text
    assert "`fer rounds 1` adds one" in page.text
    assert len(page.all("img")) == 6


@pytest.mark.parametrize("known", [True, False])
def test_an_estimate_is_not_taken_for_the_truth(build: Build, known: bool) -> None:
    text = Page(report.render_report(build(known=known))).text
    assert ("nobody knows how many pseudo-labels are right" in text) == (not known)
    assert ("of these are right, in truth" in text) == known
    assert ("of these are right, as estimated62.5 %" in text) == (not known)


@pytest.mark.parametrize("shifted", [True, False])
def test_a_pool_unlike_validation_is_warned_of(build: Build, shifted: bool) -> None:
    text = " ".join(Page(report.render_report(build(shifted=shifted))).text.split())
    assert ("unlike the validation faces. 90.0 % of them have a confidence above 0.5, and 30.0 % of" in text) == shifted


def test_without_test_faces_it_says_so(build: Build) -> None:
    text = Page(report.render_report(build(n=0))).text
    assert "There are no test faces." in text
    assert "was not tested" in Page(report.render_report(build(rounds=0, n=0))).text


def test_what_users_wrote_is_shown_as_text(build: Build) -> None:
    text = report.render_report(build(word=EVIL))
    page = Page(text)
    assert not page.all("script")
    assert page.text.count(EVIL) == 6
    assert all("onerror" not in attributes for _, attributes in page.tags)


def test_faces_are_large_enough_on_a_phone(build: Build) -> None:
    given = build()
    Image.new("RGB", (640, 20)).save(given.explained / "tests.png")
    (image,) = (image for image in Page(report.render_report(given)).all("img") if image["width"] == "640")
    assert image["style"] == "min-width: 480px", "of four faces abreast each has 108"


def test_of_several_voters_the_one_explained_is_named(build: Build) -> None:
    assert (
        "of the 2 networks that vote, the one with most weight"
        in Page(report.render_report(build(names=("se", "shallow")))).text
    )
    assert "their vote" not in Page(report.render_report(build())).text


def test_inputs_have_the_hashes_that_dvc_noted(build: Build) -> None:
    given = build()
    assert Page(report.render_report(given)).text.count("not noted") == 2
    entry = "{path: data/raw/photos, hash: md5, md5: 0123abcd.dir, size: 4321, nfiles: 17}"
    given.lock.write_text(
        f"schema: '2.0'\nstages:\n  ingest@photos:\n    cmd: x\n    deps: [{entry}]\n  sample: {{cmd: y}}\n"
    )
    text = Page(report.render_report(given)).text
    assert "data/raw/photos174,3210123abcd.dir" in text
    assert text.count("not noted") == 1


def test_of_rounds_that_were_dropped_nothing_is_said(build: Build) -> None:
    given = build(2)
    said = "cmd: x, deps: [{path: data/reviews.csv, md5: %s, size: 5}]"
    stages = [f"  pseudo_label@{round_}: {{{said % md5}}}\n" for round_, md5 in ((1, "one"), (2, "two"), (3, "three"))]
    given.lock.write_text(f"stages:\n{''.join(stages)}")
    assert "data/reviews.csv15two" in Page(report.render_report(given)).text
    assert "reviews.csv" not in Page(report.render_report(build(0))).text


def test_the_same_inputs_give_the_same_page(build: Build) -> None:
    given = build()
    assert report.render_report(given) == report.render_report(given)
