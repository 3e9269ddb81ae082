"""Prediction results as rows, tables and files, also in the formats of `fer` and DeepFace."""

import csv
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import UInt8

from fer.core.files import DECIMALS, atomic_write, escape_formula
from fer.data.media.detection import FaceBox
from fer.runtime.errors import InputError, StoppedError
from fer.serving.inputs import ImageInput

if TYPE_CHECKING:
    import pandas

OutputFormat = Literal["tidy", "fer", "deepface"]


@dataclass(frozen=True, slots=True)
class FacePrediction:
    """A face with its apparent expression."""

    box: FaceBox  # of the crop, in pixels of the image; it can exceed the image
    face: UInt8[np.ndarray, "size size"]  # the input of the networks
    probabilities: dict[str, float]  # calibrated, by emotion in the package's order
    label: str  # the likeliest emotion
    confidence: float  # the probability of `label`
    accepted: bool  # whether the confidence reaches the threshold of `label`; otherwise the prediction abstains


@dataclass(frozen=True, slots=True)
class ImageResult:
    """The result of one image or frame."""

    input: ImageInput
    status: str  # a key of `STATUS_MEANINGS`
    detail: str  # error message, empty on success
    faces: Sequence[FacePrediction]


def result_columns(emotions: Sequence[str]) -> list[str]:
    """Return the columns of a table of predictions, in order."""
    columns = ["source", "frame", "time_s", "face", "x", "y", "w", "h", "face_score", "status", "label"]
    return [*columns, "confidence", "accepted", *(f"p_{emotion}" for emotion in emotions), "model"]


def result_rows(result: ImageResult, model: str) -> Iterator[dict[str, Any]]:
    """Yield a row for each face, or a single row without a face. Rows omit unknown values."""
    common: dict[str, Any] = {"source": result.input.source, "status": result.status, "model": model}
    if result.input.frame is not None and result.input.seconds is not None:
        common |= {"frame": result.input.frame, "time_s": round(result.input.seconds, DECIMALS)}
    if not result.faces:
        yield common
    for number, face in enumerate(result.faces):
        yield common | {
            "face": number,
            **dict(zip("xywh", _pixel_box(face.box), strict=True)),
            "face_score": face.box.score if face.box.score is None else round(face.box.score, DECIMALS),
            "label": face.label,
            "confidence": face.confidence,
            "accepted": face.accepted,
            **{f"p_{emotion}": probability for emotion, probability in face.probabilities.items()},
        }


def results_table(results: Iterator[ImageResult], emotions: Sequence[str], model: str) -> "pandas.DataFrame":
    """Return all rows as a table with missing values where a value is unknown."""
    import pandas as pd  # slow to import, and `fer predict` makes no table

    rows = [row for result in results for row in result_rows(result, model)]
    integers = dict.fromkeys(["frame", "face", *"xywh"], "Int64") | {"accepted": "boolean"}
    floats = ["time_s", "face_score", "confidence", *(f"p_{emotion}" for emotion in emotions)]
    return pd.DataFrame(rows, columns=result_columns(emotions)).astype(integers | dict.fromkeys(floats, "float64"))


@contextmanager
def results_writer(
    out: Path | None, as_csv: bool, output_format: OutputFormat, emotions: Sequence[str], model: str
) -> Iterator[Callable[[ImageResult], None]]:
    """Yield a function that writes the result of an image to `out`, or to standard output if `out` is None.

    The file appears only on success. Source names in a CSV are escaped against evaluation as spreadsheet formulas.
    `output_format` is the shape of JSON lines; `model` is the id of the package.

    Raises:
        InputError: The file can't be written.
        StoppedError: Ctrl-C was pressed; the rows so far are in a file next to `out` with `.partial` in its name.
    """
    with ExitStack() as closing:
        file = sys.stdout if out is None else closing.enter_context(_open_output(out))
        if as_csv:
            table = csv.DictWriter(file, result_columns(emotions), lineterminator="\n")
            table.writeheader()
            yield lambda result: table.writerows(
                row | {"source": escape_formula(row["source"])} for row in result_rows(result, model)
            )
        else:
            yield lambda result: file.writelines(
                json.dumps(line, ensure_ascii=False) + "\n"
                for line in _json_records(result, output_format, emotions, model)
            )


@contextmanager
def _open_output(out: Path) -> Iterator[IO[str]]:
    with ExitStack() as closing:
        try:
            part = closing.enter_context(atomic_write(out))
            file = closing.enter_context(part.open("w", encoding="utf-8", newline=""))
        except OSError as error:
            raise InputError(f"{out}: can't be written: {error.strerror}; choose another path") from error
        try:
            yield file
        except KeyboardInterrupt as interrupt:
            file.close()
            partial = out.with_suffix(f".partial{out.suffix}")
            os.replace(part, partial)
            raise StoppedError(f"interrupted; the rows so far are in {partial}") from interrupt


def _json_records(
    result: ImageResult, output_format: OutputFormat, emotions: Sequence[str], model: str
) -> Iterator[dict[str, Any]]:
    if output_format == "tidy":
        yield from ({name: row.get(name) for name in result_columns(emotions)} for row in result_rows(result, model))
        return
    format_face = _format_as_fer if output_format == "fer" else _format_as_deepface
    first = next(result_rows(result, model))
    common = {name: first.get(name) for name in ("source", "frame", "time_s", "status")}
    yield common | {"faces": [format_face(face) for face in result.faces]}


def _format_as_fer(face: FacePrediction) -> dict[str, Any]:
    """Return an item of the list that `fer.FER().detect_emotions(image)` returns."""
    return {"box": _pixel_box(face.box), "emotions": face.probabilities}


def _format_as_deepface(face: FacePrediction) -> dict[str, Any]:
    """Return an item of the list that `DeepFace.analyze(image, actions=["emotion"])` returns, in percent."""
    return {
        "emotion": {emotion: round(100 * probability, 4) for emotion, probability in face.probabilities.items()},
        "dominant_emotion": face.label,
        "region": dict(zip("xywh", _pixel_box(face.box), strict=True)),
        "face_confidence": face.box.score or 0,  # 0 without detection, as with DeepFace's detector "skip"
    }


def _pixel_box(box: FaceBox) -> list[int]:
    """Return x, y, width and height of the box in whole, non-negative pixels."""
    x, y = max(0, round(box.x)), max(0, round(box.y))
    return [x, y, round(box.x + box.width) - x, round(box.y + box.height) - y]
