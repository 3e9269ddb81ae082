"""Rows say what was seen, and spreadsheets and other packages' users read them."""

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


def face(x: float = 10.0, y: float = 20.0, side: float = 30.0, score: float | None = 8.0) -> FacePrediction:
    probabilities = {"angry": 0.25, "happy": 0.75}
    return FacePrediction(
        FaceBox(x, y, side, side, score, None), np.zeros((4, 4), np.uint8), probabilities, "happy", 0.75, True
    )


def seen(source: str = "a.png", *faces: FacePrediction, frame: int | None = None) -> ImageResult:
    input = ImageInput(source, None, frame=frame, seconds=None if frame is None else frame / 3)
    return ImageResult(input, "ok" if faces else "no_face", "", faces)


def written(what: list[ImageResult], sheet: bool = True, form: OutputFormat = "tidy") -> str:
    out = io.StringIO()
    with redirect_stdout(out), results_writer(None, sheet, form, EMOTIONS, "name") as write:
        for each in what:
            write(each)
    return out.getvalue()


def lines(what: list[ImageResult], form: OutputFormat) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written(what, False, form).split("\n")[:-1]]


def test_each_face_has_a_row_and_a_picture_without_one_has_a_row() -> None:
    text = written([seen("a.png", face(), face(score=None)), seen("b.mp4", frame=2)])
    assert text.splitlines() == [
        "source,frame,time_s,face,x,y,w,h,face_score,status,label,confidence,accepted,p_angry,p_happy,model",
        "a.png,,,0,10,20,30,30,8.0,ok,happy,0.75,True,0.25,0.75,name",
        "a.png,,,1,10,20,30,30,,ok,happy,0.75,True,0.25,0.75,name",
        "b.mp4,2,0.666667,,,,,,,no_face,,,,,,name",
    ]


def test_nothing_seen_is_a_head_alone() -> None:
    assert written([]) == ",".join(result_columns(EMOTIONS)) + "\n"
    assert list(results_table(iter([]), EMOTIONS, "name")) == result_columns(EMOTIONS)


@given(st.floats(-50, 50), st.floats(-50, 50), st.floats(60, 200))
def test_a_box_begins_within_the_picture_and_ends_where_it_ended(x: float, y: float, side: float) -> None:
    (row,) = result_rows(seen("a", face(x, y, side)), "name")
    assert min(row["x"], row["y"]) >= 0
    assert (row["x"] + row["w"], row["y"] + row["h"]) == (round(x + side), round(y + side))


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), min_size=1))
def test_no_spreadsheet_runs_a_source_and_each_can_be_read_back(source: str) -> None:
    ((read,),) = [list(csv.DictReader(io.StringIO(written([seen(source)]), newline="")))]
    assert read["source"][0] not in "=+-@\t"
    assert unescape_formula(read["source"]) == source
    assert lines([seen(source)], "tidy")[0]["source"] == source


def test_a_line_of_json_has_every_column() -> None:
    none, one = lines([seen(), seen("a.png", face())], "tidy")
    assert list(none) == list(one) == result_columns(EMOTIONS)
    assert (none["label"], one["accepted"], one["x"], one["p_happy"]) == (None, True, 10, 0.75)


def test_the_table_has_the_same_rows_as_the_csv() -> None:
    what = [seen("a.png", face()), seen("b.mp4", frame=2)]
    read = pd.read_csv(io.StringIO(written(what)))
    again = pd.read_csv(io.StringIO(results_table(iter(what), EMOTIONS, "name").to_csv(index=False)))
    pd.testing.assert_frame_equal(again, read)


def test_users_of_fer_and_deepface_find_their_shapes() -> None:
    ours = {"source": "a.mp4", "frame": 3, "time_s": 1.0, "status": "ok"}
    assert lines([seen("a.mp4", face(), frame=3)], "fer") == [
        ours | {"faces": [{"box": [10, 20, 30, 30], "emotions": {"angry": 0.25, "happy": 0.75}}]}
    ]
    assert lines([seen("a.mp4", face(score=None), frame=3)], "deepface") == [
        ours
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
    assert lines([seen()], "deepface")[0]["faces"] == []


def test_a_file_takes_its_place_on_success_alone(tmp_path: Path) -> None:
    out = tmp_path / "new" / "a.csv"
    with results_writer(out, True, "tidy", EMOTIONS, "name") as write:
        write(seen())
        assert not out.exists()
    before = out.read_bytes()
    with pytest.raises(RuntimeError), results_writer(out, True, "tidy", EMOTIONS, "name"):
        raise RuntimeError
    assert out.read_bytes() == before
    assert list(out.parent.iterdir()) == [out]


def test_ctrl_c_keeps_the_rows_so_far_beside_those_of_before(tmp_path: Path) -> None:
    out, kept = tmp_path / "a.b.csv", tmp_path / "a.b.partial.csv"
    out.write_text("earlier\n")

    def interrupted() -> None:
        with results_writer(out, True, "tidy", EMOTIONS, "name") as write:
            write(seen("a.png", face()))
            raise KeyboardInterrupt

    with pytest.raises(StoppedError, match=r"the rows so far are in .*a\.b\.partial\.csv"):
        interrupted()
    assert out.read_text() == "earlier\n"
    assert [row["label"] for row in csv.DictReader(kept.read_text().splitlines())] == ["happy"]
    assert sorted(tmp_path.iterdir()) == [out, kept]


def test_a_place_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(InputError, match=r"file/a\.csv: can't be written there"),
        results_writer(tmp_path / "file" / "a.csv", True, "tidy", EMOTIONS, "name"),
    ):
        pass


def test_every_status_is_explained_and_every_failure_has_one() -> None:
    assert {
        status_for_reason(reason) for reason in ("missing", "too many pixels", "damaged video", "anything")
    } == FAILED_STATUSES
    assert set(STATUS_MEANINGS) - FAILED_STATUSES == {"ok", "no_face"}
