"""Which clips an epoch serves where classes are balanced."""

from collections import Counter

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsn.pipeline.loading.balance import POWERS, balanced, epoch_order
from tsn.tsn_shared.draws import permutation
from tsn.tsn_shared.settings import BALANCES

LABELS = st.lists(st.integers(0, 6), min_size=1, max_size=80).map(np.array)
SEED, EPOCH = st.integers(0, 2**64 - 1), st.integers(0, 10**6)

Labels = npt.NDArray[np.integer]


def shares(labels: Labels, power: float) -> dict[int, float]:
    """Return how many draws of an epoch each class is due, by the rule."""
    counts = Counter(labels.tolist())
    whole = sum(count**power for count in counts.values())
    return {label: len(labels) * count**power / whole for label, count in counts.items()}


@given(LABELS, SEED, EPOCH)
def test_without_balance_an_epoch_is_the_permutation_that_it_was(labels: Labels, seed: int, epoch: int) -> None:
    order = epoch_order(labels, seed=seed, epoch=epoch, balance="none")
    assert np.array_equal(order, permutation(seed=seed, epoch=epoch, size=len(labels)))


@given(LABELS, st.sampled_from(BALANCES), SEED, EPOCH)
def test_a_class_has_its_share_and_its_clips_take_turns(labels: Labels, balance: str, seed: int, epoch: int) -> None:
    order = epoch_order(labels, seed=seed, epoch=epoch, balance=balance)
    assert len(order) == len(labels)
    due, drawn, times = shares(labels, POWERS[balance]), Counter(labels[order].tolist()), Counter(order.tolist())
    for label, share in due.items():
        assert drawn[label] in (int(np.floor(share + 1e-9)), int(np.ceil(share - 1e-9)))
        turns = [times[clip] for clip in np.flatnonzero(labels == label).tolist()]
        assert max(turns) - min(turns) <= 1


@given(LABELS, SEED, EPOCH)
def test_in_proportion_to_its_clips_each_clip_is_drawn_once(labels: Labels, seed: int, epoch: int) -> None:
    assert sorted(balanced(labels, seed=seed, epoch=epoch, power=1.0)) == list(range(len(labels)))


@pytest.mark.parametrize("balance", ["sqrt", "full"])
def test_over_epochs_a_class_has_its_share_and_its_clips_the_same(balance: str) -> None:
    labels = np.repeat([0, 1, 3], [5, 20, 2])  # class 2 has none
    drawn = np.zeros(len(labels))
    for epoch in range(2000):
        drawn += np.bincount(epoch_order(labels, seed=7, epoch=epoch, balance=balance), minlength=len(labels))
    for label, share in shares(labels, POWERS[balance]).items():
        mine = drawn[labels == label] / 2000
        assert mine.sum() == pytest.approx(share, abs=0.05)
        assert mine == pytest.approx(share / len(mine), rel=0.1)


def test_rare_and_frequent_clips_are_mixed_and_epochs_differ() -> None:
    labels = np.repeat([0, 1], [5, 95])
    orders = [epoch_order(labels, seed=1, epoch=epoch, balance="full") for epoch in range(3)]
    assert len({tuple(order) for order in orders}) == 3
    for order in orders:
        halves = [int((labels[half] == 0).sum()) for half in (order[:50], order[50:])]
        assert sum(halves) == 50
        assert min(halves) > 10
