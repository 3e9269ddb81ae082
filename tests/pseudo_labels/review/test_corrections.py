"""What people hand in, and what is refused."""

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


def task(face: str, *choices: str, **more: Any) -> dict[str, Any]:
    """A task as Label Studio exports it, with a choice by each annotator."""
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
            | more
            for choice in choices
        ],
    }


def export(folder: Path, content: Any) -> Corrections:
    (folder / "export.json").write_text(json.dumps(content))
    return read_corrections(folder / "export.json", EMOTIONS, TABLE)


def test_answers_are_read_in_any_case_and_by_their_other_names_and_the_rest_is_counted(tmp_path: Path) -> None:
    found = read(tmp_path, "s,a.png, Happiness ", "s,b.png,UNUSABLE", "s,'-c.png,", 's,\'=HYPERLINK("x"),sad')
    assert found.reviews == {("s", "a.png"): "happy", ("s", "b.png"): "unusable", ("s", '=HYPERLINK("x")'): "sad"}
    assert found.n_unanswered == 1


def test_a_face_answered_alike_twice_is_one_answer(tmp_path: Path) -> None:
    assert read(tmp_path, "s,a.png,sad", "s,a.png,sad", "s,a.png,") == Corrections({("s", "a.png"): "sad"}, 0)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["s,a.png,sad", "s,gone.png,sad"], "row 3: s/gone.png is no face of the table; correct or delete it"),
        (["t,a.png,sad", "s,gone.png,"], "row 2: t/a.png is no face of the table, nor are 1 others of the file"),
        (["s,a.png,=1+1"], "row 2: '=1\\+1' is none of angry, happy, sad, unusable"),
        (["s,a.png,fear"], "row 2: 'fear' is none of angry, happy, sad, unusable"),
        (["s,a.png,sad", "s,b.png,sad", "s,a.png,happy"], "row 2 and row 4: s/a.png is sad in one and happy in the"),
    ],
    ids=["unknown", "unknown ones", "formula", "emotion not in use", "answered twice"],
)
def test_a_wrong_row_is_told_with_its_number(tmp_path: Path, rows: list[str], said: str) -> None:
    with pytest.raises(InputError, match=f"corrections.csv, {said}"):
        read(tmp_path, *rows)


def test_the_export_of_label_studio_is_read_and_what_was_skipped_is_counted(tmp_path: Path) -> None:
    tasks = [task("a.png", "sad", "sad"), task("b.png"), task("-c.png", "happy", was_cancelled=True)]
    assert export(tmp_path, tasks) == Corrections({("s", "a.png"): "sad"}, 2)


def test_annotators_of_a_task_who_disagree_are_told(tmp_path: Path) -> None:
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
def test_another_json_is_refused(tmp_path: Path, content: Any) -> None:
    with pytest.raises(InputError, match=r"task 1: not as Label Studio exports it .* export the tasks"):
        export(tmp_path, content)


def test_what_is_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "export.json").write_text("source,id")
    with pytest.raises(InputError, match="not a JSON file"):
        read_corrections(tmp_path / "export.json", EMOTIONS, TABLE)


def test_the_later_answer_holds_and_is_told() -> None:
    earlier = {("s", "a"): "sad", ("s", "b"): "happy", ("s", "c"): "angry"}
    both, changed = merge_reviews(earlier, {("s", "a"): "angry", ("s", "b"): "happy", ("s", "d"): "unusable"})
    assert both == earlier | {("s", "a"): "angry", ("s", "d"): "unusable"}
    assert changed == ["s/a is angry, no longer sad"]


def test_an_export_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    (tmp_path / "export.json").write_text('{"data":' * 100_000)
    with pytest.raises(InputError, match="nested too deeply"):
        read_corrections(tmp_path / "export.json", EMOTIONS, TABLE)
