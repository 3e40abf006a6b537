import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tsn.train.fit.recipe import PUBLISHED_BATCH, base_lr, build_optimizer, learning_rate
from tsn.tsn_shared.settings import TrainSettings

CLIPS = 9537


def lr(position: int, **settings: Any) -> float:
    chosen = TrainSettings(**settings)
    return learning_rate(chosen, base=chosen.lr, position=position, num_clips=CLIPS)


def test_step_schedule_decays_with_the_first_clip_of_the_epoch() -> None:
    assert lr(30 * CLIPS - 1) == 0.001
    assert lr(30 * CLIPS) == pytest.approx(0.0001)
    assert lr(60 * CLIPS) == pytest.approx(0.00001)
    assert lr(79 * CLIPS, lr_decay_epoch=(1, 2, 3), lr_decay=0.5) == pytest.approx(0.000125)


@given(position=st.integers(0, 80 * CLIPS))
def test_cosine_and_poly_follow_their_closed_forms(position: int) -> None:
    share = position / (80 * CLIPS)
    assert lr(position, lr_mode="cosine", lr=0.2) == pytest.approx(0.1 * (1 + math.cos(math.pi * share)))
    assert lr(position, lr_mode="poly", lr=0.2) == pytest.approx(0.2 * (1 - share) ** 2)


@given(position=st.integers(0, 5 * CLIPS - 1))
def test_warmup_rises_linearly_from_zero(position: int) -> None:
    for mode in ("step", "cosine", "poly"):
        got = lr(position, lr_mode=mode, lr=0.2, warmup_epochs=5)
        assert got == pytest.approx(0.2 * position / (5 * CLIPS))


def test_schedules_begin_after_the_warmup_and_end_at_zero() -> None:
    for mode in ("cosine", "poly"):
        assert lr(5 * CLIPS, lr_mode=mode, warmup_epochs=5) == pytest.approx(0.001)
        assert lr(80 * CLIPS, lr_mode=mode, warmup_epochs=5) == pytest.approx(0, abs=1e-12)


def test_auto_scale_lr_is_relative_to_the_published_batch() -> None:
    assert base_lr(TrainSettings(auto_scale_lr=True), PUBLISHED_BATCH) == 0.001
    assert base_lr(TrainSettings(auto_scale_lr=True), 50) == pytest.approx(0.00025)
    assert base_lr(TrainSettings(), 50) == 0.001


def test_optimizer_is_momentum_without_nesterov_and_decays_biases_as_well() -> None:
    """Twenty steps against the rule written out by hand: v = 0.9 v + g + 0.0005 w; w = w - lr v."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(6, 4).double()
    weights = [parameter.detach().clone() for parameter in layer.parameters()]
    speeds = [torch.zeros_like(weight) for weight in weights]
    optimizer = build_optimizer(layer, TrainSettings(lr=0.1))
    for step in range(20):
        inputs = torch.randn(8, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        layer(inputs).pow(2).mean().backward()
        output = inputs @ weights[0].T + weights[1]
        slope = 2 * output / output.numel()
        for index, gradient in enumerate((slope.T @ inputs, slope.sum(dim=0))):
            speeds[index] = 0.9 * speeds[index] + gradient + 0.0005 * weights[index]
            weights[index] = weights[index] - 0.1 * speeds[index]
        optimizer.step()
    for parameter, weight in zip(layer.parameters(), weights, strict=True):
        assert torch.allclose(parameter, weight, rtol=1e-10, atol=1e-12)
