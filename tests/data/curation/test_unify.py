"""Unification: the fold and label of each face, and the reason of its exclusion."""

import random

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer.core.labels import EMOTIONS
from fer.data.curation.duplicates import cluster_exact_duplicates, find_blank
from fer.data.curation.near_duplicates import cluster_near_duplicates
from fer.data.curation.params import Unify
from fer.data.curation.unify import unify
from fer.evaluation.audit import TRAIN_DUPLICATE_REASON
from fer.runtime.errors import InputError

SEVEN = EMOTIONS[:7]
SETTINGS = Unify(label_budget=None, valid=0.15, test=0.15, contradictions="exclude", leaks="exclude")


def make_records(n: int, source: str = "mine", fold: str = "train", group: str = "") -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": [f"{source}/{fold}/{row}" for row in range(n)],
            "source": source,
            "emotion": [SEVEN[row % 7] if fold != "unlabelled" else "" for row in range(n)],
            "votes": "",
            "by_rule": "",
            "fold": fold if fold != "unlabelled" else "",
            "group": group,
            "truth": "",
        }
    )


def make_faces(n: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 16, 16), dtype=np.uint8)


@pytest.fixture
def one_source() -> tuple[pd.DataFrame, np.ndarray]:
    """Rows 0–139 train, 140–209 valid, 210–279 test, 280–349 unlabelled; no twins."""
    parts = [
        make_records(140),
        make_records(70, fold="valid"),
        make_records(70, fold="test"),
        make_records(70, fold="unlabelled"),
    ]
    return pd.concat(parts, ignore_index=True), make_faces(350)


def test_the_owners_folds_are_kept(one_source: tuple[pd.DataFrame, np.ndarray]) -> None:
    table, _, report = unify(*one_source, SEVEN, SETTINGS, 0)
    assert report["folds"] == {"test": 70, "train": 140, "unlabelled": 70, "valid": 70}
    assert (table["id"] == one_source[0]["id"]).all()
    assert not table["reason"].any()


def test_a_face_with_a_twin_in_a_higher_fold_is_excluded(one_source: tuple[pd.DataFrame, np.ndarray]) -> None:
    rows, faces = one_source
    faces[0] = faces[210]  # train and test
    faces[1] = faces[140]  # train and valid
    faces[280] = faces[211]  # unlabelled and test
    faces[281] = faces[2]  # unlabelled and train
    faces[141] = faces[212]  # valid and test, both official: both stay
    table, _, report = unify(rows, faces, SEVEN, SETTINGS, 0)
    assert table["fold"][[210, 140, 211, 2, 141, 212]].tolist() == ["test", "valid", "test", "train", "valid", "test"]
    assert table["fold"][[0, 1, 280, 281]].tolist() == ["excluded"] * 4
    assert table["reason"][[0, 1, 280, 281]].tolist() == [
        f"same picture as a {fold} face" for fold in ("test", "valid", "test", "train")
    ]
    assert table.index[table["twin_in_train"]].tolist() == [140, 210]
    assert report["identical_twins_as_supplied"]["test_in_train"] == 1
    assert report["identical_twins_as_supplied"]["test_in_valid"] == 1


def test_copies_within_training_and_within_the_pool_are_excluded(one_source: tuple[pd.DataFrame, np.ndarray]) -> None:
    rows, faces = one_source
    faces[7] = faces[0]  # the same emotion
    faces[290] = faces[289]
    table, _, report = unify(rows, faces, SEVEN, SETTINGS, 0)
    assert table["fold"][[0, 7, 289, 290]].tolist() == ["train", "excluded", "unlabelled", "excluded"]
    assert report["excluded"] == {"copy of another train face": 1, "copy of another unlabelled face": 1}


@pytest.mark.parametrize(
    ("contradictions", "folds"),
    [
        ("exclude", ["excluded", "excluded", "excluded"]),
        ("majority", ["train", "excluded", "excluded"]),  # row 7 has the label of row 0, so it is a copy
        ("keep", ["train", "excluded", "excluded"]),
    ],
)
def test_contradictory_labels_are_resolved_by_the_setting(
    one_source: tuple[pd.DataFrame, np.ndarray], contradictions: str, folds: list[str]
) -> None:
    rows, faces = one_source
    faces[7] = faces[8] = faces[0]
    table, _, _ = unify(rows, faces, SEVEN, SETTINGS.model_copy(update={"contradictions": contradictions}), 0)
    assert table["fold"][[0, 7, 8]].tolist() == folds


def test_blank_images_are_excluded_except_from_official_tests(
    one_source: tuple[pd.DataFrame, np.ndarray],
) -> None:
    rows, faces = one_source
    faces[[0, 210, 280]] = 0
    table, _, report = unify(rows, faces, SEVEN, SETTINGS, 0)
    assert table["fold"][[0, 210, 280]].tolist() == ["excluded", "test", "excluded"]
    assert report["excluded"] == {"blank picture": 2}


def test_a_validation_fold_without_a_test_fold_becomes_the_test_fold() -> None:
    rows = pd.concat([make_records(140), make_records(70, fold="valid")], ignore_index=True)
    table, _, report = unify(rows, make_faces(210), SEVEN, SETTINGS, 0)
    assert (table["fold"][140:] == "test").all()
    assert (table["fold"][:140] == "valid").sum() == 21
    assert not table["twin_in_train"].any(), "a held-out face must not be its own twin"
    assert report["notes"] == [
        "mine has a validation but no test part: the former is the test part",
        "mine has no valid part: 21 of its training faces are held out",
    ]


def test_a_source_without_folds_is_split_by_group() -> None:
    rows = pd.concat(
        [make_records(7, fold="", group=f"person {k}").assign(fold="") for k in range(40)], ignore_index=True
    )
    rows["id"] = [str(row) for row in range(280)]
    table, _, _ = unify(rows, make_faces(280), SEVEN, SETTINGS, 0)
    assert set(table["fold"]) == {"train", "valid", "test"}
    assert (table.groupby("group")["fold"].nunique() == 1).all()


def test_hidden_labels_are_only_in_the_truth(one_source: tuple[pd.DataFrame, np.ndarray]) -> None:
    rows, faces = one_source
    rows.loc[280:, "truth"] = "happy"
    with_budget = SETTINGS.model_copy(update={"label_budget": 5})
    table, truth, report = unify(rows, faces, SEVEN, with_budget, 0)
    train, hidden = table["fold"] == "train", table["reason"] == "label hidden by unify.label_budget"
    assert table.loc[train, "emotion"].value_counts().tolist() == [5] * 7
    assert report["labels_hidden"] == hidden.sum() == 140 - 35
    assert (table.loc[table["fold"] == "unlabelled", "emotion"] == "").all()
    assert (truth.loc[hidden, "emotion"] == rows.loc[hidden, "emotion"]).all()
    assert (truth["emotion"][280:] == "happy").all()
    assert (truth.loc[table["fold"] != "unlabelled", "emotion"] == "").all()
    assert (truth["id"] == table["id"]).all()


def test_the_pool_holds_no_near_duplicate_of_a_training_face() -> None:
    rows = pd.concat([make_records(280, group="one film"), make_records(70, "pool", "unlabelled")], ignore_index=True)
    rows["group"] = [f"film {row // 2}" if row < 210 else "" for row in range(350)]
    faces = np.random.default_rng(0).integers(0, 200, (350, 16, 16), dtype=np.uint8)
    takes = np.arange(0, 210, 2)
    rows.loc[takes + 1, "emotion"] = rows.loc[takes, "emotion"].to_numpy()
    # Near duplicates in one group stay in training, and some of their labels are hidden.
    faces[takes + 1] = faces[takes] + 9
    faces[280:300] = faces[0:20] + 5
    for budget in (None, 3, 10, 15):
        table, truth, report = unify(rows, faces, SEVEN, SETTINGS.model_copy(update={"label_budget": budget}), 0)
        cluster = cluster_near_duplicates(faces, cluster_exact_duplicates(faces), find_blank(faces))
        pool, train = (set(cluster[table["fold"] == fold]) for fold in ("unlabelled", "train"))
        assert pool
        assert not pool & train
        is_duplicate = table["reason"] == TRAIN_DUPLICATE_REASON
        assert report["excluded"][TRAIN_DUPLICATE_REASON] == is_duplicate.sum()
        assert (table["fold"][is_duplicate] == "excluded").all()
        assert not truth["emotion"][is_duplicate].any()
        if budget:
            assert is_duplicate[:210].any()
            assert report["labels_hidden"] == (table["fold"][:280] == "unlabelled").sum()


def test_emotions_outside_the_set_are_excluded(one_source: tuple[pd.DataFrame, np.ndarray]) -> None:
    rows, faces = one_source
    rows.loc[3, "emotion"] = "contempt"
    table, _, _ = unify(rows, faces, SEVEN, SETTINGS, 0)
    assert table["fold"][3] == "excluded"
    assert table["emotion"][3] == ""
    assert table["reason"][3] == "emotion is not among those of params.yaml"


def test_the_seed_decides_only_which_faces_are_held_out() -> None:
    rows, faces = make_records(280), make_faces(280)
    first, repeated, reseeded = (unify(rows, faces, SEVEN, SETTINGS, seed)[0]["fold"] for seed in (1, 1, 2))
    assert (first == repeated).all()
    assert (first != reseeded).any()
    assert sorted(first) == sorted(reseeded)


def test_a_fold_or_an_emotion_without_faces_is_an_error() -> None:
    with pytest.raises(InputError, match="the train fold has no faces; add a labelled source"):
        unify(make_records(70, fold="unlabelled"), make_faces(70), SEVEN, SETTINGS, 0)
    angry_only = make_records(140).assign(emotion="angry")
    with pytest.raises(InputError, match="no training face is labelled disgust, fear"):
        unify(angry_only, make_faces(140), SEVEN, SETTINGS, 0)


@pytest.fixture
def two_sources() -> tuple[pd.DataFrame, np.ndarray]:
    """Each source with 70 train, 35 valid and 35 test faces; the second's begin at row 140; no twins."""
    parts = [
        part
        for source in ("first", "second")
        for part in (make_records(70, source), make_records(35, source, "valid"), make_records(35, source, "test"))
    ]
    return pd.concat(parts, ignore_index=True), make_faces(280)


@pytest.mark.parametrize(
    ("row", "copy", "used"),
    [
        (0, 140, 0),  # train and train: the source named first
        (70, 210, 70),
        (105, 245, 105),
        (0, 245, 245),  # train and test: the test face, whichever source
        (105, 140, 105),
        (70, 245, 245),  # validation and another source's test
        (105, 210, 105),
        (0, 210, 210),
    ],
)
def test_one_of_two_copies_in_different_sources_is_used(
    two_sources: tuple[pd.DataFrame, np.ndarray], row: int, copy: int, used: int
) -> None:
    rows, faces = two_sources
    faces[copy] = faces[row]
    rows.loc[copy, "emotion"] = "surprise"  # the sources disagree
    rows.loc[row, "emotion"] = "happy"
    table, _, report = unify(rows, faces, SEVEN, SETTINGS, 0)
    excluded = copy if used == row else row
    assert table.loc[used, ["fold", "emotion"]].tolist() == rows.loc[used, ["fold", "emotion"]].tolist()
    assert table.loc[excluded, "fold"] == "excluded"
    assert report["excluded_by_source"] == {table.loc[excluded, "source"]: {table.loc[excluded, "reason"]: 1}}


def test_the_first_source_decides_even_if_its_label_is_excluded(
    two_sources: tuple[pd.DataFrame, np.ndarray],
) -> None:
    rows, faces = two_sources
    faces[140] = faces[0]
    rows.loc[0, "emotion"] = "contempt"
    table, _, _ = unify(rows, faces, SEVEN, SETTINGS, 0)
    assert table["reason"][[0, 140]].tolist() == [
        "emotion is not among those of params.yaml",
        "same picture as a face of first",
    ]


def test_near_duplicates_are_twins_and_are_counted_separately(
    one_source: tuple[pd.DataFrame, np.ndarray],
) -> None:
    rows, faces = one_source
    faces[0] = faces[210]
    faces[0, 3, 3] ^= 16
    table, _, report = unify(rows, faces, SEVEN, SETTINGS, 0)
    assert table["reason"][0] == "same picture as a test face"
    assert table["twin_in_train"][210]
    assert report["identical_twins_as_supplied"]["test_in_train"] == 0
    assert report["similar_twins_as_supplied"]["test_in_train"] == 1


def test_a_leak_is_an_error_if_leaks_is_stop(one_source: tuple[pd.DataFrame, np.ndarray]) -> None:
    rows, faces = one_source
    strict = SETTINGS.model_copy(update={"leaks": "stop"})
    faces[7] = faces[0]  # both in training: no leak
    unify(rows, faces, SEVEN, strict, 0)
    faces[1], faces[281] = faces[210], faces[140]
    expected = r"2 training or unlabelled .* \(first: mine/mine/train/1 and mine/mine/test/0\); .* unify\.leaks"
    with pytest.raises(InputError, match=expected):
        unify(rows, faces, SEVEN, strict, 0)


def test_labels_made_by_a_rule_are_only_for_training(one_source: tuple[pd.DataFrame, np.ndarray]) -> None:
    rows, faces = one_source
    derived = make_records(70, "derived", "test").assign(by_rule="yes")
    table, _, _ = unify(
        pd.concat([rows, derived], ignore_index=True),
        np.concatenate([faces, make_faces(420)[350:]]),
        SEVEN,
        SETTINGS,
        0,
    )
    assert set(table.loc[table["source"] == "derived", "fold"]) == {"train"}
    with pytest.raises(InputError, match="the valid fold has no faces"):
        unify(derived, make_faces(70), SEVEN, SETTINGS, 0)


def test_the_pool_shares_no_group_with_held_out_faces() -> None:
    labelled = pd.concat([make_records(7, group=f"person {k}") for k in range(40)], ignore_index=True)
    pool = pd.concat([make_records(2, fold="unlabelled", group=f"person {k}") for k in range(40)], ignore_index=True)
    ungrouped = make_records(5, fold="unlabelled")
    rows = pd.concat([labelled, pool, ungrouped], ignore_index=True)
    rows["id"] = [str(row) for row in range(len(rows))]
    table, _, _ = unify(rows, make_faces(len(rows)), SEVEN, SETTINGS, 0)
    held_out = set(table.loc[table["fold"].isin(["test", "valid"]), "group"])
    in_pool = table[table["fold"] == "unlabelled"]
    assert held_out
    assert not held_out & set(in_pool["group"])
    assert len(in_pool) == 2 * (40 - len(held_out)) + 5
    assert set(table["reason"]) == {"", "of one group with a held-out face"}


def test_votes_exist_exactly_where_labels_do(one_source: tuple[pd.DataFrame, np.ndarray]) -> None:
    rows, faces = one_source
    rows["votes"] = "happy:7 sad:3"
    rows.loc[3, "emotion"] = "contempt"
    table, _, _ = unify(rows, faces, SEVEN, SETTINGS.model_copy(update={"label_budget": 5}), 0)
    assert ((table["votes"] != "") == (table["emotion"] != "")).all()
    assert (table["votes"] != "").sum() == 35 + 140


def test_a_duplicate_id_in_a_source_is_an_error(one_source: tuple[pd.DataFrame, np.ndarray]) -> None:
    rows, faces = one_source
    rows.loc[5, "id"] = rows.loc[4, "id"]
    with pytest.raises(InputError, match="mine: two faces have the id 'mine/train/4'"):
        unify(rows, faces, SEVEN, SETTINGS, 0)


def test_faces_of_one_group_are_copies_only_if_identical(one_source: tuple[pd.DataFrame, np.ndarray]) -> None:
    rows, faces = one_source
    rows.loc[[0, 1, 2, 280, 281], "group"] = "person 1"
    faces[[1, 2, 281]] = faces[[0, 0, 280]]
    faces[1, 3, 3] ^= 16  # a near duplicate with another emotion
    faces[281, 3, 3] ^= 16
    rows.loc[2, "emotion"] = rows.loc[0, "emotion"]
    table, _, _ = unify(rows, faces, SEVEN, SETTINGS, 0)
    assert table["fold"][[0, 1, 2, 280, 281]].tolist() == ["train", "train", "excluded", "unlabelled", "unlabelled"]
    faces[1] = faces[210]  # a near duplicate of a test face is still excluded
    faces[1, 3, 3] ^= 16
    table, _, _ = unify(rows, faces, SEVEN, SETTINGS, 0)
    assert table["reason"][1] == "same picture as a test face"


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 279), st.integers(0, 279)), max_size=12), st.randoms())
def test_the_faces_used_do_not_depend_on_the_order_within_a_source(
    twins: list[tuple[int, int]], random: random.Random
) -> None:
    parts = [
        make_records(35, source, fold)
        for source in ("first", "second")
        for fold in ("train", "valid", "test", "unlabelled")
    ]
    rows, faces = pd.concat(parts, ignore_index=True), make_faces(280)
    for row, twin in twins:
        faces[twin] = faces[row]

    def list_used(order: list[int]) -> list[tuple[str, str, str, bytes]]:
        """Return the source, fold, emotion and pixels of every face that is used."""
        table, _, _ = unify(rows.iloc[order].reset_index(drop=True), faces[order], SEVEN, SETTINGS, 0)
        used = table[table["fold"] != "excluded"]
        return sorted(
            (face.source, face.fold, face.emotion, faces[order[row]].tobytes())
            for row, face in zip(used.index, used.itertuples(), strict=True)
        )

    shuffled = random.sample(range(140), 140) + random.sample(range(140, 280), 140)
    assert list_used(shuffled) == list_used(list(range(280)))
