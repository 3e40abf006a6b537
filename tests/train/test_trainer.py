"""The training step against plain PyTorch, on a small network without batch statistics."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from pipeline.loader import Batch
from pipeline.reader import ClipPlan
from train.ranks import Ranks
from train.trainer import Trainer
from tsn_shared.settings import TrainSettings

CLASSES, CLIPS = 5, 12


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3 * 4 * 4, CLASSES)

    def forward(self, clips: Tensor) -> Tensor:
        logits: Tensor = self.layer(clips.flatten(2)).mean(dim=1)
        return logits


def network() -> Network:
    torch.manual_seed(0)
    return Network()


def batches(size: int) -> list[Batch]:
    """Return an epoch of random clips, cut into batches."""
    generator = torch.Generator().manual_seed(7)
    clips = torch.randn(CLIPS, 2, 3, 4, 4, generator=generator)
    labels = torch.randint(CLASSES, (CLIPS,), generator=generator)
    rows = np.arange(CLIPS)
    return [
        Batch(
            clips=clips[start : start + size],
            plan=ClipPlan(
                rows=rows[start : start + size],
                labels=labels[start : start + size].numpy(),
                valid=np.ones(size, dtype=np.bool_),
                frame_indices=np.zeros((size, 2), dtype=np.int64),
                crops=np.zeros((size, 4), dtype=np.int64),
                flips=np.zeros(size, dtype=np.bool_),
            ),
        )
        for start in range(0, CLIPS, size)
    ]


def trained(**settings: Any) -> tuple[Network, dict[str, Any]]:
    """Train an epoch with these settings; return the network and its row."""
    chosen = TrainSettings(num_epochs=1, lr=0.5, **settings)
    model = network()
    trainer = Trainer(
        model=model, settings=chosen, ranks=Ranks(device=torch.device("cpu")), num_clips=CLIPS, precision="fp32"
    )
    stream: Iterator[Batch] = iter(batches(chosen.batch_size))
    return model, trainer.train_epoch(stream, lambda: None)  # type: ignore[arg-type]


def test_steps_are_those_of_plain_pytorch() -> None:
    model, row = trained(batch_size=4, wd=0.01, label_smoothing=0.1)
    plain = network()
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.5, momentum=0.9, weight_decay=0.01)
    losses = []
    for batch in batches(4):
        loss = cross_entropy(plain(batch.clips), batch.labels, label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    assert torch.allclose(model.layer.weight, plain.layer.weight, atol=1e-6)
    assert row["train_loss"] == pytest.approx(np.mean(losses))
    assert row["step"] == 3
    assert row["epoch"] == 0


def test_accumulated_batches_are_the_big_batch() -> None:
    big, big_row = trained(batch_size=6)
    small, small_row = trained(batch_size=2, accumulate=3)
    assert torch.allclose(big.layer.weight, small.layer.weight, atol=1e-6)
    assert small_row["train_loss"] == pytest.approx(big_row["train_loss"], rel=1e-6)
    assert small_row["step"] == big_row["step"] == 2


def test_clip_grad_bounds_the_l2_norm_of_all_gradients_together() -> None:
    free, _ = trained(batch_size=12, momentum=0.0, wd=0.0)
    clipped, _ = trained(batch_size=12, momentum=0.0, wd=0.0, clip_grad=0.01)
    start = nn.utils.parameters_to_vector(network().parameters())
    moved = nn.utils.parameters_to_vector(clipped.parameters()) - start
    freely = nn.utils.parameters_to_vector(free.parameters()) - start
    assert moved.norm().item() == pytest.approx(0.5 * 0.01, rel=1e-3)
    assert torch.allclose(moved / moved.norm(), freely / freely.norm(), atol=1e-4)
