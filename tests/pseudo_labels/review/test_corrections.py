"""Reading corrections: what is accepted, and what is reported."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fer.pseudo_labels.review.corrections import Corrections, merge_reviews, read_corrections
from fer.runtime.errors import InputError

EMOTIONS = ["angry", "happy", "sad"]
TABLE = pd.DataFrame({"source": "s", "id": ["a.png", "b.png", '=HYPERLINK("x")', "-c.png"]})


def read(folder: Path, *rows: str) -> Corrections:
    (folder / "corrections.csv").write_text("\n".join(["source,id,correction", *rows, ""]))
    return read_corrections(folder / "corrections.csv", EMOTIONS, TABLE)


def task(face: str, *choices: str, **fields: Any) -> dict[str, Any]:
    """Return a task as Label Studio exports it, with a choice by each annotator."""
    return {
        "id": 7,
        "data": {"image": "data:,", "source": "s", "face": face},
        "annotations": [
            {
                "result": [
                    {"from_name": "emotion", "to_name": "image", "type": "choices", "value": {"choices": [choice]}},
                    {"from_name": "note", "to_name": "image", "type": "textarea", "value": {"text": ["hm"]}},
                ],
                "was_cancelled": False,
            }
            | fields
            for choice in choices
        ],
    }


def export(folder: Path, content: Any) -> Corrections:
    (folder / "export.json").write_text(json.dumps(content))
    return read_corrections(folder / "export.json", EMOTIONS, TABLE)


def test_answers_are_read_in_any_case_and_by_alias_and_empty_cells_are_counted(tmp_path: Path) -> None:
    corrections = read(tmp_path, "s,a.png, Happiness ", "s,b.png,UNUSABLE", "s,'-c.png,", 's,\'=HYPERLINK("x"),sad')
    assert corrections.reviews == {("s", "a.png"): "happy", ("s", "b.png"): "unusable", ("s", '=HYPERLINK("x")'): "sad"}
    assert corrections.n_unanswered == 1


def test_two_equal_answers_for_a_face_count_once(tmp_path: Path) -> None:
    assert read(tmp_path, "s,a.png,sad", "s,a.png,sad", "s,a.png,") == Corrections({("s", "a.png"): "sad"}, 0)


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (["s,a.png,sad", "s,gone.png,sad"], "row 3: s/gone.png is not in the table; correct or delete it"),
        (["t,a.png,sad", "s,gone.png,"], "row 2: t/a.png is not in the table, nor are 1 others of the file"),
        (["s,a.png,=1+1"], "row 2: '=1\\+1' is none of angry, happy, sad, unusable"),
        (["s,a.png,fear"], "row 2: 'fear' is none of angry, happy, sad, unusable"),
        (["s,a.png,sad", "s,b.png,sad", "s,a.png,happy"], "row 2 and row 4: s/a.png is sad in one and happy in the"),
    ],
    ids=["unknown face", "unknown faces", "formula", "unused emotion", "two answers"],
)
def test_a_wrong_row_is_reported_with_its_number(tmp_path: Path, rows: list[str], problem: str) -> None:
    with pytest.raises(InputError, match=f"corrections.csv, {problem}"):
        read(tmp_path, *rows)


def test_an_export_of_label_studio_is_read_and_skipped_tasks_are_counted(tmp_path: Path) -> None:
    tasks = [task("a.png", "sad", "sad"), task("b.png"), task("-c.png", "happy", was_cancelled=True)]
    assert export(tmp_path, tasks) == Corrections({("s", "a.png"): "sad"}, 2)


def test_disagreeing_annotators_are_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"task 1 and task 1: s/a\.png is sad in one and happy in the other"):
        export(tmp_path, [task("a.png", "sad", "happy")])


@pytest.mark.parametrize(
    "content",
    [
        [{"id": 7, "image": "data:,", "face": "a.png", "emotion": "sad"}],
        [1],
        {"tasks": []},
        [task("a.png") | {"data": {}}],
    ],
)
def test_other_json_is_rejected(tmp_path: Path, content: Any) -> None:
    with pytest.raises(InputError, match=r"task 1: not an export of Label Studio .* export the tasks"):
        export(tmp_path, content)


def test_a_file_that_is_not_json_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "export.json").write_text("source,id")
    with pytest.raises(InputError, match="not a JSON file"):
        read_corrections(tmp_path / "export.json", EMOTIONS, TABLE)


def test_a_later_answer_replaces_an_earlier_one_and_is_reported() -> None:
    earlier = {("s", "a"): "sad", ("s", "b"): "happy", ("s", "c"): "angry"}
    merged, changed = merge_reviews(earlier, {("s", "a"): "angry", ("s", "b"): "happy", ("s", "d"): "unusable"})
    assert merged == earlier | {("s", "a"): "angry", ("s", "d"): "unusable"}
    assert changed == ["s/a is angry, no longer sad"]


def test_an_export_nested_too_deeply_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "export.json").write_text('{"data":' * 100_000)
    with pytest.raises(InputError, match="nested too deeply"):
        read_corrections(tmp_path / "export.json", EMOTIONS, TABLE)
