import copy
import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from tsn.train.network.backbones import BACKBONES
from tsn.train.network.model import TSN, build_model, build_network, count_parameters, last_layer, without_last_layer
from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.settings import MODELS, TrainSettings


@pytest.mark.parametrize("name", MODELS)
def test_fresh_model_starts_at_the_loss_of_one_who_knows_nothing(name: str) -> None:
    torch.manual_seed(0)
    model = build_model(name, num_classes=101, dropout=0.9).train()
    clips = torch.randn(4, 3, 3, 64, 64)
    loss = cross_entropy(model(clips), torch.tensor([0, 5, 50, 100])).item()
    assert loss == pytest.approx(math.log(101), rel=0.02)


def test_consensus_is_the_mean_of_the_segments_logits() -> None:
    torch.manual_seed(0)
    model = build_model("resnet18", num_classes=7, dropout=0.9).eval()
    clips = torch.randn(2, 3, 3, 32, 32)
    alone = torch.stack([model(clips[:, segment : segment + 1]) for segment in range(3)])
    assert torch.allclose(model(clips), alone.mean(dim=0), atol=1e-6)


def test_the_consensus_is_in_fp32_whatever_the_scores_are_in() -> None:
    scores = torch.randn(4, 25, 7).bfloat16()
    found = TSN(torch.nn.Identity()).consensus(scores)
    assert found.dtype == torch.float32
    assert torch.allclose(found, scores.double().mean(dim=1).float(), atol=1e-6)


@pytest.mark.parametrize(("name", "features"), [("vgg16", 4096), ("resnet18", 512)])
def test_without_its_last_layer_a_network_gives_what_that_reads(name: str, features: int) -> None:
    torch.manual_seed(0)
    model = build_model(name, num_classes=3, dropout=0.5).eval()
    clips = torch.randn(1, 2, 3, 32, 32)
    with torch.inference_mode():
        logits = model(clips)
        last = model.backbone.get_submodule(BACKBONES[name].last_layer)
        found = without_last_layer(model, name)(clips)
        assert found.shape == (1, features)
        assert float(found.min()) >= 0
        assert torch.allclose(last(found), logits, atol=1e-6)


def test_a_backbone_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(SettingsError, match="--model vgg11: no such backbone; there are vgg16, "):
        build_model("vgg11", num_classes=3, dropout=0.5)


def test_vgg16_has_the_published_number_of_parameters_and_dropout_twice() -> None:
    model = build_model("vgg16", num_classes=101, dropout=0.9)
    assert count_parameters(model) == 134_674_341
    dropouts = [module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)]
    assert dropouts == [0.9, 0.9]


def test_frozen_statistics_stay_and_are_what_training_computes_by_while_all_weights_are_trained() -> None:
    torch.manual_seed(0)
    model = build_network(TrainSettings(model="resnet18", freeze="statistics", dropout=0.0), 3)
    before, clips = copy.deepcopy(model.state_dict()), torch.randn(2, 2, 3, 32, 32)
    scores = model.train()(clips)
    scores.sum().backward()
    assert torch.equal(scores, model.eval()(clips))
    assert all(parameter.grad is not None for parameter in model.parameters())
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])
    plain = build_network(TrainSettings(model="resnet18", dropout=0.0), 3)
    plain.load_state_dict(before)
    assert not torch.allclose(plain.train()(clips), scores)


@pytest.mark.parametrize("name", [pytest.param("vgg16_bn", marks=pytest.mark.slow), "resnet18"])
def test_a_frozen_backbone_keeps_nothing_for_gradients_and_its_batch_statistics(name: str) -> None:
    torch.manual_seed(0)
    model = build_network(TrainSettings(model=name, freeze="backbone", dropout=0.5), 3)
    assert not model.eval().training
    before, kept = copy.deepcopy(model.state_dict()), 0

    def note(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += tensor.numel()
        return tensor

    clips = torch.randn(2, 2, 3, 32, 32)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        model.train()(clips).sum().backward()
    last = last_layer(model, name)
    linear = next(module for module in last.modules() if isinstance(module, torch.nn.Linear))
    assert 0 < kept < 3 * linear.in_features + 3 * 4 * linear.in_features  # its weights and inputs, and dropout's mask
    with_gradients = {key for key, parameter in model.named_parameters() if parameter.grad is not None}
    assert with_gradients == {key for key in before if key.startswith(f"backbone.{BACKBONES[name].last_layer}.")}
    assert count_parameters(model, trained=True) == sum(parameter.numel() for parameter in last.parameters())
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])
    with torch.no_grad():
        assert not torch.equal(model(clips), model(clips))  # dropout drops
        assert torch.equal(model.eval()(clips), model(clips))
