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

from fer.core.table import TABLE_COLUMNS, write_csv
from fer.params import load_params
from fer.pseudo_labels.review.answers import read_reviews, write_reviews
from fer.pseudo_labels.review.sheet import SHEET_TEMPLATE

N, POOL, FACES_PER_KIND = 60, 40, 6
EVIL = '<script>alert("1")</script>&\'</script>'
SHEET, REVIEWS = Path("data/review"), Path("data/reviews.csv")


@pytest.fixture
def project_with_round(project: Path) -> Path:
    """Return a project with one finished round; the ids of its first unlabelled faces are hard to escape."""
    params, rng = load_params(), np.random.default_rng(0)
    table = pd.DataFrame("", index=range(N), columns=list(TABLE_COLUMNS)).assign(source="s", twin_in_train=False)
    table["id"] = [f"{row}.png" for row in range(N)]
    table.loc[:2, "id"] = [EVIL, '=HYPERLINK("x"),1', "'=1"]
    table.loc[3, "id"] = "=1"
    table["fold"] = ["unlabelled"] * POOL + ["train"] * (N - POOL)
    table.loc[table["fold"] == "train", "emotion"] = "sad"
    write_csv(project / "data/unified/table.csv", table)
    np.save(project / "data/unified/faces.npy", rng.integers(0, 256, (N, 16, 16), dtype=np.uint8))
    labels = project / "data/pseudo_labels/1"
    labels.mkdir(parents=True)
    probs = rng.dirichlet(np.full(7, 0.3), N).astype(np.float32)
    probs[:4] = np.eye(7)[0] * 0.01 + np.float32(0.99 / 7)  # the most doubtful
    probs[20] = np.eye(7)[0]
    accepted = (table["fold"] == "unlabelled").to_numpy() & (probs.max(axis=1) > 0.5)
    np.save(labels / "probs.npy", probs)
    np.save(labels / "accepted.npy", accepted)
    np.save(labels / "weights.npy", accepted.astype(np.float32))
    predictions = project / "data/predictions/1"
    predictions.mkdir(parents=True)
    (network,) = params.ensemble
    (member,) = params.members
    logits = np.log(probs + 0.01)
    logits[20] = np.roll(logits[20], 1) * 5
    np.save(predictions / f"{member}.npy", logits[:, None])
    metadata = {"network": network, "replica": 0, "weights_sha256": "0", "views": ["plain"]}
    metadata |= {"emotions": list(params.emotions)}
    (predictions / f"{member}.json").write_text(json.dumps(metadata))
    write_reviews(project / "data/reviews.csv", {})
    return project


def call_review(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str | int | None:
    return call_fer(monkeypatch, "review", "--faces", str(FACES_PER_KIND), *arguments)


def read_sections() -> list[dict[str, Any]]:
    """Return the sections of the page."""
    (data,) = re.findall(
        r'<script type="application/json" id="sheet">(.*?)</script>', (SHEET / "index.html").read_text()
    )
    return json.loads(data)["sections"]


def test_every_file_of_the_sheet_has_every_face_once(project_with_round: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call_review(monkeypatch) is None
    doubtful, influential = read_sections()
    faces = [*doubtful["faces"], *influential["faces"]]
    ids = [face["id"] for face in faces]
    assert len(ids) == len(set(ids)) == 2 * FACES_PER_KIND
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


def test_the_images_of_the_page_are_the_faces(project_with_round: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call_review(monkeypatch)
    pixels = np.load("data/unified/faces.npy")
    ids = pd.read_csv("data/unified/table.csv", dtype=str)["id"].tolist()
    for face in read_sections()[0]["faces"]:
        image = Image.open(io.BytesIO(base64.b64decode(face["picture"].removeprefix("data:image/png;base64,"))))
        np.testing.assert_array_equal(np.asarray(image), pixels[ids.index(face["id"])])


def test_ids_can_not_break_out_of_the_page(project_with_round: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call_review(monkeypatch)
    page, template = (SHEET / "index.html").read_text(), SHEET_TEMPLATE.read_text()
    assert page.count("<") == template.count("<")
    assert "innerHTML" not in template


def test_the_page_makes_no_network_requests() -> None:
    template = SHEET_TEMPLATE.read_text()
    assert "default-src 'none'" in template
    assert not re.search(r"https?:|src=|href=|@import|fetch\(", template)


@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed (apt-get install nodejs)")
def test_the_script_of_the_page_has_no_syntax_error(tmp_path: Path) -> None:
    (script,) = re.findall(r"<script>(.*?)</script>", SHEET_TEMPLATE.read_text(), re.DOTALL)
    (tmp_path / "page.js").write_text(script)
    assert subprocess.run(["node", "--check", tmp_path / "page.js"], check=False).returncode == 0


def test_the_most_contradicted_label_is_the_first_influential_one(
    project_with_round: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted = np.load("data/pseudo_labels/1/accepted.npy")
    call_review(monkeypatch)
    faces = read_sections()[1]["faces"]
    assert faces[0]["id"] == "20.png"
    assert "but predicted as" in faces[0]["why"]
    assert all(accepted[int(face["id"].removesuffix(".png"))] for face in faces)


def test_the_sheet_has_only_doubtful_faces_before_the_round_is_trained(
    project_with_round: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree("data/predictions/1")
    assert call_review(monkeypatch) is None
    assert "data/predictions/1 does not exist" in capsys.readouterr().out
    assert [section["title"] for section in read_sections()] == ["Doubtful"]


def test_a_completed_sheet_becomes_reviews_and_its_faces_do_not_appear_again(
    project_with_round: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call_review(monkeypatch)
    rows = pd.read_csv(SHEET / "faces.csv", dtype=str, keep_default_na=False)
    rows.loc[:3, "correction"] = ["Fear", "unusable", "sad", "sad"]
    rows.to_csv(SHEET / "faces.csv", sep=";", index=False, encoding="utf-8-sig", lineterminator="\r\n")
    assert "4 corrections that were not read" in str(call_review(monkeypatch))
    assert call_fer(monkeypatch, "review", "--read", str(SHEET / "faces.csv")) is None
    assert f"4 answers, {2 * FACES_PER_KIND - 4} faces without an answer" in capsys.readouterr().out
    answered = [face["id"] for face in read_sections()[0]["faces"]][:4]
    assert read_reviews(REVIEWS) == dict(
        zip([("s", id) for id in answered], ["fear", "unusable", "sad", "sad"], strict=True)
    )
    assert call_review(monkeypatch) is None
    assert not set(answered) & {face["id"] for section in read_sections() for face in section["faces"]}


def test_a_later_file_replaces_an_answer_and_a_wrong_file_changes_nothing(
    project_with_round: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, rows in {"1": "s,9.png,sad\ns,8.png,sad", "2": "s,9.png,fear", "3": "s,gone.png,fear"}.items():
        Path(f"{name}.csv").write_text(f"source,id,correction\n{rows}\n")
    assert call_fer(monkeypatch, "review", "--read", "1.csv", "2.csv") is None
    assert "1 replace an earlier answer, such as: s/9.png is fear, no longer sad" in capsys.readouterr().out
    reviews = REVIEWS.read_bytes()
    assert "3.csv, row 2: s/gone.png is not in the table" in str(
        call_fer(monkeypatch, "review", "--read", "1.csv", "3.csv")
    )
    assert REVIEWS.read_bytes() == reviews
    assert read_reviews(REVIEWS) == {("s", "8.png"): "sad", ("s", "9.png"): "fear"}


def test_a_correction_of_a_labelled_face_is_reported(
    project_with_round: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("1.csv").write_text(f"source,id,correction\ns,{N - 1}.png,sad\n")
    call_fer(monkeypatch, "review", "--read", "1.csv")
    assert "are labelled or excluded; their reviews have no effect" in capsys.readouterr().out


def test_a_wrong_round_a_missing_file_and_a_fully_reviewed_pool_are_reported(
    project_with_round: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "--round 2: only the rounds 1 have pseudo-labels" in str(call_review(monkeypatch, "--round", "2"))
    assert "none.csv" in str(call_fer(monkeypatch, "review", "--read", "none.csv"))
    table = pd.read_csv("data/unified/table.csv", dtype=str, keep_default_na=False)
    write_reviews(REVIEWS, {("s", id): "sad" for id in table["id"][:POOL]})
    assert "every unlabelled face has been reviewed" in str(call_review(monkeypatch))
