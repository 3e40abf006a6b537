"""Passes over zeros before the first batch: nothing of the run is changed by them."""

import torch
from torch import nn

from tsn.train.fit.trainer import Trainer
from tsn.train.ranks.group import Ranks
from tsn.tsn_shared.settings import TrainSettings

CPU = Ranks(device=torch.device("cpu"))


def test_rehearsing_leaves_no_trace() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    class Clips(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, clips: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.network(clips.flatten(0, 1))
            return logits.view(*clips.shape[:2], -1).mean(dim=1)

    settings = TrainSettings(batch_size=2, input_size=16)
    trainer = Trainer(model=Clips(), settings=settings, ranks=CPU, num_clips=8, precision="fp32")
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer._rehearsal.run((trainer.model, trainer.model))
    assert trainer.pace() > 0
    after = trainer.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(parameter.grad is None for parameter in trainer.model.parameters())
    assert trainer.read_sums() is False
    assert trainer.tally.loss == trainer.tally.waited == 0
