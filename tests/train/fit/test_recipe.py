import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tsn.train.fit.recipe import PUBLISHED_BATCH, base_lr, build_optimizer, learning_rate, set_learning_rate
from tsn.train.network.model import build_network
from tsn.tsn_shared.settings import OPTIMIZERS, TrainSettings

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


def norm_and_layer() -> torch.nn.Sequential:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.LayerNorm(5), torch.nn.Linear(5, 4)).double()


def test_adamw_decays_the_weights_apart_and_neither_biases_nor_norms() -> None:
    """Twenty steps against the paper's algorithm 2 (Loshchilov and Hutter, ICLR 2019), written out by hand."""
    network = norm_and_layer()
    own = [parameter.detach().clone() for parameter in network.parameters()]
    means, squares = ([torch.zeros_like(weight) for weight in own] for _ in range(2))
    decays = [0.05, 0.0, 0.0, 0.0, 0.05, 0.0]  # weight, bias; norm, its bias; weight, bias
    optimizer = build_optimizer(network, TrainSettings(optimizer="adamw", lr=0.01, momentum=0.8, wd=0.05))
    for step in range(1, 21):
        inputs = torch.randn(8, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        network(inputs).pow(2).sum().backward()
        for index, parameter in enumerate(network.parameters()):
            assert torch.allclose(parameter, own[index], rtol=1e-9, atol=1e-11)
            assert parameter.grad is not None
            means[index] = 0.8 * means[index] + 0.2 * parameter.grad
            squares[index] = 0.999 * squares[index] + 0.001 * parameter.grad**2
            mean, square = means[index] / (1 - 0.8**step), squares[index] / (1 - 0.999**step)
            own[index] = own[index] * (1 - 0.01 * decays[index]) - 0.01 * mean / (square.sqrt() + 1e-8)
        optimizer.step()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_last_layer_has_its_own_factor_and_what_is_frozen_is_left_out(optimizer: str) -> None:
    settings = TrainSettings(model="resnet18", optimizer=optimizer, head_lr=10, freeze="none")
    model = build_network(settings, 3)
    found = build_optimizer(model, settings)
    set_learning_rate(found, 0.25)
    rates = {id(parameter): group["lr"] for group in found.param_groups for parameter in group["params"]}
    assert {name: rates[id(parameter)] for name, parameter in model.named_parameters()} == {
        name: 2.5 if name.startswith("backbone.fc.") else 0.25 for name, _ in model.named_parameters()
    }
    frozen = replace(settings, freeze="backbone")
    model = build_network(frozen, 3)
    trained = [id(p) for group in build_optimizer(model, frozen).param_groups for p in group["params"]]
    assert sorted(trained) == sorted(id(parameter) for parameter in model.backbone.get_submodule("fc").parameters())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_state_before_the_first_step_is_what_torch_makes_then(optimizer: str) -> None:
    ours, network = build_optimizer(norm_and_layer(), TrainSettings(optimizer=optimizer)), norm_and_layer()
    plain = {
        "sgd": torch.optim.SGD(network.parameters(), momentum=0.9),
        "adamw": torch.optim.AdamW(network.parameters()),
    }
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    plain[optimizer].step()
    states = [next(iter(made.state_dict()["state"].values())) for made in (ours, plain[optimizer])]
    assert [(name, value.shape, value.dtype) for name, value in states[0].items()] == [
        (name, value.shape, value.dtype) for name, value in states[1].items()
    ]
    assert not any(value.any() for value in states[0].values())
    if optimizer == "sgd":
        assert not build_optimizer(network, TrainSettings(momentum=0)).state_dict()["state"]
