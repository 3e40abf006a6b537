"""The loaders that training opens serve the clips of the global rank."""

import pytest
import torch

from pipeline.reader import View
from pipeline.schedule import TrainSchedule
from tests.train.conftest import TEST, TRAIN
from train.data import open_split, open_train_loader, open_val_loader
from train.ranks import Ranks
from tsn_shared.settings import DataSettings


def second_machine() -> Ranks:
    """The first process of the second of two machines with two processes each."""
    return Ranks(rank=2, world_size=4, local_world_size=2, device=torch.device("cpu"))


def test_the_clips_are_those_of_the_rank_not_of_the_local_rank(data: DataSettings) -> None:
    split = open_split(data)
    with open_train_loader(
        split, data, second_machine(), batch_size=3, segments=2, input_size=32, seed=5, position=12
    ) as loader:
        batch = next(loader)
    wanted = TrainSchedule(num_clips=TRAIN, batch_size=3, seed=5, rank=2, world_size=4, start=12).load(0)
    assert batch.plan.rows.tolist() == wanted.rows.tolist()


@pytest.mark.parametrize(("view", "crops"), [("val", 1), ("3crop", 3), ("10crop", 10)])
def test_views_of_the_test_clips_have_their_crops(data: DataSettings, view: View, crops: int) -> None:
    split = open_split(data)
    loader, loads = open_val_loader(split, data, second_machine(), batch_size=1, segments=5, input_size=32, view=view)
    with loader:
        batches = [next(loader) for _ in range(loads)]
    assert loads == -(-TEST // 4)
    assert [batch.clips.shape for batch in batches] == [(1, 5 * crops, 3, 32, 32)] * loads
    assert [row for batch in batches for row in batch.plan.rows[batch.plan.valid].tolist()] == [2, 6]
