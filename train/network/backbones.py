"""The backbones: a row each says how torchvision's network becomes one. A new one is a row here and a name in MODELS.

Any model of timm is one as well: `backbone_of` has its row made by `tsn.train.network.timm_models`.
The command line offers `tsn.tsn_shared.settings.MODELS` without loading torch; a test holds the names here to be those.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn
from torchvision import models
from torchvision.models import WeightsEnum

from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.settings import TIMM

LAST_LAYER_STD = 0.001
"""Of the new last layer's weights, as in TSN (Wang et al., ECCV 2016) and GluonCV."""


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """How a network is built for `num_classes`, a `dropout` and an input size, where its ends are, and its weights.

    `first_layer` is the convolution that reads the pixels, "" where it is not known. `last_layer` is where
    torchvision's own lies: weights made for other classes leave it out. `adapt(network, state)` brings the names of
    weights from elsewhere to the network's own; of those, what begins with a name in `left_out` has no place in it.
    """

    build: Callable[[int, float, int], nn.Module]
    first_layer: str
    last_layer: str
    imagenet: Callable[[], WeightsEnum]
    left_out: tuple[str, ...] = ()
    adapt: Callable[[nn.Module, dict[str, Tensor]], dict[str, Tensor]] = lambda network, state: state


def backbone_of(name: str) -> Backbone:
    """Return the row of a backbone; SettingsError, with the names that there are, where there is none."""
    if name.startswith(TIMM):
        from tsn.train.network.timm_models import timm_backbone

        return timm_backbone(name)
    if name not in BACKBONES:
        raise SettingsError(f"--model {name}: no such backbone; there are {', '.join(BACKBONES)}, or {TIMM}NAME")
    return BACKBONES[name]


def _vgg(name: str) -> Backbone:
    """Return a VGG: dropout after fc6 and fc7, as torchvision has it."""

    def build(num_classes: int, dropout: float, input_size: int) -> Any:
        network = getattr(models, name)(weights=None, dropout=dropout)
        network.classifier[-1] = last_layer(network.classifier[-1].in_features, num_classes)
        return network

    return Backbone(build=build, first_layer="features.0", last_layer="classifier.6", imagenet=partial(_imagenet, name))


def _resnet(name: str) -> Backbone:
    """Return a ResNet, with one dropout before its last layer."""

    def build(num_classes: int, dropout: float, input_size: int) -> Any:
        network = getattr(models, name)(weights=None)
        network.fc = nn.Sequential(nn.Dropout(dropout), last_layer(network.fc.in_features, num_classes))
        return network

    return Backbone(
        build=build, first_layer="conv1", last_layer="fc", imagenet=partial(_imagenet, name), adapt=_from_mmaction2
    )


_MMACTION2 = (
    (r"\bconv(\d)\.conv\.(net\.)?", r"conv\1."),  # a net is what MMAction2's temporal shift wraps
    (r"\bconv(\d)\.bn\.", r"bn\1."),
    (r"\bdownsample\.conv\.", "downsample.0."),
    (r"\bdownsample\.bn\.", "downsample.1."),
    (r"^cls_head\.fc_cls\.", "fc."),
)
"""What MMAction2's ResNets call their tensors, and torchvision's."""


def _from_mmaction2(network: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights with the names of torchvision's ResNet in place of MMAction2's; others stay as they are."""
    renamed = {}
    for key, value in state.items():
        for theirs, own in _MMACTION2:
            key = re.sub(theirs, own, key)
        renamed[key] = value
    return renamed


def _imagenet(name: str) -> WeightsEnum:
    """Return torchvision's first ImageNet weights: those of the published recipes."""
    return models.get_model_weights(name)["IMAGENET1K_V1"]


def last_layer(features: int, num_classes: int) -> nn.Linear:
    """Return a new last layer, its weights drawn from N(0, LAST_LAYER_STD), its biases 0."""
    layer = nn.Linear(features, num_classes)
    nn.init.normal_(layer.weight, 0.0, LAST_LAYER_STD)
    nn.init.zeros_(layer.bias)
    return layer


BACKBONES: dict[str, Backbone] = {
    **{name: _vgg(name) for name in ("vgg16", "vgg16_bn")},
    **{name: _resnet(name) for name in ("resnet18", "resnet50")},
}
