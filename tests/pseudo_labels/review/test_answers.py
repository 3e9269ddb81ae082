"""The file of reviews, and their effect on a selection."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer.core.labels import EMOTIONS
from fer.pseudo_labels.review.answers import (
    UNUSABLE,
    ReviewDecisions,
    apply_reviews,
    match_reviews,
    read_reviews,
    write_reviews,
)
from fer.pseudo_labels.selection import Selection
from fer.runtime.errors import InputError

EMPTY = Path(__file__).parents[3] / "data" / "reviews.csv"
IDS = st.text(st.sampled_from("'=+-@\t\n,;\"<a é"), min_size=1, max_size=5)
REVIEWS = st.dictionaries(
    st.tuples(st.sampled_from(["a", "b2"]), IDS), st.sampled_from([*EMOTIONS, UNUSABLE]), max_size=6
)


@given(REVIEWS)
def test_written_reviews_are_read_unchanged(tmp_path_factory: pytest.TempPathFactory, reviews) -> None:
    path = tmp_path_factory.mktemp("reviews") / "reviews.csv"
    write_reviews(path, reviews)
    assert read_reviews(path) == reviews


def test_the_file_does_not_depend_on_the_order_of_reviews(tmp_path: Path) -> None:
    reviews = {("b", "1"): "sad", ("a", "2"): "happy", ("a", "1"): UNUSABLE}
    for name, order in (("forward", list(reviews)), ("backward", list(reviews)[::-1])):
        write_reviews(tmp_path / name, {face: reviews[face] for face in order})
    assert (tmp_path / "forward").read_bytes() == (tmp_path / "backward").read_bytes()


def test_the_shipped_file_has_the_columns(tmp_path: Path) -> None:
    write_reviews(tmp_path / "reviews.csv", {})
    header = (tmp_path / "reviews.csv").read_bytes()
    assert EMPTY.read_bytes().startswith(header)


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ("s,1.png,glad\n", "row 2: 'glad' is none of angry, .*, contempt, unusable"),
        ("s,1.png,\n", "row 2: '' is none of"),
        ("s,1.png,sad\ns,2.png,sad\ns,1.png,fear\n", "row 2 and row 4: s/1.png is sad in one and fear in the other"),
    ],
)
def test_wrong_edits_are_reported_with_their_row(tmp_path: Path, rows: str, problem: str) -> None:
    (tmp_path / "reviews.csv").write_text(f"source,id,emotion\n{rows}")
    with pytest.raises(InputError, match=problem):
        read_reviews(tmp_path / "reviews.csv")


def test_faces_of_two_sources_may_share_an_id() -> None:
    table = pd.DataFrame({"source": ["a", "b"], "id": "1.png", "fold": "unlabelled"})
    decisions = match_reviews({("b", "1.png"): "sad"}, table, ["happy", "sad"])
    assert decisions.reviewed.tolist() == [False, True]
    assert decisions.emotion.tolist() == [-1, 1]
    assert decisions.notes == ()


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans(), st.integers(-1, 2)), max_size=10))
def test_reviews_decide_the_reviewed_faces_and_no_others(faces) -> None:
    n = len(faces)
    random = np.random.default_rng(n)
    reviewed, pool, accepted = (np.array([face[k] for face in faces], dtype=bool) for k in range(3))
    pool, accepted = pool & ~reviewed, accepted & pool & ~reviewed
    code = np.array([face[3] for face in faces], dtype=int)
    probs = random.dirichlet(np.ones(3), n).astype(np.float32).reshape(n, 3)
    policy = Selection(
        pool=pool,
        accepted=accepted,
        emotion=np.where(pool, probs.argmax(axis=1), -1),
        confidence=probs.max(axis=1),
        threshold=np.zeros(n),
        weight=accepted.astype(np.float32) / 2,
        reason=np.where(pool, "policy", "").astype(object),
    )
    final, targets = apply_reviews(policy, probs, ReviewDecisions(reviewed, np.where(reviewed, code, -1), ()))
    for name in ("accepted", "emotion", "weight", "reason"):
        np.testing.assert_array_equal(getattr(final, name)[~reviewed], getattr(policy, name)[~reviewed])
    np.testing.assert_array_equal(targets[~reviewed], probs[~reviewed])
    np.testing.assert_array_equal(final.pool, pool | reviewed)
    accepted_by_people = reviewed & (code >= 0)
    np.testing.assert_array_equal(final.accepted[reviewed], accepted_by_people[reviewed])
    np.testing.assert_array_equal(final.weight[reviewed], accepted_by_people[reviewed])
    np.testing.assert_array_equal(targets[accepted_by_people], np.eye(3)[code[accepted_by_people]])
    np.testing.assert_array_equal(final.emotion[accepted_by_people], code[accepted_by_people])
