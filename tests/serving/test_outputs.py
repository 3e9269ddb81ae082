"""Results are written as rows that spreadsheets can read, and in the formats of other packages."""

import csv
import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer.core.files import unescape_formula
from fer.data.media.detection import FaceBox
from fer.runtime.errors import InputError, StoppedError
from fer.serving.inputs import ImageInput
from fer.serving.outputs import (
    FacePrediction,
    ImageResult,
    OutputFormat,
    result_columns,
    result_rows,
    results_table,
    results_writer,
)
from fer.serving.statuses import FAILED_STATUSES, STATUS_MEANINGS, status_for_reason

EMOTIONS = ("angry", "happy")


def make_face(x: float = 10.0, y: float = 20.0, side: float = 30.0, score: float | None = 8.0) -> FacePrediction:
    probabilities = {"angry": 0.25, "happy": 0.75}
    return FacePrediction(
        FaceBox(x, y, side, side, score, None), np.zeros((4, 4), np.uint8), probabilities, "happy", 0.75, True
    )


def make_result(source: str = "a.png", *faces: FacePrediction, frame: int | None = None) -> ImageResult:
    input = ImageInput(source, None, frame=frame, seconds=None if frame is None else frame / 3)
    return ImageResult(input, "ok" if faces else "no_face", "", faces)


def write_text(results: list[ImageResult], as_csv: bool = True, output_format: OutputFormat = "tidy") -> str:
    out = io.StringIO()
    with redirect_stdout(out), results_writer(None, as_csv, output_format, EMOTIONS, "name") as write:
        for result in results:
            write(result)
    return out.getvalue()


def write_records(results: list[ImageResult], output_format: OutputFormat) -> list[dict[str, Any]]:
    return [json.loads(line) for line in write_text(results, False, output_format).split("\n")[:-1]]


def test_every_face_and_every_image_without_a_face_has_a_row() -> None:
    text = write_text([make_result("a.png", make_face(), make_face(score=None)), make_result("b.mp4", frame=2)])
    assert text.splitlines() == [
        "source,frame,time_s,face,x,y,w,h,face_score,status,label,confidence,accepted,p_angry,p_happy,model",
        "a.png,,,0,10,20,30,30,8.0,ok,happy,0.75,True,0.25,0.75,name",
        "a.png,,,1,10,20,30,30,,ok,happy,0.75,True,0.25,0.75,name",
        "b.mp4,2,0.666667,,,,,,,no_face,,,,,,name",
    ]


def test_no_results_give_a_header_alone() -> None:
    assert write_text([]) == ",".join(result_columns(EMOTIONS)) + "\n"
    assert list(results_table(iter([]), EMOTIONS, "name")) == result_columns(EMOTIONS)


@given(st.floats(-50, 50), st.floats(-50, 50), st.floats(60, 200))
def test_box_starts_within_the_image_and_keeps_its_end(x: float, y: float, side: float) -> None:
    (row,) = result_rows(make_result("a", make_face(x, y, side)), "name")
    assert min(row["x"], row["y"]) >= 0
    assert (row["x"] + row["w"], row["y"] + row["h"]) == (round(x + side), round(y + side))


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), min_size=1))
def test_source_names_are_escaped_in_csv_and_can_be_restored(source: str) -> None:
    ((row,),) = [list(csv.DictReader(io.StringIO(write_text([make_result(source)]), newline="")))]
    assert row["source"][0] not in "=+-@\t"
    assert unescape_formula(row["source"]) == source
    assert write_records([make_result(source)], "tidy")[0]["source"] == source


def test_json_line_has_every_column() -> None:
    empty, full = write_records([make_result(), make_result("a.png", make_face())], "tidy")
    assert list(empty) == list(full) == result_columns(EMOTIONS)
    assert (empty["label"], full["accepted"], full["x"], full["p_happy"]) == (None, True, 10, 0.75)


def test_table_has_the_same_rows_as_the_csv() -> None:
    results = [make_result("a.png", make_face()), make_result("b.mp4", frame=2)]
    expected = pd.read_csv(io.StringIO(write_text(results)))
    table = pd.read_csv(io.StringIO(results_table(iter(results), EMOTIONS, "name").to_csv(index=False)))
    pd.testing.assert_frame_equal(table, expected)


def test_records_have_the_formats_of_fer_and_deepface() -> None:
    common = {"source": "a.mp4", "frame": 3, "time_s": 1.0, "status": "ok"}
    assert write_records([make_result("a.mp4", make_face(), frame=3)], "fer") == [
        common | {"faces": [{"box": [10, 20, 30, 30], "emotions": {"angry": 0.25, "happy": 0.75}}]}
    ]
    assert write_records([make_result("a.mp4", make_face(score=None), frame=3)], "deepface") == [
        common
        | {
            "faces": [
                {
                    "emotion": {"angry": 25.0, "happy": 75.0},
                    "dominant_emotion": "happy",
                    "region": {"x": 10, "y": 20, "w": 30, "h": 30},
                    "face_confidence": 0,
                }
            ]
        }
    ]
    assert write_records([make_result()], "deepface")[0]["faces"] == []


def test_file_appears_only_on_success(tmp_path: Path) -> None:
    out = tmp_path / "new" / "a.csv"
    with results_writer(out, True, "tidy", EMOTIONS, "name") as write:
        write(make_result())
        assert not out.exists()
    previous = out.read_bytes()
    with pytest.raises(RuntimeError), results_writer(out, True, "tidy", EMOTIONS, "name"):
        raise RuntimeError
    assert out.read_bytes() == previous
    assert list(out.parent.iterdir()) == [out]


def test_ctrl_c_keeps_partial_rows_next_to_the_previous_file(tmp_path: Path) -> None:
    out, partial = tmp_path / "a.b.csv", tmp_path / "a.b.partial.csv"
    out.write_text("earlier\n")

    def write_and_interrupt() -> None:
        with results_writer(out, True, "tidy", EMOTIONS, "name") as write:
            write(make_result("a.png", make_face()))
            raise KeyboardInterrupt

    with pytest.raises(StoppedError, match=r"the rows so far are in .*a\.b\.partial\.csv"):
        write_and_interrupt()
    assert out.read_text() == "earlier\n"
    assert [row["label"] for row in csv.DictReader(partial.read_text().splitlines())] == ["happy"]
    assert sorted(tmp_path.iterdir()) == [out, partial]


def test_unwritable_path_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(InputError, match=r"file/a\.csv: can't be written"),
        results_writer(tmp_path / "file" / "a.csv", True, "tidy", EMOTIONS, "name"),
    ):
        pass


def test_every_status_has_a_meaning() -> None:
    assert {
        status_for_reason(reason) for reason in ("missing", "too many pixels", "damaged video", "anything")
    } == FAILED_STATUSES
    assert set(STATUS_MEANINGS) - FAILED_STATUSES == {"ok", "no_face"}
