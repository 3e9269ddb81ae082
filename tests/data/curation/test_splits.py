import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fer.data.curation.splits import beyond_budget, group_ids, hold_out

LABELLED_GROUPS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12), st.booleans()), min_size=1, max_size=60)


def columns(rows: list[tuple[int, int, bool]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    label, group_id, mask = zip(*rows, strict=True)
    return np.array(label), np.array(group_id), np.array(mask)


def test_clusters_and_groups_are_joined_through_chains() -> None:
    cluster = np.array([0, 1, 1, 2, 3])
    group = ["anna", "anna", "ben", "", ""]
    group_id = group_ids(cluster, group)
    assert group_id[0] == group_id[1] == group_id[2]
    assert len({group_id[0], group_id[3], group_id[4]}) == 3


@given(LABELLED_GROUPS)
def test_whole_groups_of_the_mask_are_held_out(rows: list[tuple[int, int, bool]]) -> None:
    label, group_id, mask = columns(rows)
    held_out = hold_out(mask, label, group_id, 0.3, np.random.default_rng(0))
    assert not (held_out & ~mask).any()
    for value in np.unique(group_id):
        is_held_out = held_out[mask & (group_id == value)]
        assert is_held_out.all() or not is_held_out.any()


def test_holding_out_is_stratified_and_depends_on_the_seed() -> None:
    label = np.repeat([0, 1, 2], [600, 300, 20])
    group_id = np.arange(len(label))
    all_faces = np.ones(len(label), dtype=bool)
    first, repeated, reseeded = (
        hold_out(all_faces, label, group_id, 0.15, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert np.bincount(label[first]).tolist() == [90, 45, 3]
    assert (first == repeated).all()
    assert (first != reseeded).any()


def test_a_rare_label_is_in_both_parts() -> None:
    label = np.array([0] * 50 + [1] * 2)
    held_out = hold_out(np.ones(52, dtype=bool), label, np.arange(52), 0.1, np.random.default_rng(0))
    assert held_out[label == 1].sum() == 1


def test_a_large_group_is_held_out_only_if_it_fits_the_share() -> None:
    label, group_id = np.zeros(100, dtype=int), np.repeat([0, 1, 2, 3], [40, 40, 10, 10])
    for seed in range(20):
        held_out = hold_out(np.ones(100, dtype=bool), label, group_id, 0.2, np.random.default_rng(seed))
        assert 0 < held_out.sum() <= 50


@given(LABELLED_GROUPS, st.integers(1, 5))
def test_a_budget_keeps_its_number_of_faces_of_each_label(rows: list[tuple[int, int, bool]], budget: int) -> None:
    label, _, mask = columns(rows)
    is_beyond = beyond_budget(mask, label, budget, np.random.default_rng(0))
    assert not (is_beyond & ~mask).any()
    for value in np.unique(label):
        has_label = mask & (label == value)
        assert (has_label & ~is_beyond).sum() == min(budget, has_label.sum())


def test_a_smaller_budget_keeps_a_subset_of_a_larger_one() -> None:
    label = np.random.default_rng(3).integers(0, 4, 500)
    all_faces = np.ones(500, dtype=bool)
    small, large = (~beyond_budget(all_faces, label, budget, np.random.default_rng(0)) for budget in (10, 40))
    assert not (small & ~large).any()
