import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tsn.train.network.memory import (
    GIB,
    MOMENTS,
    Estimate,
    available,
    check_memory,
    estimate,
    estimate_scoring,
    fitting,
    peak,
)
from tsn.train.network.model import build_model, build_network, count_parameters
from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.settings import OPTIMIZERS, TrainSettings

CPU = torch.device("cpu")

STEPS = """
import sys, torch
from tsn.train.fit.recipe import build_optimizer
from tsn.train.network.memory import MOMENTS, estimate, peak
from tsn.train.network.model import build_network
from tsn.train.ranks.devices import channels_last
from tsn.tsn_shared.settings import TrainSettings
name, batch, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
settings = TrainSettings(model=name, dropout=0.5, optimizer=sys.argv[4], freeze=sys.argv[5])
model = channels_last(build_network(settings, 101)).train()
optimizer = build_optimizer(model, settings)
clips = torch.randn(batch, 3, size, size, 3).permute(0, 1, 4, 2, 3)
for _ in range(2):
    model(clips).sum().backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
needs = estimate(model, frames=3, input_size=size, half=False, moments=MOMENTS[settings.optimizer])
print(needs.total(batch), peak(torch.device("cpu")))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        *("resnet18 12 112 sgd none", "vgg16 1 224 sgd none", "vgg16 1 224 adamw none"),
        *("resnet18 24 224 adamw backbone", "vgg16 8 224 sgd backbone"),
    ],
)
def test_the_estimate_is_what_steps_really_take(words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", STEPS, *words.split()],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    estimated, measured = map(float, done.stdout.split())
    assert estimated == pytest.approx(measured, rel=0.25)


def test_a_clip_costs_by_its_pixels_and_half_precision_halves_it() -> None:
    model = build_model("resnet18", num_classes=4, dropout=0)
    small, large = (estimate(model, frames=3, input_size=size, half=False) for size in (32, 64))
    half = estimate(model, frames=3, input_size=64, half=True)
    assert large.clip == pytest.approx(4 * small.clip, rel=0.1)
    assert 0.4 < half.clip / large.clip < 0.7
    assert half.fixed > large.fixed
    saving = estimate(model, frames=3, input_size=64, half=False, saves=True)
    assert saving.fixed - large.fixed == pytest.approx(2 * 4 * sum(p.numel() for p in model.parameters()))


def test_scoring_costs_by_what_the_network_sees_at_once_and_what_the_loader_holds() -> None:
    model = build_model("resnet18", num_classes=4, dropout=0)

    def needs(frames: int, crops: int, at_once: int) -> Estimate:
        return estimate_scoring(
            model, frames=frames, crops=crops, at_once=at_once, input_size=64, half=False, answers=0
        )

    one, longer, more, cropped = needs(5, 1, 1), needs(10, 1, 1), needs(5, 1, 2), needs(5, 10, 1)
    a_clip = 5 * 3 * 64 * 64 * 4  # bytes of a clip's frames
    assert longer.clip == 2 * one.clip
    assert longer.fixed - one.fixed == more.fixed - one.fixed >= 2 * a_clip  # of a network that looks at each alone
    assert cropped.clip == 10 * one.clip
    assert cropped.fixed - one.fixed == 10 * a_clip


def test_as_many_clips_are_scored_at_once_as_fit() -> None:
    needs = Estimate(fixed=1 * GIB, clip=0.5 * GIB)
    assert fitting(needs, batch_size=4, free=8 * GIB, where="cpu") == 4
    assert fitting(needs, batch_size=25, free=8 * GIB, where="cpu") == 7  # half of what would fit
    with pytest.raises(
        SettingsError, match=r"to score a clip needs about 1\.5 GiB a process, 1\.2 GiB are free on cpu"
    ):
        fitting(needs, batch_size=1, free=1.2 * GIB, where="cpu")


def test_a_batch_that_cannot_fit_is_refused_with_one_that_can() -> None:
    needs = Estimate(fixed=1 * GIB, clip=0.5 * GIB)
    with pytest.raises(
        SettingsError, match=r"--batch-size 25 needs about 13\.5 GiB a process, 8\.0 GiB .* 14, and --acc"
    ):
        check_memory(needs, batch_size=25, free=8 * GIB, where="cpu")
    with pytest.raises(SettingsError, match="a smaller --model or --input-size"):
        check_memory(needs, batch_size=25, free=0.9 * GIB, where="cpu")
    assert check_memory(needs, batch_size=14, free=8 * GIB, where="cpu").startswith("memory: about 8.0 GiB a process")


def test_what_is_free_is_shared_among_the_processes_of_a_machine() -> None:
    assert 0 < available(CPU, processes=64) < available(CPU, processes=1)
    assert peak(CPU) > 0.1 * GIB


def test_what_is_frozen_costs_neither_gradients_nor_moments_nor_what_is_kept_for_them() -> None:
    settings = TrainSettings(model="resnet18", weights="none")
    whole, frozen = (build_network(replace(settings, freeze=what), 4) for what in ("none", "backbone"))
    weights = 4 * count_parameters(whole)
    sizes: dict[str, Any] = {"frames": 3, "input_size": 64, "half": False}
    free, bound = estimate(whole, **sizes), estimate(frozen, **sizes)
    assert free.fixed - bound.fixed == pytest.approx(2 * (weights - 4 * count_parameters(frozen, trained=True)))
    assert 3 * 3 * 64 * 64 * 4 < bound.clip < free.clip / 2
    adam = estimate(whole, **sizes, moments=MOMENTS["adamw"])
    assert adam.fixed - free.fixed == pytest.approx(weights)
    saving = estimate(whole, **sizes, moments=MOMENTS["adamw"], saves=True)
    assert saving.fixed - adam.fixed == pytest.approx(3 * weights)
    assert {*MOMENTS} == {*OPTIMIZERS}
