"""`fer review`, from predictions to a sheet and from a sheet to reviews."""

import base64
import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from commands import call_fer
from PIL import Image

from fer.core.files import write_csv
from fer.core.labels import TABLE_COLUMNS
from fer.params import load_params
from fer.pseudo_labels.review.answers import read_reviews, write_reviews
from fer.pseudo_labels.review.sheet import SHEET_TEMPLATE

N, POOL, ASKED = 60, 40, 6
EVIL = '<script>alert("1")</script>&\'</script>'
SHEET, REVIEWS = Path("data/review"), Path("data/reviews.csv")


@pytest.fixture
def finished(project: Path) -> Path:
    """A project with one round, whose first unlabelled faces have troublesome ids."""
    chosen, random = load_params(), np.random.default_rng(0)
    table = pd.DataFrame("", index=range(N), columns=list(TABLE_COLUMNS)).assign(source="s", twin_in_train=False)
    table["id"] = [f"{row}.png" for row in range(N)]
    table.loc[:2, "id"] = [EVIL, '=HYPERLINK("x"),1', "'=1"]
    table.loc[3, "id"] = "=1"
    table["fold"] = ["unlabelled"] * POOL + ["train"] * (N - POOL)
    table.loc[table["fold"] == "train", "emotion"] = "sad"
    write_csv(project / "data/unified/table.csv", table)
    np.save(project / "data/unified/faces.npy", random.integers(0, 256, (N, 16, 16), dtype=np.uint8))
    labels = project / "data/pseudo_labels/1"
    labels.mkdir(parents=True)
    probs = random.dirichlet(np.full(7, 0.3), N).astype(np.float32)
    probs[:4] = np.eye(7)[0] * 0.01 + np.float32(0.99 / 7)  # the most doubtful
    probs[20] = np.eye(7)[0]
    accepted = (table["fold"] == "unlabelled").to_numpy() & (probs.max(axis=1) > 0.5)
    np.save(labels / "probs.npy", probs)
    np.save(labels / "accepted.npy", accepted)
    np.save(labels / "weights.npy", accepted.astype(np.float32))
    predictions = project / "data/predictions/1"
    predictions.mkdir(parents=True)
    (network,) = chosen.ensemble
    said = np.log(probs + 0.01)
    said[20] = np.roll(said[20], 1) * 5
    np.save(predictions / f"{network}.npy", said[:, None])
    facts = {"network": network, "weights_sha256": "0", "views": ["plain"], "emotions": list(chosen.emotions)}
    (predictions / f"{network}.json").write_text(json.dumps(facts))
    write_reviews(project / "data/reviews.csv", {})
    return project


def ask(monkeypatch: pytest.MonkeyPatch, *more: str) -> str | int | None:
    return call_fer(monkeypatch, "review", "--faces", str(ASKED), *more)


def shown() -> list[dict[str, Any]]:
    """The sections of the page."""
    (data,) = re.findall(
        r'<script type="application/json" id="sheet">(.*?)</script>', (SHEET / "index.html").read_text()
    )
    return json.loads(data)["sections"]


def test_the_sheet_shows_every_face_once_in_all_its_files(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(monkeypatch) is None
    doubtful, influential = shown()
    faces = [*doubtful["faces"], *influential["faces"]]
    ids = [face["id"] for face in faces]
    assert len(ids) == len(set(ids)) == 2 * ASKED
    assert {EVIL, '=HYPERLINK("x"),1', "'=1", "=1"} <= {face["id"] for face in doubtful["faces"]}
    rows = pd.read_csv(SHEET / "faces.csv", dtype=str, keep_default_na=False)
    assert list(rows["id"]) == [face["cell"] for face in faces]
    assert list(rows) == ["source", "id", "section", "emotion", "confidence", "why", "correction"]
    assert set(rows["correction"]) == {""}
    tasks = json.loads((SHEET / "label_studio.json").read_text())
    assert [task["data"]["face"] for task in tasks] == ids
    names = [choice.get("value") for choice in ElementTree.parse(SHEET / "label_studio.xml").iter("Choice")]
    assert names == [*load_params().emotions, "unusable"]
    for task, emotion in zip(tasks, rows["emotion"], strict=True):
        assert task["predictions"][0]["result"][0]["value"]["choices"] == [emotion]


def test_the_pictures_are_the_faces(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(monkeypatch)
    pixels = np.load("data/unified/faces.npy")
    ids = pd.read_csv("data/unified/table.csv", dtype=str)["id"].tolist()
    for face in shown()[0]["faces"]:
        picture = Image.open(io.BytesIO(base64.b64decode(face["picture"].removeprefix("data:image/png;base64,"))))
        np.testing.assert_array_equal(np.asarray(picture), pixels[ids.index(face["id"])])


def test_ids_can_not_break_out_of_the_page(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(monkeypatch)
    page, template = (SHEET / "index.html").read_text(), SHEET_TEMPLATE.read_text()
    assert page.count("<") == template.count("<")
    assert "innerHTML" not in template


def test_the_page_asks_nothing_of_the_network() -> None:
    template = SHEET_TEMPLATE.read_text()
    assert "default-src 'none'" in template
    assert not re.search(r"https?:|src=|href=|@import|fetch\(", template)


@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed (apt-get install nodejs)")
def test_the_script_of_the_page_is_one(tmp_path: Path) -> None:
    (script,) = re.findall(r"<script>(.*?)</script>", SHEET_TEMPLATE.read_text(), re.DOTALL)
    (tmp_path / "page.js").write_text(script)
    assert subprocess.run(["node", "--check", tmp_path / "page.js"], check=False).returncode == 0


def test_the_label_that_the_network_contradicts_most_is_the_first_of_the_influential(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted = np.load("data/pseudo_labels/1/accepted.npy")
    ask(monkeypatch)
    faces = shown()[1]["faces"]
    assert faces[0]["id"] == "20.png"
    assert "but predicted as" in faces[0]["why"]
    assert all(accepted[int(face["id"].removesuffix(".png"))] for face in faces)


def test_before_the_round_was_trained_only_the_doubtful_are_shown_and_it_is_said(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree("data/predictions/1")
    assert ask(monkeypatch) is None
    assert "data/predictions/1 does not exist" in capsys.readouterr().out
    assert [section["title"] for section in shown()] == ["Doubtful"]


def test_a_filled_in_sheet_becomes_reviews_and_its_faces_are_not_asked_about_again(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ask(monkeypatch)
    rows = pd.read_csv(SHEET / "faces.csv", dtype=str, keep_default_na=False)
    rows.loc[:3, "correction"] = ["Fear", "unusable", "sad", "sad"]
    rows.to_csv(SHEET / "faces.csv", sep=";", index=False, encoding="utf-8-sig", lineterminator="\r\n")
    assert "4 corrections that were not read" in str(ask(monkeypatch))
    assert call_fer(monkeypatch, "review", "--read", str(SHEET / "faces.csv")) is None
    assert f"4 answers, {2 * ASKED - 4} faces without one" in capsys.readouterr().out
    first = [face["id"] for face in shown()[0]["faces"]][:4]
    assert read_reviews(REVIEWS) == dict(
        zip([("s", id) for id in first], ["fear", "unusable", "sad", "sad"], strict=True)
    )
    assert ask(monkeypatch) is None
    assert not set(first) & {face["id"] for section in shown() for face in section["faces"]}


def test_a_later_file_replaces_an_answer_and_a_wrong_one_leaves_all_as_it_was(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, rows in {"1": "s,9.png,sad\ns,8.png,sad", "2": "s,9.png,fear", "3": "s,gone.png,fear"}.items():
        Path(f"{name}.csv").write_text(f"source,id,correction\n{rows}\n")
    assert call_fer(monkeypatch, "review", "--read", "1.csv", "2.csv") is None
    assert "1 replace an earlier answer, such as: s/9.png is fear, no longer sad" in capsys.readouterr().out
    before = REVIEWS.read_bytes()
    assert "3.csv, row 2: s/gone.png is not in the table" in str(
        call_fer(monkeypatch, "review", "--read", "1.csv", "3.csv")
    )
    assert REVIEWS.read_bytes() == before
    assert read_reviews(REVIEWS) == {("s", "8.png"): "sad", ("s", "9.png"): "fear"}


def test_a_correction_of_a_face_that_has_a_label_is_told(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("1.csv").write_text(f"source,id,correction\ns,{N - 1}.png,sad\n")
    call_fer(monkeypatch, "review", "--read", "1.csv")
    assert "are labelled or excluded; their reviews have no effect" in capsys.readouterr().out


def test_another_round_a_missing_file_and_no_question_left_are_told(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "--round 2: only the rounds 1 have pseudo-labels" in str(ask(monkeypatch, "--round", "2"))
    assert "none.csv" in str(call_fer(monkeypatch, "review", "--read", "none.csv"))
    table = pd.read_csv("data/unified/table.csv", dtype=str, keep_default_na=False)
    write_reviews(REVIEWS, {("s", id): "sad" for id in table["id"][:POOL]})
    assert "every unlabelled face has been reviewed" in str(ask(monkeypatch))
