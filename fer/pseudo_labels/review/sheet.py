"""Write the sheet on which people correct labels: an HTML page, a CSV, and tasks for Label Studio."""

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

from fer.core.files import DECIMALS, atomic_write, write_json
from fer.core.table import escape_formulas, write_csv
from fer.pseudo_labels.review.answers import UNUSABLE
from fer.pseudo_labels.review.corrections import LABEL_STUDIO_CHOICE

SHEET_TEMPLATE = Path(__file__).with_suffix(".html")
_SHOWN_EMOTIONS = 3  # the likeliest


@dataclass(frozen=True)
class Question:
    """A face to ask people about."""

    source: str
    id: str
    emotion: str  # the pseudo-label, accepted or not
    confidence: float
    why: str
    likeliest: list[tuple[str, float]]  # emotions that the network predicts, with their probabilities
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
    """Ask about faces whose two likeliest emotions have close probabilities."""
    questions = []
    for row in rows.tolist():
        likeliest = _top_emotions(probs[row], emotions)
        (first, p), (second, _) = likeliest[:2]
        questions.append(_make_question(row, table, faces, first, p, f"{first} or {second}?", likeliest))
    text = "The network can hardly tell two emotions apart. Your answers help most here."
    return SheetSection("Doubtful", text, questions)


def make_influential_section(
    rows: Int[np.ndarray, " m"],
    targets: Float[np.ndarray, "n classes"],
    probs: Float[np.ndarray, "n classes"],
    table: pd.DataFrame,
    faces: UInt8[np.ndarray, "n size size"],
    emotions: Sequence[str],
) -> SheetSection:
    """Ask about faces that were trained on as `targets` and that the trained network predicts as `probs`."""
    questions = []
    for row in rows.tolist():
        (label, p), likeliest = _top_emotions(targets[row], emotions)[0], _top_emotions(probs[row], emotions)
        predicted = likeliest[0][0]
        why = f"trained as {label}, but " + ("uncertain" if predicted == label else f"predicted as {predicted}")
        questions.append(_make_question(row, table, faces, label, p, why, likeliest))
    text = "The network was trained on these pseudo-labels and still disagrees. A wrong label does most harm here."
    return SheetSection("Influential", text, questions)


def write_review_sheet(folder: Path, sections: Sequence[SheetSection], emotions: Sequence[str], round_: int) -> None:
    """Write index.html, faces.csv, label_studio.json and label_studio.xml (its labelling interface)."""
    questions = [(section, question) for section in sections for question in section.questions]
    rows = pd.DataFrame(
        {
            "source": [question.source for _, question in questions],
            "id": escape_formulas(pd.Series([question.id for _, question in questions], dtype=str)),
            "section": [section.title.casefold() for section, _ in questions],
            "emotion": [question.emotion for _, question in questions],
            "confidence": [question.confidence for _, question in questions],
            "why": [question.why for _, question in questions],
            "correction": "",
        }
    )
    write_csv(folder / "faces.csv", rows)
    write_json(folder / "label_studio.json", [_label_studio_task(question, round_) for _, question in questions])
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
    """Return the page. Its data are JSON without "<", so that no id can end the script element."""
    sections_data = [
        {
            "title": section.title,
            "text": section.text,
            "faces": [_question_data(question) for question in section.questions],
        }
        for section in sections
    ]
    data = json.dumps({"answers": [*emotions, UNUSABLE], "sections": sections_data}).replace("<", "\\u003c")
    return SHEET_TEMPLATE.read_text(encoding="utf-8").replace("{{sheet}}", data)


def _question_data(question: Question) -> dict[str, Any]:
    """Return a question as the page needs it, with the key under which the browser keeps its answer."""
    identity = "\n".join((question.source, question.id, question.picture))
    return {
        "source": question.source,
        "id": question.id,
        "cell": escape_formulas(pd.Series([question.id]))[0],
        "key": hashlib.sha256(identity.encode()).hexdigest()[:16],
        "why": question.why,
        "likeliest": [(emotion, round(share, DECIMALS)) for emotion, share in question.likeliest],
        "picture": question.picture,
    }


def _label_studio_task(question: Question, round_: int) -> dict[str, Any]:
    """Return a task with the label as a prediction, in Label Studio's JSON format (labelstud.io/guide/predictions)."""
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
