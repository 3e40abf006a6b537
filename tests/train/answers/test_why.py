"""Where a network looked: the maps are Grad-CAM's, and a network without maps says so."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import interpolate
from torchvision.models import vit_b_32

from tests.train.answers.colours import colour_video
from tsn.pipeline.extract.chosen import decode_chosen
from tsn.train.answers.predictor import Predictor
from tsn.train.answers.why import explain, map_layer
from tsn.train.network.end_to_end import Preparation
from tsn.train.network.model import TSN, build_model
from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.normalisation import Normalisation


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return colour_video(tmp_path_factory.mktemp("why") / "a.avi", ("red", 1), ("blue", 1), size="64x48")


@pytest.mark.parametrize(
    ("model", "modality", "layer"),
    [
        ("resnet18", "rgb", "backbone.layer4"),
        ("resnet50", "rgbdiff", "backbone.layer4"),
        ("vgg16", "rgb", "backbone.features"),
        ("vgg16_bn", "rgb", "backbone.features"),
    ],
)
def test_the_last_map_over_the_picture_is_found(model: str, modality: str, layer: str) -> None:
    with torch.device("meta"):
        network = build_model(model, num_classes=3, dropout=0.0, modality=modality)
    assert map_layer(network, frames=6, size=64) == layer


@pytest.mark.parametrize("size", [32, 224])
def test_a_network_without_such_a_map_says_so(size: int) -> None:
    with torch.device("meta"):
        transformer = TSN(vit_b_32(image_size=224))
        small = TSN(nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)))
    for network in (transformer, small) if size == 224 else (small,):
        with pytest.raises(SettingsError, match=r"^--why: at \d+ pixels this network has no map over the picture"):
            map_layer(network, frames=3, size=size)


def grad_cam(predictor: Predictor, clip: torch.Tensor, label: int) -> torch.Tensor:
    """Return the maps (S, 1, h, w) of Grad-CAM (ICCV 2017), equations 1 and 2, before they are drawn larger."""
    network, held = predictor.trained.network, list[torch.Tensor]()
    hook = network.get_submodule("backbone.layer4").register_forward_hook(lambda *seen: held.append(seen[2]))
    scores = network(clip)
    hook.remove()
    (gradients,) = torch.autograd.grad(scores[0, label], held)
    weights = gradients.mean(dim=(2, 3), keepdim=True)
    return (weights * held[0]).sum(dim=1, keepdim=True).relu().detach()


def test_maps_are_those_of_the_formula(changed_run: Callable[..., Path], video: Path) -> None:
    run = changed_run("why", settings={"input_size": 64}, noise=0.1)
    predictor = Predictor(run, num_segments=4, device="cpu", top=2)
    why = explain(predictor, video)
    chosen = decode_chosen(video, predictor.stored, predictor.choose).pictures()
    size, normalisation = chosen.shape[1:3], Normalisation()
    preparation = Preparation(frame_size=size, input_size=64, normalisation=normalisation, view=predictor.view)
    clip = preparation(torch.from_numpy(chosen)[None])
    raw = grad_cam(predictor, clip, predictor.classes.index(why.answer.top[0].name))
    assert why.places == tuple(raw.shape[2:]) == (2, 2)
    wanted = interpolate(raw, size=why.crop[2:], mode="bilinear")[:, 0]
    assert np.allclose(why.maps, wanted / wanted.max(), atol=1e-5)
    assert why.maps.max() == pytest.approx(1.0)
    assert np.array_equal(why.frames, chosen)
    assert why.numbers == tuple(predictor.choose(20))
    assert why.answer.top == predictor.video(video).top


def test_more_crops_than_one_are_refused(trained_run: Path, video: Path) -> None:
    with pytest.raises(SettingsError, match="not --protocol 10crop"):
        explain(Predictor(trained_run, protocol="10crop", device="cpu"), video)
