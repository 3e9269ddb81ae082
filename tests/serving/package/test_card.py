"""The model card says what was measured, of what, and what the networks are not for."""

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fer.serving.package.bundle import PackageManifest
from fer.serving.package.card import render_card

EMOTIONS = ("angry", "happy", "sad")
FOLDS = {"train": 10, "valid": 20, "test": 90, "unlabelled": 5}


def bundle(**changes: Any) -> PackageManifest:
    about = {
        "round": 2,
        "emotions": EMOTIONS,
        "size": 48,
        "align": False,
        "views": ("plain", "flip"),
        "precision": "fp32",
        "vote": {"improved_se": 2.0, "shallow": 1.0},
        "temperatures": {"improved_se": 0.75, "shallow": 1.5},
        "thresholds": {"angry": 0.5, "happy": 0.9, "sad": 1.1},
        "weights_sha256": {"improved_se": "a" * 64, "shallow": "b" * 64},
    }
    return PackageManifest(**about | changes)


@pytest.fixture
def table() -> pd.DataFrame:
    """Of 90 test faces 30 are of each emotion, in this order; the first 50 are of a film."""
    rows = [
        (
            f"{fold}/{number}",
            "ours",
            fold,
            "" if fold == "unlabelled" else EMOTIONS[3 * number // count],
            "",
            "",
            False,
            "",
        )
        for fold, count in FOLDS.items()
        for number in range(count)
    ]
    columns = ["id", "source", "fold", "emotion", "votes", "group", "twin_in_train", "reason"]
    made = pd.DataFrame(rows, columns=columns)
    made.loc[30:79, "group"] = "The | film"
    return made


def report(table: pd.DataFrame) -> dict[str, Any]:
    return {
        "sources": {source: part["fold"].value_counts().to_dict() for source, part in table.groupby("source")},
        "emotions": {
            fold: table.loc[table["fold"] == fold, "emotion"].value_counts().to_dict()
            for fold in ("train", "valid", "test")
        },
        "excluded": {"blank picture": 1234},
        "supplied": {"ours": {"terms": "for research", "dropped": {"damaged picture": 2, "empty file": 1}}},
    }


def said(table: pd.DataFrame) -> np.ndarray:
    """All test faces are taken for what they are with .8, but the last ten sad ones for angry with .6."""
    probs = np.full((len(table), 3), 0.1, dtype=np.float32)
    for row, emotion in enumerate(table["emotion"]):
        probs[row, EMOTIONS.index(emotion) if emotion else 0] = 0.8
    probs[table.index[table["fold"] == "test"][-10:]] = (0.6, 0.2, 0.2)
    return probs


def written(table: pd.DataFrame, **changes: Any) -> str:
    learnt = {"accepted": 4, "unlabelled": 5, "teacher": 1}
    text = render_card(bundle(**changes), said(table), table, report(table), learnt, 10)
    tables = [block.splitlines() for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)]
    assert all(len(set(map(len, lines))) == 1 for lines in tables)  # columns are aligned
    return re.sub(r"(?<=\|) +|(?<=\S)  +", " ", text)


def test_the_figures_are_those_of_the_test_fold(table: pd.DataFrame) -> None:
    text = written(table)
    assert "| test | 90 | 88.9 % (80.7 to 93.9) |" in text
    assert "| sad | 30 | 66.7 % (48.8 to 80.8) | 100.0 % (83.9 to 100.0) | 80.0 % |" in text
    assert "recognises sad the least: 66.7 % of the test faces" in text
    assert "| `ours` | 10 | 20 | 90 | 5 | 0 |" in text
    assert "Left out: blank picture (1,234), could not be read (3)." in text
    assert "Round 2 also learnt from 4 of 5 unlabelled faces, as round 1 labelled them." in text
    assert "`ours`: for research" in text
    assert "| `shallow` | 1 | 1.500 | `bbbbbbbbbbbbbbbb` |" in text


def test_acceptance_is_at_the_thresholds(table: pd.DataFrame) -> None:
    text = written(table)
    assert "| all | | 90 | 44.4 % | 75.0 %" in text
    assert "| angry | 0.5 | 40 | 100.0 % | 75.0 %" in text
    assert "| happy | 0.9 | 30 | 0.0 % | – |" in text
    assert "| sad | never accepted | 20 | 0.0 % | – |" in text


def test_large_groups_have_their_figures(table: pd.DataFrame) -> None:
    assert "Of 1 groups (persons, films) in the test fold 1 have 30 faces and more" in written(table)
    assert "| `ours`: The \\| film | 50 | 100.0 % (92.9 to 100.0) |" in written(table)
    table.loc[:54, "group"] = ""
    assert "None of the 1 groups (persons, films) in the test fold has 30 faces." in written(table)
    table["group"] = ""
    assert "there are no figures by group" in written(table)


def test_a_test_fold_without_faces_has_no_figures(table: pd.DataFrame) -> None:
    for text in (written(table), written(table[table["fold"] != "test"].reset_index(drop=True))):
        assert "nan" not in text
        for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1
    assert "\n| test |" not in text
    assert "the least" not in text


def test_it_says_what_it_is_not_for(table: pd.DataFrame) -> None:
    text = written(table)
    for words in ("apparent expression", "at work and in education is prohibited", r"Article 5(1)(f)", "Article 50(3)"):
        assert words in " ".join(text.split())
    assert "are drawn" not in text
    table["source"] = "sample_fer2013"
    assert "The faces of `sample_fer2013` are drawn" in written(table)
