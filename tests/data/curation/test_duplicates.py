import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fer.data.curation.duplicates import (
    cluster_exact_duplicates,
    expand_to_clusters,
    find_blank,
    find_copies,
    find_label_conflicts,
    find_minority_labels,
)

numbered = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2), st.booleans()), min_size=1, max_size=30)


def columns(rows: list[tuple[int, int, bool]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    cluster, label, considered = zip(*rows, strict=True)
    return np.array(cluster), np.array(label), np.array(considered)


def test_identical_faces_share_a_cluster_and_a_changed_pixel_separates_them() -> None:
    faces = np.random.default_rng(0).integers(0, 256, (5, 16, 16), dtype=np.uint8)
    faces[3] = faces[1]
    faces[4] = faces[1]
    faces[4, 7, 7] ^= 1
    assert cluster_exact_duplicates(faces).tolist() == [0, 1, 2, 1, 3]


def test_no_faces_are_no_clusters() -> None:
    faces = np.zeros((0, 16, 16), dtype=np.uint8)
    assert len(cluster_exact_duplicates(faces)) == len(find_blank(faces)) == 0


def test_black_and_nearly_constant_faces_are_blank() -> None:
    faces = np.random.default_rng(0).integers(0, 256, (3, 16, 16), dtype=np.uint8)
    faces[0] = 0
    faces[1] = 200
    faces[1, 0, 0] = 210
    assert find_blank(faces).tolist() == [True, True, False]


@given(numbered)
def test_one_copy_of_each_considered_picture_is_left(rows: list[tuple[int, int, bool]]) -> None:
    cluster, _, considered = columns(rows)
    left = considered & ~find_copies(considered, cluster)
    assert sorted(cluster[left]) == sorted(set(cluster[considered].tolist()))


@given(numbered)
def test_contradictions_are_the_clusters_with_two_labels(rows: list[tuple[int, int, bool]]) -> None:
    cluster, label, considered = columns(rows)
    for row, disputed in enumerate(find_label_conflicts(considered, cluster, label)):
        labels = set(label[considered & (cluster == cluster[row])].tolist())
        assert disputed == (considered[row] and len(labels) > 1)


@given(numbered)
def test_by_majority_a_label_stays_only_where_most_copies_have_it(rows: list[tuple[int, int, bool]]) -> None:
    cluster, label, considered = columns(rows)
    losing = find_minority_labels(considered, cluster, label)
    for row in np.flatnonzero(considered):
        votes = label[considered & (cluster == cluster[row])]
        assert losing[row] == ((votes == label[row]).sum() * 2 <= len(votes))


@given(numbered)
def test_twins_are_the_faces_whose_picture_a_member_has(rows: list[tuple[int, int, bool]]) -> None:
    cluster, _, member = columns(rows)
    expected = [value in set(cluster[member].tolist()) for value in cluster]
    assert expand_to_clusters(member, cluster).tolist() == expected
