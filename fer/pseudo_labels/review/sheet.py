"""Write the sheet on which people correct labels: an HTML page, a CSV, and tasks for Label Studio."""

import base64
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from xml.sax.saxutils import quoteattr

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, UInt8
from PIL import Image

from fer.core.files import DECIMALS, atomic_write, escape_formula, write_json
from fer.core.table import write_csv
from fer.pseudo_labels.review.answers import UNUSABLE
from fer.pseudo_labels.review.corrections import LABEL_STUDIO_CHOICE

SHEET_TEMPLATE = Path(__file__).with_suffix(".html")
SHEET_COLUMNS = ("source", "id", "section", "emotion", "confidence", "why", "correction")
SECTION_TEXTS = {
    "Doubtful": "The network can hardly tell two emotions apart. Your answers help most here.",
    "Influential": "The network was trained on these pseudo-labels and still disagrees. "
    "A wrong label does most harm here.",
}
_SHOWN_EMOTIONS = 3  # the likeliest


@dataclass(frozen=True)
class SheetSection:
    """Faces to ask people about, all for one reason; `make_section` and the page name the keys of a question."""

    title: str
    text: str
    questions: list[dict[str, Any]]


def make_section(
    title: Literal["Doubtful", "Influential"],
    rows: Int[np.ndarray, " m"],
    targets: Float[np.ndarray, "n classes"],
    probs: Float[np.ndarray, "n classes"],
    table: pd.DataFrame,
    faces: UInt8[np.ndarray, "n size size"],
    emotions: Sequence[str],
) -> SheetSection:
    """Ask about faces that the network predicts as `probs`; it was trained on the influential ones as `targets`."""
    questions = []
    for row in rows.tolist():
        (label, confidence), likeliest = _top_emotions(targets[row], emotions)[0], _top_emotions(probs[row], emotions)
        if title == "Doubtful":
            why = f"{label} or {likeliest[1][0]}?"
        else:
            predicted = likeliest[0][0]
            why = f"trained as {label}, but " + ("uncertain" if predicted == label else f"predicted as {predicted}")
        source, id = (str(table.at[row, key]) for key in ("source", "id"))
        png = io.BytesIO()
        Image.fromarray(faces[row]).save(png, "PNG", optimize=True)
        picture = "data:image/png;base64," + base64.b64encode(png.getvalue()).decode()
        question = {
            "source": source,
            "id": id,
            "cell": escape_formula(id),
            # The browser keeps the answer under this key.
            "key": hashlib.sha256("\n".join((source, id, picture)).encode()).hexdigest()[:16],
            "emotion": label,
            "confidence": confidence,
            "why": why,
            "likeliest": [(emotion, round(share, DECIMALS)) for emotion, share in likeliest],
            "picture": picture,
        }
        questions.append(question)
    return SheetSection(title, SECTION_TEXTS[title], questions)


def write_review_sheet(folder: Path, sections: Sequence[SheetSection], emotions: Sequence[str], round_: int) -> None:
    """Write index.html, faces.csv, label_studio.json and label_studio.xml (its labelling interface)."""
    rows = [
        question | {"id": question["cell"], "section": section.title.casefold(), "correction": ""}
        for section in sections
        for question in section.questions
    ]
    write_csv(folder / "faces.csv", pd.DataFrame(rows, columns=list(SHEET_COLUMNS)))
    tasks = [_label_studio_task(question, round_) for section in sections for question in section.questions]
    write_json(folder / "label_studio.json", tasks)
    sections_data = [{"title": part.title, "text": part.text, "faces": part.questions} for part in sections]
    # Without "<" in the JSON, no id can end the script element.
    data = json.dumps({"answers": [*emotions, UNUSABLE], "sections": sections_data}).replace("<", "\\u003c")
    page = SHEET_TEMPLATE.read_text(encoding="utf-8").replace("{{sheet}}", data)
    for name, text in (("index.html", page), ("label_studio.xml", _label_studio_interface(emotions))):
        with atomic_write(folder / name) as part:
            part.write_text(text, encoding="utf-8")


def _top_emotions(probs: Float[np.ndarray, " classes"], emotions: Sequence[str]) -> list[tuple[str, float]]:
    return [(emotions[code], float(probs[code])) for code in np.argsort(-probs, kind="stable")[:_SHOWN_EMOTIONS]]


def _label_studio_task(question: dict[str, Any], round_: int) -> dict[str, Any]:
    """Return a task with the label as a prediction, in Label Studio's JSON format (labelstud.io/guide/predictions)."""
    value = {"choices": [question["emotion"]]}
    choice = {"from_name": LABEL_STUDIO_CHOICE, "to_name": "image", "type": "choices", "value": value}
    return {
        "data": {
            "image": question["picture"],
            "source": question["source"],
            "face": question["id"],  # not "id", which is the task's
            "why": question["why"],
        },
        "predictions": [{"model_version": f"round {round_}", "score": question["confidence"], "result": [choice]}],
    }


def _label_studio_interface(emotions: Sequence[str]) -> str:
    choices = "".join(f"\n    <Choice value={quoteattr(answer)}/>" for answer in [*emotions, UNUSABLE])
    return (
        '<View>\n  <Image name="image" value="$image"/>\n  <Text name="why" value="$why"/>\n'
        f'  <Choices name="{LABEL_STUDIO_CHOICE}" toName="image" choice="single" showInLine="true">{choices}\n'
        "  </Choices>\n</View>\n"
    )
