"""The model card states data, metrics, intended use and limits."""

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fer.serving.package.card import render_card
from fer.serving.package.manifest import PackageManifest

EMOTIONS = ("angry", "happy", "sad")
FOLDS = {"train": 10, "valid": 20, "test": 90, "unlabelled": 5}


def make_manifest(**changes: Any) -> PackageManifest:
    values = {
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
    return PackageManifest(**values | changes)


@pytest.fixture
def table() -> pd.DataFrame:
    """Return a table with 30 test faces of each emotion in order, of which 50 faces are from one film."""
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
    table = pd.DataFrame(rows, columns=columns)
    table.loc[30:79, "group"] = "The | film"
    return table


def make_report(table: pd.DataFrame) -> dict[str, Any]:
    return {
        "sources": {source: part["fold"].value_counts().to_dict() for source, part in table.groupby("source")},
        "emotions": {
            fold: table.loc[table["fold"] == fold, "emotion"].value_counts().to_dict()
            for fold in ("train", "valid", "test")
        },
        "excluded": {"blank picture": 1234},
        "supplied": {"ours": {"terms": "for research", "dropped": {"damaged picture": 2, "empty file": 1}}},
    }


def make_probs(table: pd.DataFrame) -> np.ndarray:
    """Return correct predictions with confidence 0.8, except that the last ten test faces are angry with 0.6."""
    probs = np.full((len(table), 3), 0.1, dtype=np.float32)
    for row, emotion in enumerate(table["emotion"]):
        probs[row, EMOTIONS.index(emotion) if emotion else 0] = 0.8
    probs[table.index[table["fold"] == "test"][-10:]] = (0.6, 0.2, 0.2)
    return probs


def render_text(table: pd.DataFrame, **changes: Any) -> str:
    summary = {"accepted": 4, "unlabelled": 5, "teacher": 1}
    text = render_card(make_manifest(**changes), make_probs(table), table, make_report(table), summary, 10)
    tables = [block.splitlines() for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)]
    assert all(len(set(map(len, lines))) == 1 for lines in tables)  # columns are aligned
    return re.sub(r"(?<=\|) +|(?<=\S)  +", " ", text)


def test_metrics_are_of_the_test_fold(table: pd.DataFrame) -> None:
    text = render_text(table)
    assert "| test | 90 | 88.9 % (80.7 to 93.9) |" in text
    assert "| sad | 30 | 66.7 % (48.8 to 80.8) | 100.0 % (83.9 to 100.0) | 80.0 % |" in text
    assert "Recall is lowest for sad: 66.7 % of the test faces" in text
    assert "| `ours` | 10 | 20 | 90 | 5 | 0 |" in text
    assert "Excluded: blank picture (1,234), unreadable (3)." in text
    assert "Round 2 also used 4 of 5 unlabelled faces, labelled by round 1." in text
    assert "`ours`: for research" in text
    assert "| `shallow` | 1 | 1.500 | `bbbbbbbbbbbbbbbb` |" in text


def test_acceptance_follows_the_thresholds(table: pd.DataFrame) -> None:
    text = render_text(table)
    assert "| all | | 90 | 44.4 % | 75.0 %" in text
    assert "| angry | 0.5 | 40 | 100.0 % | 75.0 %" in text
    assert "| happy | 0.9 | 30 | 0.0 % | – |" in text
    assert "| sad | never accepted | 20 | 0.0 % | – |" in text


def test_the_card_of_a_corrected_package_has_the_factors(table: pd.DataFrame) -> None:
    factors = {"angry": 0.4567, "happy": 1.0, "sad": 2.0}
    text = render_text(table, prior_factors=factors)
    assert "corrected to the class frequencies of the validation fold" in text
    assert "| angry | 0.457 |" in text
    start, end = text.index("Predictions are corrected"), text.index("## Intended use")
    assert text[:start] + text[end:] == render_text(table), "nothing else changes"


def test_large_groups_have_metrics(table: pd.DataFrame) -> None:
    assert "has 1 groups (persons, films), of which 1 have at least 30 faces" in render_text(table)
    assert "| `ours`: The \\| film | 50 | 100.0 % (92.9 to 100.0) |" in render_text(table)
    table.loc[:54, "group"] = ""
    assert "None of the 1 groups (persons, films) in the test fold has 30 faces." in render_text(table)
    table["group"] = ""
    assert "there are no metrics by group" in render_text(table)


def test_empty_test_fold_has_no_metrics(table: pd.DataFrame) -> None:
    for text in (render_text(table), render_text(table[table["fold"] != "test"].reset_index(drop=True))):
        assert "nan" not in text
        for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1
    assert "\n| test |" not in text
    assert "Recall is lowest" not in text


def test_card_states_prohibited_uses(table: pd.DataFrame) -> None:
    text = render_text(table)
    for words in ("apparent expression", "at work and in education is prohibited", r"Article 5(1)(f)", "Article 50(3)"):
        assert words in " ".join(text.split())
    assert "are drawn" not in text
    table["source"] = "sample_fer2013"
    assert "The faces of `sample_fer2013` are drawn" in render_text(table)
