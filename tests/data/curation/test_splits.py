import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fer.data.curation.splits import beyond_budget, group_ids, hold_out

faces_of = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12), st.booleans()), min_size=1, max_size=60)


def columns(rows: list[tuple[int, int, bool]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    label, block, considered = zip(*rows, strict=True)
    return np.array(label), np.array(block), np.array(considered)


def test_pictures_and_groups_chain_into_blocks() -> None:
    cluster = np.array([0, 1, 1, 2, 3])
    group = ["anna", "anna", "ben", "", ""]
    block = group_ids(cluster, group)
    assert block[0] == block[1] == block[2]
    assert len({block[0], block[3], block[4]}) == 3


@given(faces_of)
def test_what_is_carved_is_considered_and_takes_whole_blocks(rows: list[tuple[int, int, bool]]) -> None:
    label, block, considered = columns(rows)
    held_out = hold_out(considered, label, block, 0.3, np.random.default_rng(0))
    assert not (held_out & ~considered).any()
    for value in np.unique(block):
        together = held_out[considered & (block == value)]
        assert together.all() or not together.any()


def test_carving_is_stratified_and_follows_from_the_seed() -> None:
    label = np.repeat([0, 1, 2], [600, 300, 20])
    block = np.arange(len(label))
    everyone = np.ones(len(label), dtype=bool)
    first, again, other = (hold_out(everyone, label, block, 0.15, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.bincount(label[first]).tolist() == [90, 45, 3]
    assert (first == again).all()
    assert (first != other).any()


def test_a_rare_label_is_never_taken_whole_nor_left_out() -> None:
    label = np.array([0] * 50 + [1] * 2)
    held_out = hold_out(np.ones(52, dtype=bool), label, np.arange(52), 0.1, np.random.default_rng(0))
    assert held_out[label == 1].sum() == 1


def test_a_large_block_is_taken_only_where_it_fits_the_share() -> None:
    label, block = np.zeros(100, dtype=int), np.repeat([0, 1, 2, 3], [40, 40, 10, 10])
    for seed in range(20):
        held_out = hold_out(np.ones(100, dtype=bool), label, block, 0.2, np.random.default_rng(seed))
        assert 0 < held_out.sum() <= 50


@given(faces_of, st.integers(1, 5))
def test_a_budget_keeps_that_many_of_each_label(rows: list[tuple[int, int, bool]], budget: int) -> None:
    label, _, considered = columns(rows)
    over = beyond_budget(considered, label, budget, np.random.default_rng(0))
    assert not (over & ~considered).any()
    for value in np.unique(label):
        held = considered & (label == value)
        assert (held & ~over).sum() == min(budget, held.sum())


def test_a_smaller_budget_keeps_a_part_of_a_larger_one() -> None:
    label = np.random.default_rng(3).integers(0, 4, 500)
    everyone = np.ones(500, dtype=bool)
    small, large = (~beyond_budget(everyone, label, budget, np.random.default_rng(0)) for budget in (10, 40))
    assert not (small & ~large).any()
