"""The figures against plain loops, and a pass whose memory is bounded."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from tsn.pipeline.loading.loader import Batch, EvalPass
from tsn.pipeline.loading.source import ClipPlan
from tsn.train.ranks.group import Ranks
from tsn.train.scores import CHUNK, clip_scores, confusion, per_class, score_clips, scores_of
from tsn.tsn_shared.errors import DataError

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
    """Sums each frame into two logits, and notes how many clips of how many frames came at once."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, int]] = []

    def forward(self, clips: Tensor) -> Tensor:
        self.seen.append((clips.shape[0], clips.shape[1]))
        sums = clips.sum(dim=(2, 3, 4))
        return torch.stack([sums, -sums], dim=2).mean(dim=1)


@pytest.mark.parametrize(("segments", "crops"), [(1, 1), (3, 1), (4, 1), (25, 1), (26, 1), (3, 3), (2, 10), (25, 10)])
def test_the_network_sees_whole_clips_and_no_more_of_them_than_fit_a_chunk(segments: int, crops: int) -> None:
    clips, spy = torch.randn(4, segments * crops, 3, 4, 4), Spy()
    found = clip_scores(spy, clips, segments=segments, precision="fp32")
    whole = clips.sum(dim=(2, 3, 4)).mean(dim=1)
    assert torch.allclose(found, torch.stack([whole, -whole], dim=1), atol=1e-4)
    assert {shape[1] for shape in spy.seen} == {segments}
    assert sum(shape[0] for shape in spy.seen) == 4 * crops
    assert max(shape[0] for shape in spy.seen) <= max(1, CHUNK["cpu"] // segments)


def test_each_crop_of_a_clip_goes_through_the_network_by_itself() -> None:
    """The highest frame of each crop counts, and the mean of these: crop k of frame s is at s * K + k."""
    values = torch.tensor([[1.0, 50.0], [3.0, 20.0], [2.0, 10.0]])  # three frames of two crops
    clips = values.flatten()[None, :, None, None, None].expand(1, 6, 3, 2, 2)

    class Highest(nn.Module):
        def forward(self, clips: Tensor) -> Tensor:
            return clips[..., 0, 0, 0].amax(dim=1, keepdim=True)

    assert clip_scores(Highest(), clips, segments=3, precision="fp32").tolist() == [[(3 + 50) / 2]]


def scored(*batches: list[int], clips: int) -> tuple[Tensor, Tensor]:
    """Score batches of these rows of a split, of which row r's clip sums to r and has label 10 r; -1 is padding."""

    def batch(rows: list[int]) -> Batch:
        count = len(rows)
        plan = ClipPlan(
            rows=np.maximum(rows, 0),
            labels=10 * np.maximum(rows, 0),
            valid=np.array(rows) >= 0,
            frame_indices=np.zeros((count, 1), dtype=np.int64),
            crops=np.zeros((count, 4), dtype=np.int64),
            flips=np.zeros(count, dtype=np.bool_),
        )
        frames = torch.tensor(rows, dtype=torch.float32)[:, None, None, None, None]
        return Batch(clips=frames.expand(count, 1, 3, 2, 2) / 12, plan=plan)

    return score_clips(
        Spy(),
        EvalPass(batches=map(batch, batches), steps=len(batches), clips=clips),
        ranks=Ranks(device=torch.device("cpu")),
        precision="fp32",
    )


@pytest.mark.parametrize("batches", [([0, 1, 2], [3, 4]), ([4, 0], [2, 1], [3, -1]), ([3], [1], [4], [-1], [0], [2])])
def test_clips_come_in_the_order_of_the_split_whichever_batch_they_were_in(batches: tuple[list[int], ...]) -> None:
    logits, labels = scored(*batches, clips=5)
    assert logits[:, 0].tolist() == pytest.approx([0, 1, 2, 3, 4])
    assert labels.tolist() == [0, 10, 20, 30, 40]


@pytest.mark.parametrize(
    "batches", [([0, 1], [1, 3]), ([0, 0], [1, 2]), ([0, 1, 2],), ([0, 1, 2, 3, 3],), ([1, 2, 3, 4],)]
)
def test_a_clip_scored_twice_or_left_out_is_an_error(batches: tuple[list[int], ...]) -> None:
    with pytest.raises(DataError, match=r"\d of 4 clips were scored: each must be scored once"):
        scored(*batches, clips=4)
