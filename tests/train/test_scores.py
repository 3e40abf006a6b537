"""A pass scores every clip once, each crop whole, in memory that is bounded."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tsn.pipeline.loading.loader import Batch, EvalPass
from tsn.pipeline.loading.source import ClipPlan
from tsn.train.ranks.group import Ranks
from tsn.train.scores import CHUNK, clip_scores, score_clips
from tsn.tsn_shared.errors import DataError


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
    found = clip_scores(spy, clips, frames=segments, precision="fp32")
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

    assert clip_scores(Highest(), clips, frames=3, precision="fp32").tolist() == [[(3 + 50) / 2]]


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
