"""The metrics against plain loops."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tsn.train.metrics import class_metrics, confusion, interval, metrics_of

CLASSES = tuple(f"c{number}" for number in range(7))


@given(st.integers(1, 40), st.integers(0, 2**31))
def test_figures_are_those_of_a_plain_loop(clips: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(size=(clips, len(CLASSES))))
    labels = torch.from_numpy(rng.integers(0, len(CLASSES), size=clips))
    order = [sorted(range(len(CLASSES)), key=lambda c: -row[c]) for row in logits.tolist()]
    rights = [ranked[0] == label for ranked, label in zip(order, labels.tolist(), strict=True)]
    scores, rows, table = metrics_of(logits, labels), class_metrics(logits, labels, CLASSES), confusion(logits, labels)
    assert scores.top1 == pytest.approx(sum(rights) / clips)
    assert scores.top5 == pytest.approx(
        sum(label in ranked[:5] for ranked, label in zip(order, labels.tolist(), strict=True)) / clips
    )
    assert int(table.sum()) == clips
    assert scores.mean_class_accuracy == pytest.approx(np.mean([row.top1 for row in rows]))
    for row in rows:
        label = CLASSES.index(row.name)
        mine = [ranked for ranked, own in zip(order, labels.tolist(), strict=True) if own == label]
        assert row.clips == len(mine)
        assert row.top1 == pytest.approx(sum(ranked[0] == label for ranked in mine) / len(mine))
        assert row.top5 == pytest.approx(sum(label in ranked[:5] for ranked in mine) / len(mine))
        wrong = [ranked[0] for ranked in mine if ranked[0] != label]
        assert (row.taken_for is None) == (not wrong)
        if row.taken_for is not None:
            assert row.times == wrong.count(CLASSES.index(row.taken_for)) == max(map(wrong.count, wrong))
        for other in range(len(CLASSES)):
            assert int(table[label, other]) == sum(ranked[0] == other for ranked in mine)


@pytest.mark.parametrize(
    ("right", "clips", "low", "high"), [(12, 12, 0.757, 1.0), (0, 10, 0.0, 0.278), (5, 10, 0.237, 0.763)]
)
def test_the_interval_of_a_share_is_wilsons(right: int, clips: int, low: float, high: float) -> None:
    """Of none it is (0, z²/(n + z²)), of all (n/(n + z²), 1), of a half 1/2 ± z/2 sqrt(1/(n + z²))."""
    assert interval(right / clips, clips) == pytest.approx((low, high), abs=6e-4)


def test_of_five_classes_or_fewer_there_is_no_top5() -> None:
    logits, labels = torch.eye(6, dtype=torch.float64), torch.arange(6)
    assert metrics_of(logits, labels).top5 == 1.0
    few, label = logits[:5, :5], labels[:5]
    assert metrics_of(few, label).top5 is None
    assert {row.top5 for row in class_metrics(few, label, CLASSES[:5])} == {None}
