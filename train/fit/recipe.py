"""The optimiser and its learning rate: the recipe of GluonCV's published VGG16-TSN run, and its variations."""

import math

import torch
from torch import nn

from tsn.tsn_shared.settings import TrainSettings

PUBLISHED_BATCH = 200
"""Clips a step of the published run (25 on each of 8 GPUs), at a learning rate of 0.001."""

POLY_POWER = 2
"""Of the poly schedule, as in GluonCV."""


def base_lr(settings: TrainSettings, clips_per_step: int) -> float:
    """Return the learning rate before any schedule, scaled to the global batch if the settings say so."""
    return settings.lr * clips_per_step / PUBLISHED_BATCH if settings.auto_scale_lr else settings.lr


def learning_rate(settings: TrainSettings, *, base: float, position: int, num_clips: int) -> float:
    """Return the learning rate of the step that begins after `position` clips, in an epoch of `num_clips`.

    Warm-up rises linearly from 0 to `base`; step multiplies by lr_decay at each of the decay epochs; cosine and poly
    fall from the end of the warm-up to 0 at the end of the last epoch.
    """
    warmup = settings.warmup_epochs * num_clips
    if position < warmup:
        return base * position / warmup
    if settings.lr_mode == "step":
        decays = sum(position >= epoch * num_clips for epoch in settings.lr_decay_epoch)
        return base * float(settings.lr_decay**decays)
    share = min((position - warmup) / max(settings.num_epochs * num_clips - warmup, 1), 1.0)
    if settings.lr_mode == "cosine":
        return base * (1 + math.cos(math.pi * share)) / 2
    return base * float((1 - share) ** POLY_POWER)


def build_optimizer(model: nn.Module, settings: TrainSettings) -> torch.optim.SGD:
    """Build the SGD of the published run: momentum without Nesterov, weight decay on every parameter.

    Fused, which also lets a step be skipped on the device when its loss is not finite (`found_inf`).
    """
    optimizer = torch.optim.SGD(
        model.parameters(), lr=settings.lr, momentum=settings.momentum, weight_decay=settings.wd, fused=True
    )
    if settings.momentum:  # else a first step that is skipped leaves torch's own momentum as memory was, not zero
        for parameter in model.parameters():
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer
