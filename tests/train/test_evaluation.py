"""The figures against plain loops, and a pass whose memory is bounded."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from train.evaluation import CHUNK, confusion, consensus, per_class, scores_of

CLASSES = tuple(f"c{number}" for number in range(7))


@given(st.integers(1, 40), st.integers(0, 2**31))
def test_figures_are_those_of_a_plain_loop(clips: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(size=(clips, len(CLASSES))))
    labels = torch.from_numpy(rng.integers(0, len(CLASSES), size=clips))
    order = [sorted(range(len(CLASSES)), key=lambda c: -row[c]) for row in logits.tolist()]
    rights = [ranked[0] == label for ranked, label in zip(order, labels.tolist(), strict=True)]
    scores, rows, table = scores_of(logits, labels), per_class(logits, labels, CLASSES), confusion(logits, labels)
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


class Spy(nn.Module):
    """Sums each frame into two logits, and notes how many frames came at once."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def forward(self, clips: Tensor) -> Tensor:
        self.seen.append(clips.shape[0] * clips.shape[1])
        sums = clips.sum(dim=(2, 3, 4))
        return torch.stack([sums, -sums], dim=2).mean(dim=1)


@pytest.mark.parametrize("frames", [1, 3, 25, 26, 250])
def test_the_network_never_sees_more_frames_at_once_than_a_chunk(frames: int) -> None:
    clips, spy = torch.randn(2, frames, 3, 4, 4), Spy()
    found = consensus(spy, clips, precision="fp32")
    whole = clips.sum(dim=(2, 3, 4)).mean(dim=1)
    assert torch.allclose(found, torch.stack([whole, -whole], dim=1), atol=1e-4)
    assert max(spy.seen) <= CHUNK["cpu"]
    assert sum(spy.seen) == 2 * frames
