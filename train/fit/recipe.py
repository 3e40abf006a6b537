"""The optimiser and its learning rate: the recipe of GluonCV's published VGG16-TSN run, and its variations."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from tsn.train.network.model import last_layer
from tsn.tsn_shared.settings import TrainSettings

PUBLISHED_BATCH = 200
"""Clips a step of the published run (25 on each of 8 GPUs), at a learning rate of 0.001."""

POLY_POWER = 2
"""Of the poly schedule, as in GluonCV."""

SECOND_BETA = 0.999
"""Of AdamW, as in torch and timm."""

FACTOR = "lr_factor"
"""Key of a group whose learning rate is the schedule's times a factor; other groups, and old checkpoints, lack it."""


Group = dict[str, Any]
"""A group of parameters as torch's optimisers take it: `params`, and what is its own of their options."""


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
    if settings.lr_mode == "poly":
        return base * float((1 - share) ** POLY_POWER)
    raise ValueError(f"no schedule is called {settings.lr_mode}")


def build_optimizer(model: nn.Module, settings: TrainSettings) -> Optimizer:
    """Build the optimiser of the parameters that training changes, with its whole state, all zeros.

    SGD is that of the published run: momentum without Nesterov, weight decay on every parameter. AdamW spares biases
    and norms of weight decay, as timm does: what has one axis at most, or a name that ends in `.bias`.

    Fused, which also lets a step be skipped on the device when its loss is not finite (`found_inf`).
    """
    groups, wd = _groups(model, settings), settings.wd
    if settings.optimizer == "adamw":
        optimizer: Optimizer = AdamW(
            groups, lr=settings.lr, betas=(settings.momentum, SECOND_BETA), weight_decay=wd, fused=True
        )
    else:
        optimizer = SGD(groups, lr=settings.lr, momentum=settings.momentum, weight_decay=wd, fused=True)
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            # else a first step that is skipped leaves SGD's momentum as memory was, not zero
            if state := _state(parameter, settings):
                optimizer.state[parameter] = state
    return optimizer


def set_learning_rate(optimizer: Optimizer, lr: float) -> None:
    """Give each group of parameters a learning rate: `lr`, times the factor that the group may have."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get(FACTOR, 1.0)


def _groups(model: nn.Module, settings: TrainSettings) -> list[Group]:
    """Return the parameters that are trained, those together which have the same learning rate and weight decay."""
    head: set[nn.Parameter] = set()
    if settings.head_lr != 1:
        head.update(last_layer(model, settings.model).parameters())
    groups: dict[tuple[bool, bool], Group] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        spared = settings.optimizer == "adamw" and (parameter.ndim <= 1 or name.endswith(".bias"))
        factor = {FACTOR: settings.head_lr} if parameter in head else {}
        new: Group = {"params": [], **({"weight_decay": 0.0} if spared else {}), **factor}
        groups.setdefault((parameter in head, spared), new)["params"].append(parameter)
    return list(groups.values())


def _state(parameter: nn.Parameter, settings: TrainSettings) -> dict[str, Tensor]:
    """Return what the optimiser remembers of a parameter before its first step, as torch would make it then."""
    if settings.optimizer == "adamw":
        return {
            "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }
    return {"momentum_buffer": torch.zeros_like(parameter)} if settings.momentum else {}
