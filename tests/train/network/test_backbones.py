"""Each row of the table is true of the network that it builds."""

import pytest
import torch
from torch import nn
from torchvision import models

from tsn.train.network.backbones import BACKBONES
from tsn.train.network.model import count_parameters, shapes_of
from tsn.tsn_shared.settings import MODEL_ALIASES, MODELS, TrainSettings


def test_the_command_line_offers_just_the_backbones_that_there_are() -> None:
    assert tuple(BACKBONES) == MODELS
    assert set(MODEL_ALIASES.values()) <= set(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_the_ends_of_a_backbone_are_where_its_row_says(name: str) -> None:
    with torch.device("meta"):
        network = BACKBONES[name].build(7, 0.4, 224)
        theirs = getattr(models, name)()
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert network.get_submodule(BACKBONES[name].first_layer) is layers[0]
    assert layers[0].weight.shape[1] == 3
    last = network.get_submodule(BACKBONES[name].last_layer)
    assert last is layers[-1] or (isinstance(last, nn.Sequential) and last[-1] is layers[-1])
    assert layers[-1].weight.shape[0] == 7
    assert isinstance(theirs.get_submodule(BACKBONES[name].last_layer), nn.Linear)
    assert {module.p for module in network.modules() if isinstance(module, nn.Dropout)} == {0.4}


@pytest.mark.parametrize("name", MODELS)
def test_last_layer_is_drawn_as_in_the_paper(name: str) -> None:
    torch.manual_seed(0)
    network = BACKBONES[name].build(101, 0.5, 224)
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    assert layers[-1].weight.std().item() == pytest.approx(0.001, rel=0.05)
    assert layers[-1].bias.abs().max().item() == 0


@pytest.mark.parametrize("name", MODELS)
def test_imagenet_weights_are_of_the_architecture(name: str) -> None:
    """What torchvision says of its weights fits the network that we build for them."""
    meta = BACKBONES[name].imagenet().meta
    classes = len(meta["categories"])
    ours = shapes_of(TrainSettings(model=name), classes)
    assert classes == 1000
    assert count_parameters(ours) == meta["num_params"]
    with torch.device("meta"):
        theirs = getattr(models, name)().state_dict()
    own = {key.replace("fc.1.", "fc."): value for key, value in ours.backbone.state_dict().items()}
    assert {key: value.shape for key, value in own.items()} == {key: value.shape for key, value in theirs.items()}
