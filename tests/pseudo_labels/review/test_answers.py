"""The file of reviews, and what it says of a table."""

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
def test_reviews_come_back_as_they_were_written(tmp_path_factory: pytest.TempPathFactory, reviews) -> None:
    path = tmp_path_factory.mktemp("reviews") / "reviews.csv"
    write_reviews(path, reviews)
    assert read_reviews(path) == reviews


def test_the_order_of_the_reviews_does_not_matter_to_the_file(tmp_path: Path) -> None:
    reviews = {("b", "1"): "sad", ("a", "2"): "happy", ("a", "1"): UNUSABLE}
    for name, order in (("one", list(reviews)), ("other", list(reviews)[::-1])):
        write_reviews(tmp_path / name, {face: reviews[face] for face in order})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_a_project_starts_with_a_file_that_has_the_columns(tmp_path: Path) -> None:
    write_reviews(tmp_path / "reviews.csv", {})
    header = (tmp_path / "reviews.csv").read_bytes()
    assert EMPTY.read_bytes().startswith(header)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("s,1.png,glad\n", "row 2: 'glad' is none of angry, .*, contempt, unusable"),
        ("s,1.png,\n", "row 2: '' is none of"),
        ("s,1.png,sad\ns,2.png,sad\ns,1.png,fear\n", "row 2 and row 4: s/1.png is sad in one and fear in the other"),
    ],
)
def test_what_people_edited_wrongly_is_told_with_its_row(tmp_path: Path, rows: str, said: str) -> None:
    (tmp_path / "reviews.csv").write_text(f"source,id,emotion\n{rows}")
    with pytest.raises(InputError, match=said):
        read_reviews(tmp_path / "reviews.csv")


def test_faces_of_two_sources_with_one_id_are_told_apart() -> None:
    table = pd.DataFrame({"source": ["a", "b"], "id": "1.png", "fold": "unlabelled"})
    said = match_reviews({("b", "1.png"): "sad"}, table, ["happy", "sad"])
    assert said.reviewed.tolist() == [False, True]
    assert said.emotion.tolist() == [-1, 1]
    assert said.notes == ()


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans(), st.integers(-1, 2)), max_size=10))
def test_people_decide_their_faces_and_no_others(faces) -> None:
    n = len(faces)
    random = np.random.default_rng(n)
    given_, pool, accepted = (np.array([face[k] for face in faces], dtype=bool) for k in range(3))
    pool, accepted = pool & ~given_, accepted & pool & ~given_
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
    final, learnt = apply_reviews(policy, probs, ReviewDecisions(given_, np.where(given_, code, -1), ()))
    for name in ("accepted", "emotion", "weight", "reason"):
        np.testing.assert_array_equal(getattr(final, name)[~given_], getattr(policy, name)[~given_])
    np.testing.assert_array_equal(learnt[~given_], probs[~given_])
    np.testing.assert_array_equal(final.pool, pool | given_)
    named = given_ & (code >= 0)
    np.testing.assert_array_equal(final.accepted[given_], named[given_])
    np.testing.assert_array_equal(final.weight[given_], named[given_])
    np.testing.assert_array_equal(learnt[named], np.eye(3)[code[named]])
    np.testing.assert_array_equal(final.emotion[named], code[named])
