"""What was seen in pictures, as rows and in the shapes that users of other packages know."""

import csv
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import UInt8

from fer.core.files import DIGITS, guard, replacing
from fer.data.media.detection import Box
from fer.runtime.errors import CutShortError, InputError
from fer.serving.inputs import Input

Format = Literal["tidy", "fer", "deepface"]


@dataclass(frozen=True, slots=True)
class Prediction:
    """A face, and the expression that it apparently has."""

    box: Box  # in the picture's pixels, as it was cut out: it may leave the picture
    face: UInt8[np.ndarray, "size size"]  # what the networks saw
    probabilities: dict[str, float]  # calibrated, of each emotion, in the package's order
    label: str  # the likeliest emotion
    confidence: float  # its probability
    accepted: bool  # at or above the threshold of that emotion; otherwise the prediction abstains


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of one picture or frame."""

    input: Input
    status: str  # one of `statuses.MEANING`
    detail: str  # what is wrong, in words
    faces: Sequence[Prediction]


def columns(emotions: Sequence[str]) -> list[str]:
    """Those of a table of predictions, in order."""
    place = ["source", "frame", "time_s", "face", "x", "y", "w", "h", "face_score"]
    return [*place, "status", "label", "confidence", "accepted", *(f"p_{emotion}" for emotion in emotions), "model"]


def rows(seen: Seen, model: str) -> Iterator[dict[str, Any]]:
    """A row for each face, or one that says why there is none; what is not known is left out."""
    shared: dict[str, Any] = {"source": seen.input.source, "status": seen.status, "model": model}
    if seen.input.frame is not None and seen.input.seconds is not None:
        shared |= {"frame": seen.input.frame, "time_s": round(seen.input.seconds, DIGITS)}
    if not seen.faces:
        yield shared
    for number, face in enumerate(seen.faces):
        yield shared | {
            "face": number,
            **dict(zip("xywh", _corner(face.box), strict=True)),
            "face_score": face.box.score if face.box.score is None else round(face.box.score, DIGITS),
            "label": face.label,
            "confidence": face.confidence,
            "accepted": face.accepted,
            **{f"p_{emotion}": probability for emotion, probability in face.probabilities.items()},
        }


def table(seen: Iterator[Seen], emotions: Sequence[str], model: str) -> pd.DataFrame:
    """All rows at once; what is not known is missing."""
    found = pd.DataFrame([row for each in seen for row in rows(each, model)], columns=columns(emotions))
    whole = dict.fromkeys(["frame", "face", *"xywh"], "Int64") | {"accepted": "boolean"}
    numbers = ["time_s", "face_score", "confidence", *(f"p_{emotion}" for emotion in emotions)]
    return found.astype(whole | dict.fromkeys(numbers, "float64"))


@contextmanager
def writing(
    out: Path | None, sheet: bool, form: Format, emotions: Sequence[str], model: str
) -> Iterator[Callable[[Seen], None]]:
    """Yield a function that writes what was seen in a picture, as CSV (`sheet`) or JSON lines, to standard output if
    there is no `out`.

    A file takes its place on success. Texts in a CSV are guarded against spreadsheets that would run them.

    Raises:
        InputError: the file can't be written.
        CutShortError: Ctrl-C; the rows so far are in a file beside `out`, whose name ends in `.partial` and its suffix.
    """
    with ExitStack() as closing:
        file = sys.stdout if out is None else closing.enter_context(_replacing(out))
        if sheet:
            table = csv.DictWriter(file, columns(emotions), lineterminator="\n")
            table.writeheader()
            yield lambda seen: table.writerows(row | {"source": guard(row["source"])} for row in rows(seen, model))
        else:
            yield lambda seen: file.writelines(
                json.dumps(line, ensure_ascii=False) + "\n" for line in _lines(seen, form, emotions, model)
            )


@contextmanager
def _replacing(out: Path) -> Iterator[IO[str]]:
    with ExitStack() as closing:
        try:
            part = closing.enter_context(replacing(out))
            file = closing.enter_context(part.open("w", encoding="utf-8", newline=""))
        except OSError as error:
            raise InputError(f"{out}: can't be written there: {error.strerror}") from error
        try:
            yield file
        except KeyboardInterrupt as interrupt:
            file.close()
            kept = out.with_suffix(f".partial{out.suffix}")
            os.replace(part, kept)
            raise CutShortError(f"interrupted; the rows so far are in {kept}") from interrupt


def _lines(seen: Seen, form: Format, emotions: Sequence[str], model: str) -> Iterator[dict[str, Any]]:
    if form == "tidy":
        yield from ({name: row.get(name) for name in columns(emotions)} for row in rows(seen, model))
        return
    shape = _as_fer if form == "fer" else _as_deepface
    first = next(rows(seen, model))
    known = {name: first.get(name) for name in ("source", "frame", "time_s", "status")}
    yield known | {"faces": [shape(face) for face in seen.faces]}


def _as_fer(face: Prediction) -> dict[str, Any]:
    """As in the list that `fer.FER().detect_emotions(image)` returns."""
    return {"box": _corner(face.box), "emotions": face.probabilities}


def _as_deepface(face: Prediction) -> dict[str, Any]:
    """As in the list that `DeepFace.analyze(image, actions=["emotion"])` returns: in percent."""
    return {
        "emotion": {emotion: round(100 * probability, 4) for emotion, probability in face.probabilities.items()},
        "dominant_emotion": face.label,
        "region": dict(zip("xywh", _corner(face.box), strict=True)),
        "face_confidence": face.box.score or 0,  # 0 where nobody looked, as with its detector "skip"
    }


def _corner(box: Box) -> list[int]:
    """x, y, width and height of the box, in whole pixels that are not negative."""
    left, top = max(0, round(box.x)), max(0, round(box.y))
    return [left, top, round(box.x + box.width) - left, round(box.y + box.height) - top]
