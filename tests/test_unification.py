"""What becomes of each supplied face: its fold, its label, and why."""

import numpy as np
import pandas as pd
import pytest

from fer import params
from fer.errors import InputError
from fer.labels import EMOTIONS
from fer.unification import unify

SEVEN = EMOTIONS[:7]
RULES = params.Unify(label_budget=None, valid=0.15, test=0.15, contradictions="exclude")


def supplied(n: int, source: str = "mine", fold: str = "train", group: str = "") -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": [f"{source}/{fold}/{row}" for row in range(n)],
            "source": source,
            "emotion": [SEVEN[row % 7] if fold != "unlabelled" else "" for row in range(n)],
            "fold": fold if fold != "unlabelled" else "",
            "group": group,
            "truth": "",
        }
    )


def pictures(n: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 16, 16), dtype=np.uint8)


@pytest.fixture
def everything() -> tuple[pd.DataFrame, np.ndarray]:
    """Rows 0–139 train, 140–209 valid, 210–279 test, 280–349 unlabelled; no twins."""
    parts = [supplied(140), supplied(70, fold="valid"), supplied(70, fold="test"), supplied(70, fold="unlabelled")]
    return pd.concat(parts, ignore_index=True), pictures(350)


def test_the_owners_folds_are_kept(everything: tuple[pd.DataFrame, np.ndarray]) -> None:
    table, _, report = unify(*everything, SEVEN, RULES, 0)
    assert report["folds"] == {"test": 70, "train": 140, "unlabelled": 70, "valid": 70}
    assert (table["id"] == everything[0]["id"]).all()
    assert not table["reason"].any()


def test_of_twins_the_higher_fold_keeps_its_member(everything: tuple[pd.DataFrame, np.ndarray]) -> None:
    rows, faces = everything
    faces[0] = faces[210]  # train and test
    faces[1] = faces[140]  # train and valid
    faces[280] = faces[211]  # unlabelled and test
    faces[281] = faces[2]  # unlabelled and train
    faces[141] = faces[212]  # valid and test, both official: both stay
    table, _, report = unify(rows, faces, SEVEN, RULES, 0)
    assert table["fold"][[210, 140, 211, 2, 141, 212]].tolist() == ["test", "valid", "test", "train", "valid", "test"]
    assert table["fold"][[0, 1, 280, 281]].tolist() == ["excluded"] * 4
    assert table["reason"][[0, 1, 280, 281]].tolist() == [
        f"same picture as a {fold} face" for fold in ("test", "valid", "test", "train")
    ]
    assert table.index[table["twin_in_train"]].tolist() == [140, 210]
    assert report["identical_twins_as_supplied"]["test_in_train"] == 1
    assert report["identical_twins_as_supplied"]["test_in_valid"] == 1


def test_copies_within_training_and_within_the_pool_are_excluded(everything: tuple[pd.DataFrame, np.ndarray]) -> None:
    rows, faces = everything
    faces[7] = faces[0]  # the same emotion
    faces[290] = faces[289]
    table, _, report = unify(rows, faces, SEVEN, RULES, 0)
    assert table["fold"][[0, 7, 289, 290]].tolist() == ["train", "excluded", "unlabelled", "excluded"]
    assert report["excluded"] == {"copy of another train face": 1, "copy of another unlabelled face": 1}


@pytest.mark.parametrize(
    ("rule", "folds"),
    [
        ("exclude", ["excluded", "excluded", "excluded"]),
        ("majority", ["train", "excluded", "excluded"]),  # row 7 agrees with row 0 and repeats it
        ("keep", ["train", "excluded", "excluded"]),
    ],
)
def test_contradictory_labels_follow_the_rule(
    everything: tuple[pd.DataFrame, np.ndarray], rule: str, folds: list[str]
) -> None:
    rows, faces = everything
    faces[7] = faces[8] = faces[0]
    table, _, _ = unify(rows, faces, SEVEN, RULES.model_copy(update={"contradictions": rule}), 0)
    assert table["fold"][[0, 7, 8]].tolist() == folds


def test_blank_pictures_leave_training_and_the_pool_but_not_official_tests(
    everything: tuple[pd.DataFrame, np.ndarray],
) -> None:
    rows, faces = everything
    faces[[0, 210, 280]] = 0
    table, _, report = unify(rows, faces, SEVEN, RULES, 0)
    assert table["fold"][[0, 210, 280]].tolist() == ["excluded", "test", "excluded"]
    assert report["excluded"] == {"blank picture": 2}


def test_a_validation_part_without_a_test_part_becomes_the_test_part() -> None:
    rows = pd.concat([supplied(140), supplied(70, fold="valid")], ignore_index=True)
    table, _, report = unify(rows, pictures(210), SEVEN, RULES, 0)
    assert (table["fold"][140:] == "test").all()
    assert (table["fold"][:140] == "valid").sum() == 21
    assert report["notes"] == [
        "mine has a validation but no test part: the former is the test part",
        "mine has no valid part: 21 of its training faces are held out",
    ]


def test_a_source_without_parts_gets_both_carved_by_group() -> None:
    rows = pd.concat([supplied(7, fold="", group=f"person {k}").assign(fold="") for k in range(40)], ignore_index=True)
    rows["id"] = [str(row) for row in range(280)]
    table, _, _ = unify(rows, pictures(280), SEVEN, RULES, 0)
    assert set(table["fold"]) == {"train", "valid", "test"}
    assert (table.groupby("group")["fold"].nunique() == 1).all()


def test_hidden_labels_are_in_the_truth_and_nowhere_else(everything: tuple[pd.DataFrame, np.ndarray]) -> None:
    rows, faces = everything
    rows.loc[280:, "truth"] = "happy"
    rules = RULES.model_copy(update={"label_budget": 5})
    table, truth, report = unify(rows, faces, SEVEN, rules, 0)
    train, hidden = table["fold"] == "train", table["reason"] == "label hidden by unify.label_budget"
    assert table.loc[train, "emotion"].value_counts().tolist() == [5] * 7
    assert report["labels_hidden"] == hidden.sum() == 140 - 35
    assert (table.loc[table["fold"] == "unlabelled", "emotion"] == "").all()
    assert (truth.loc[hidden, "emotion"] == rows.loc[hidden, "emotion"]).all()
    assert (truth["emotion"][280:] == "happy").all()
    assert (truth.loc[table["fold"] != "unlabelled", "emotion"] == "").all()
    assert (truth["id"] == table["id"]).all()


def test_emotions_outside_the_set_are_excluded(everything: tuple[pd.DataFrame, np.ndarray]) -> None:
    rows, faces = everything
    rows.loc[3, "emotion"] = "contempt"
    table, _, _ = unify(rows, faces, SEVEN, RULES, 0)
    assert table["fold"][3] == "excluded"
    assert table["emotion"][3] == ""
    assert table["reason"][3] == "emotion is not among those of params.yaml"


def test_the_seed_decides_what_is_carved_and_nothing_else() -> None:
    rows, faces = supplied(280), pictures(280)
    first, again, other = (unify(rows, faces, SEVEN, RULES, seed)[0]["fold"] for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()
    assert sorted(first) == sorted(other)


def test_a_fold_or_an_emotion_without_faces_is_told() -> None:
    with pytest.raises(InputError, match="the train fold has no faces; add a labelled source"):
        unify(supplied(70, fold="unlabelled"), pictures(70), SEVEN, RULES, 0)
    angry_only = supplied(140).assign(emotion="angry")
    with pytest.raises(InputError, match="no training face is labelled disgust, fear"):
        unify(angry_only, pictures(140), SEVEN, RULES, 0)
