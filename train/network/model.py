"""The Temporal Segment Network: a backbone run on each segment's frame, and the mean of their logits."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models

from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.settings import TrainSettings

LAST_LAYER_STD = 0.001
"""Of the new last layer's weights, as in TSN (Wang et al., ECCV 2016) and GluonCV."""


class TSN(nn.Module):
    """Maps clips (B, S, 3, H, W) to logits (B, C): the segments' logits, averaged (segmental consensus)."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, clips: Tensor) -> Tensor:
        """Return the consensus of the segments' logits, (B, C)."""
        batch, segments = clips.shape[:2]
        logits: Tensor = self.backbone(clips.flatten(0, 1))
        return logits.view(batch, segments, -1).mean(dim=1)


def build_model(name: str, *, num_classes: int, dropout: float) -> TSN:
    """Build a TSN on a torchvision backbone with a new last layer, N(0, 0.001), and dropout before it.

    VGG has its dropout after fc6 and fc7, the others one before their last layer. Parameters are drawn from torch's
    global generator.
    """
    if name in ("vgg16", "vgg16_bn"):
        backbone = getattr(models, name)(weights=None, dropout=dropout)
        backbone.classifier[-1] = _last_layer(backbone.classifier[-1].in_features, num_classes)
    elif name in ("resnet18", "resnet50"):
        backbone = getattr(models, name)(weights=None)
        backbone.fc = nn.Sequential(nn.Dropout(dropout), _last_layer(backbone.fc.in_features, num_classes))
    else:
        raise SettingsError(f"--model {name}: no such backbone")
    return TSN(backbone)


def shapes_of(settings: TrainSettings, num_classes: int) -> TSN:
    """Return the network of the settings on torch's meta device: its shapes, which take no memory and no draws."""
    with torch.device("meta"):
        return build_model(settings.model, num_classes=num_classes, dropout=settings.dropout)


LAST_LAYERS = {"vgg16": "classifier.6", "vgg16_bn": "classifier.6", "resnet18": "fc", "resnet50": "fc"}
"""Where torchvision's own last layer lies in each backbone: weights made for other classes leave it out."""

IMAGENET: dict[str, Callable[[], Any]] = {
    "vgg16": lambda: models.VGG16_Weights.IMAGENET1K_V1,
    "vgg16_bn": lambda: models.VGG16_BN_Weights.IMAGENET1K_V1,
    "resnet18": lambda: models.ResNet18_Weights.IMAGENET1K_V1,
    "resnet50": lambda: models.ResNet50_Weights.IMAGENET1K_V1,
}


def without_last_layer(model: TSN, name: str) -> TSN:
    """Make a network end, in place, in what its last layer reads: VGG's fc7 after ReLU, ResNet's pooled maps."""
    model.backbone.set_submodule(LAST_LAYERS[name], nn.Identity())
    return model


def count_parameters(model: nn.Module) -> int:
    """Return how many numbers training adapts."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def _last_layer(features: int, num_classes: int) -> nn.Linear:
    layer = nn.Linear(features, num_classes)
    nn.init.normal_(layer.weight, 0.0, LAST_LAYER_STD)
    nn.init.zeros_(layer.bias)
    return layer
