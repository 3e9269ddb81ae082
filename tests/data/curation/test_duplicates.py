import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fer.data.curation.duplicates import (
    BLANK_STD,
    cluster_exact_duplicates,
    expand_to_clusters,
    find_blank,
    find_copies,
    find_label_conflicts,
    find_minority_labels,
)

LABELLED_CLUSTERS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2), st.booleans()), min_size=1, max_size=30)


def columns(rows: list[tuple[int, int, bool]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    cluster, label, mask = zip(*rows, strict=True)
    return np.array(cluster), np.array(label), np.array(mask)


def test_identical_faces_share_a_cluster_and_a_changed_pixel_separates_them() -> None:
    faces = np.random.default_rng(0).integers(0, 256, (5, 16, 16), dtype=np.uint8)
    faces[3] = faces[1]
    faces[4] = faces[1]
    faces[4, 7, 7] ^= 1
    assert cluster_exact_duplicates(faces).tolist() == [0, 1, 2, 1, 3]


def test_an_empty_set_has_no_clusters() -> None:
    faces = np.zeros((0, 16, 16), dtype=np.uint8)
    assert len(cluster_exact_duplicates(faces)) == len(find_blank(faces)) == 0


def test_black_and_nearly_constant_faces_are_blank() -> None:
    faces = np.random.default_rng(0).integers(0, 256, (3, 16, 16), dtype=np.uint8)
    faces[0] = 0
    faces[1] = 200
    faces[1, 0, 0] = 210
    assert find_blank(faces).tolist() == [True, True, False]


@given(st.integers(1, 9), st.integers(0, 60), st.integers(1, 12), st.integers(0, 9))
def test_clusters_and_blank_faces_are_those_of_a_search_one_by_one(size: int, n: int, n_unlike: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    contrast = rng.choice([0, 1, 3, 7, 8, 9, 10, 255], (n_unlike, 1, 1))
    faces = (rng.random((n_unlike, size, size)) * contrast).astype(np.uint8)[rng.integers(n_unlike, size=n)]
    faces[: n // 3, -1, -1] += 1
    contents = [face.tobytes() for face in faces]
    in_order = list(dict.fromkeys(contents))
    assert cluster_exact_duplicates(faces).tolist() == [in_order.index(content) for content in contents]
    assert find_blank(faces).tolist() == [bool(face.std() < BLANK_STD) for face in faces]


@given(LABELLED_CLUSTERS)
def test_all_but_one_face_of_each_cluster_are_copies(rows: list[tuple[int, int, bool]]) -> None:
    cluster, _, mask = columns(rows)
    is_unique = mask & ~find_copies(mask, cluster)
    assert sorted(cluster[is_unique]) == sorted(set(cluster[mask].tolist()))


@given(LABELLED_CLUSTERS)
def test_label_conflicts_are_the_clusters_with_several_labels(rows: list[tuple[int, int, bool]]) -> None:
    cluster, label, mask = columns(rows)
    for row, in_conflict in enumerate(find_label_conflicts(mask, cluster, label)):
        labels = set(label[mask & (cluster == cluster[row])].tolist())
        assert in_conflict == (mask[row] and len(labels) > 1)


@given(LABELLED_CLUSTERS)
def test_a_label_without_a_majority_is_a_minority_label(rows: list[tuple[int, int, bool]]) -> None:
    cluster, label, mask = columns(rows)
    in_minority = find_minority_labels(mask, cluster, label)
    for row in np.flatnonzero(mask):
        labels = label[mask & (cluster == cluster[row])]
        assert in_minority[row] == ((labels == label[row]).sum() * 2 <= len(labels))


@given(LABELLED_CLUSTERS)
def test_a_mask_expands_to_all_faces_of_its_clusters(rows: list[tuple[int, int, bool]]) -> None:
    cluster, _, mask = columns(rows)
    expected = [value in set(cluster[mask].tolist()) for value in cluster]
    assert expand_to_clusters(mask, cluster).tolist() == expected
