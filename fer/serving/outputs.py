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

from fer.core.files import DECIMALS, atomic_write, escape_formula
from fer.data.media.detection import FaceBox
from fer.runtime.errors import InputError, StoppedError
from fer.serving.inputs import ImageInput

OutputFormat = Literal["tidy", "fer", "deepface"]


@dataclass(frozen=True, slots=True)
class FacePrediction:
    """A face, and the expression that it apparently has."""

    box: FaceBox  # in the picture's pixels, as it was cut out: it may leave the picture
    face: UInt8[np.ndarray, "size size"]  # what the networks saw
    probabilities: dict[str, float]  # calibrated, of each emotion, in the package's order
    label: str  # the likeliest emotion
    confidence: float  # its probability
    accepted: bool  # at or above the threshold of that emotion; otherwise the prediction abstains


@dataclass(frozen=True, slots=True)
class ImageResult:
    """What became of one picture or frame."""

    input: ImageInput
    status: str  # one of `statuses.MEANING`
    detail: str  # what is wrong, in words
    faces: Sequence[FacePrediction]


def result_columns(emotions: Sequence[str]) -> list[str]:
    """Those of a table of predictions, in order."""
    place = ["source", "frame", "time_s", "face", "x", "y", "w", "h", "face_score"]
    return [*place, "status", "label", "confidence", "accepted", *(f"p_{emotion}" for emotion in emotions), "model"]


def result_rows(result: ImageResult, model: str) -> Iterator[dict[str, Any]]:
    """A row for each face, or one that says why there is none; what is not known is left out."""
    shared: dict[str, Any] = {"source": result.input.source, "status": result.status, "model": model}
    if result.input.frame is not None and result.input.seconds is not None:
        shared |= {"frame": result.input.frame, "time_s": round(result.input.seconds, DECIMALS)}
    if not result.faces:
        yield shared
    for number, face in enumerate(result.faces):
        yield shared | {
            "face": number,
            **dict(zip("xywh", _pixel_box(face.box), strict=True)),
            "face_score": face.box.score if face.box.score is None else round(face.box.score, DECIMALS),
            "label": face.label,
            "confidence": face.confidence,
            "accepted": face.accepted,
            **{f"p_{emotion}": probability for emotion, probability in face.probabilities.items()},
        }


def results_table(results: Iterator[ImageResult], emotions: Sequence[str], model: str) -> pd.DataFrame:
    """All rows at once; what is not known is missing."""
    found = pd.DataFrame(
        [row for each in results for row in result_rows(each, model)], columns=result_columns(emotions)
    )
    whole = dict.fromkeys(["frame", "face", *"xywh"], "Int64") | {"accepted": "boolean"}
    numbers = ["time_s", "face_score", "confidence", *(f"p_{emotion}" for emotion in emotions)]
    return found.astype(whole | dict.fromkeys(numbers, "float64"))


@contextmanager
def results_writer(
    out: Path | None, as_csv: bool, output_format: OutputFormat, emotions: Sequence[str], model: str
) -> Iterator[Callable[[ImageResult], None]]:
    """Yield a function that writes what was seen in a picture, as CSV (`as_csv`) or JSON lines, to standard output if
    there is no `out`.

    A file takes its place on success. Texts in a CSV are guarded against spreadsheets that would run them.

    Raises:
        InputError: the file can't be written.
        CutShortError: Ctrl-C; the rows so far are in a file beside `out`, whose name ends in `.partial` and its suffix.
    """
    with ExitStack() as closing:
        file = sys.stdout if out is None else closing.enter_context(_open_output(out))
        if as_csv:
            table = csv.DictWriter(file, result_columns(emotions), lineterminator="\n")
            table.writeheader()
            yield lambda seen: table.writerows(
                row | {"source": escape_formula(row["source"])} for row in result_rows(seen, model)
            )
        else:
            yield lambda seen: file.writelines(
                json.dumps(line, ensure_ascii=False) + "\n"
                for line in _json_records(seen, output_format, emotions, model)
            )


@contextmanager
def _open_output(out: Path) -> Iterator[IO[str]]:
    with ExitStack() as closing:
        try:
            part = closing.enter_context(atomic_write(out))
            file = closing.enter_context(part.open("w", encoding="utf-8", newline=""))
        except OSError as error:
            raise InputError(f"{out}: can't be written there: {error.strerror}") from error
        try:
            yield file
        except KeyboardInterrupt as interrupt:
            file.close()
            kept = out.with_suffix(f".partial{out.suffix}")
            os.replace(part, kept)
            raise StoppedError(f"interrupted; the rows so far are in {kept}") from interrupt


def _json_records(
    result: ImageResult, output_format: OutputFormat, emotions: Sequence[str], model: str
) -> Iterator[dict[str, Any]]:
    if output_format == "tidy":
        yield from ({name: row.get(name) for name in result_columns(emotions)} for row in result_rows(result, model))
        return
    shape = _as_fer if output_format == "fer" else _as_deepface
    first = next(result_rows(result, model))
    known = {name: first.get(name) for name in ("source", "frame", "time_s", "status")}
    yield known | {"faces": [shape(face) for face in result.faces]}


def _as_fer(face: FacePrediction) -> dict[str, Any]:
    """As in the list that `fer.FER().detect_emotions(image)` returns."""
    return {"box": _pixel_box(face.box), "emotions": face.probabilities}


def _as_deepface(face: FacePrediction) -> dict[str, Any]:
    """As in the list that `DeepFace.analyze(image, actions=["emotion"])` returns: in percent."""
    return {
        "emotion": {emotion: round(100 * probability, 4) for emotion, probability in face.probabilities.items()},
        "dominant_emotion": face.label,
        "region": dict(zip("xywh", _pixel_box(face.box), strict=True)),
        "face_confidence": face.box.score or 0,  # 0 where nobody looked, as with its detector "skip"
    }


def _pixel_box(box: FaceBox) -> list[int]:
    """x, y, width and height of the box, in whole pixels that are not negative."""
    left, top = max(0, round(box.x)), max(0, round(box.y))
    return [left, top, round(box.x + box.width) - left, round(box.y + box.height) - top]
