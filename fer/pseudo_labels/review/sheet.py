"""The sheet on which people correct labels: a page with pictures to click, a CSV, and tasks for Label Studio."""

import base64
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, UInt8
from PIL import Image

from fer.core.files import DECIMALS, atomic_write, escape_formulas, write_csv, write_json
from fer.pseudo_labels.review.answers import UNUSABLE
from fer.pseudo_labels.review.corrections import LABEL_STUDIO_CHOICE

SHEET_TEMPLATE = Path(__file__).with_suffix(".html")
_SHOWN_EMOTIONS = 3  # of the likeliest emotions


@dataclass(frozen=True)
class Question:
    """A face to ask people about."""

    source: str
    id: str
    emotion: str  # the label that it has, or that it would have
    confidence: float
    why: str
    likeliest: list[tuple[str, float]]  # what the network says of it
    picture: str  # a PNG as a data URI


@dataclass(frozen=True)
class SheetSection:
    """Questions of one kind."""

    title: str
    text: str
    questions: list[Question]


def make_doubtful_section(
    rows: Int[np.ndarray, " m"],
    probs: Float[np.ndarray, "n classes"],
    table: pd.DataFrame,
    faces: UInt8[np.ndarray, "n size size"],
    emotions: Sequence[str],
) -> SheetSection:
    """The section of faces whose two likeliest emotions are close."""
    found = []
    for row in rows.tolist():
        likeliest = _top_emotions(probs[row], emotions)
        (one, p), (other, _) = likeliest[:2]
        found.append(_make_question(row, table, faces, one, p, f"{one} or {other}?", likeliest))
    text = "The network can hardly tell two emotions apart. Your answer tells it most here."
    return SheetSection("Doubtful", text, found)


def make_influential_section(
    rows: Int[np.ndarray, " m"],
    targets: Float[np.ndarray, "n classes"],
    probs: Float[np.ndarray, "n classes"],
    table: pd.DataFrame,
    faces: UInt8[np.ndarray, "n size size"],
    emotions: Sequence[str],
) -> SheetSection:
    """The section of faces that pull on the network that learnt them as `targets`, and now says what is `probs`."""
    found = []
    for row in rows.tolist():
        (label, p), likeliest = _top_emotions(targets[row], emotions)[0], _top_emotions(probs[row], emotions)
        now = likeliest[0][0]
        why = f"learnt as {label}, " + ("yet unsure of it" if now == label else f"yet taken for {now}")
        found.append(_make_question(row, table, faces, label, p, why, likeliest))
    text = (
        "The network learnt these pseudo-labels and still disagrees with them: where one is wrong, it does most harm."
    )
    return SheetSection("Influential", text, found)


def write_review_sheet(folder: Path, sections: Sequence[SheetSection], emotions: Sequence[str], round_: int) -> None:
    """Write index.html, faces.csv, label_studio.json and label_studio.xml (its labelling interface)."""
    asked = [(section, question) for section in sections for question in section.questions]
    rows = pd.DataFrame(
        {
            "source": [question.source for _, question in asked],
            "id": escape_formulas(pd.Series([question.id for _, question in asked], dtype=str)),
            "section": [section.title.casefold() for section, _ in asked],
            "emotion": [question.emotion for _, question in asked],
            "confidence": [question.confidence for _, question in asked],
            "why": [question.why for _, question in asked],
            "correction": "",
        }
    )
    write_csv(folder / "faces.csv", rows)
    write_json(folder / "label_studio.json", [_label_studio_task(question, round_) for _, question in asked])
    for name, text in (
        ("index.html", _render_page(sections, emotions)),
        ("label_studio.xml", _label_studio_interface(emotions)),
    ):
        with atomic_write(folder / name) as part:
            part.write_text(text, encoding="utf-8")


def _top_emotions(probs: Float[np.ndarray, " classes"], emotions: Sequence[str]) -> list[tuple[str, float]]:
    return [(emotions[code], float(probs[code])) for code in np.argsort(-probs, kind="stable")[:_SHOWN_EMOTIONS]]


def _make_question(
    row: int,
    table: pd.DataFrame,
    faces: UInt8[np.ndarray, "n size size"],
    emotion: str,
    confidence: float,
    why: str,
    likeliest: list[tuple[str, float]],
) -> Question:
    source, id = (str(table.at[row, key]) for key in ("source", "id"))
    png = io.BytesIO()
    Image.fromarray(faces[row]).save(png, "PNG", optimize=True)
    picture = "data:image/png;base64," + base64.b64encode(png.getvalue()).decode()
    return Question(source, id, emotion, confidence, why, likeliest, picture)


def _render_page(sections: Sequence[SheetSection], emotions: Sequence[str]) -> str:
    """The page. What it is about is JSON in it, without "<", so that no id can end that and begin something else."""
    shown = [
        {
            "title": section.title,
            "text": section.text,
            "faces": [_question_data(question) for question in section.questions],
        }
        for section in sections
    ]
    data = json.dumps({"answers": [*emotions, UNUSABLE], "sections": shown}).replace("<", "\\u003c")
    return SHEET_TEMPLATE.read_text(encoding="utf-8").replace("{{sheet}}", data)


def _question_data(question: Question) -> dict[str, Any]:
    """What the page shows of a face, writes of it, and keeps its answer under: on another picture it is another's."""
    known = "\n".join((question.source, question.id, question.picture))
    return {
        "source": question.source,
        "id": question.id,
        "cell": escape_formulas(pd.Series([question.id]))[0],
        "key": hashlib.sha256(known.encode()).hexdigest()[:16],
        "why": question.why,
        "likeliest": [(emotion, round(share, DECIMALS)) for emotion, share in question.likeliest],
        "picture": question.picture,
    }


def _label_studio_task(question: Question, round_: int) -> dict[str, Any]:
    """A task with the label as a prediction, in Label Studio's JSON format (labelstud.io/guide/predictions)."""
    choice = {
        "from_name": LABEL_STUDIO_CHOICE,
        "to_name": "image",
        "type": "choices",
        "value": {"choices": [question.emotion]},
    }
    return {
        "data": {
            "image": question.picture,
            "source": question.source,
            "face": question.id,  # not "id", which is the task's
            "why": question.why,
        },
        "predictions": [{"model_version": f"round {round_}", "score": question.confidence, "result": [choice]}],
    }


def _label_studio_interface(emotions: Sequence[str]) -> str:
    choices = "".join(f"\n    <Choice value={quoteattr(answer)}/>" for answer in [*emotions, UNUSABLE])
    return (
        '<View>\n  <Image name="image" value="$image"/>\n  <Text name="why" value="$why"/>\n'
        f'  <Choices name="{LABEL_STUDIO_CHOICE}" toName="image" choice="single" showInLine="true">{choices}\n'
        "  </Choices>\n</View>\n"
    )
