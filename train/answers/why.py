"""Why a class: where in the frames of its segments a network looked, by Grad-CAM (Selvaraju et al., ICCV 2017).

What the last layer that has a map over the picture says for the class, weighted by how much the class's score hangs on
it. A network whose layers have no such map, as a ViT, cannot be asked so.
"""

import copy
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from tsn.pipeline.extract.chosen import decode_chosen
from tsn.train.answers.prediction import Answer
from tsn.train.answers.predictor import Predictor
from tsn.train.network.end_to_end import Preparation
from tsn.tsn_shared.errors import SettingsError


@dataclass(frozen=True, kw_only=True, eq=False)
class Why:
    """An answer, and where the network looked for its best class.

    `frames` (S, H, W, 3) are the first of each segment, `numbers` their places in the video, `crop` is what the network
    saw of them (y, x, h, w), and `maps` (S, h, w), from 0 to 1, is how much each pixel of it spoke for the class:
    what the network's map of so many `places` said, drawn larger.
    """

    answer: Answer
    frames: npt.NDArray[np.uint8]
    numbers: tuple[int, ...]
    crop: tuple[int, int, int, int]
    maps: npt.NDArray[np.float32]
    places: tuple[int, int]


def explain(predictor: Predictor, video: Path) -> Why:
    """Return a video's answer, and where the network looked for its best class.

    VideoError as extraction fails the video; SettingsError where the network has no map over the picture, or the
    protocol more crops than one.
    """
    if predictor.view.crops != 1:
        raise SettingsError(f"--why is of one crop of a frame: not --protocol {predictor.view.name}, but val")
    gradcam = _gradcam()
    settings = predictor.trained.settings
    name = map_layer(predictor.trained.network, frames=predictor.snippets.frames, size=settings.input_pixels)
    chosen = decode_chosen(video, predictor.stored, predictor.choose)
    pictures = chosen.pictures()
    answer = predictor.answer(
        predictor.scores(pictures[None])[0], frames=chosen.frames, video=str(video), note=chosen.note
    )
    height, width = pictures.shape[1:3]
    preparation = Preparation(
        frame_size=predictor.trained.frame_size or (height, width),
        input_size=settings.input_pixels,
        normalisation=settings.normalisation,
        view=predictor.view,
    ).to(predictor.device)
    clip = preparation(torch.from_numpy(pictures)[None].to(predictor.device)).requires_grad_()
    network = predictor.trained.network
    label = predictor.classes.index(answer.top[0].name)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="captum")  # of hooks on layers that work in place
        raw: Tensor = gradcam(network, network.get_submodule(name)).attribute(
            clip, target=label, relu_attributions=True
        )
    y, x, h, w = predictor.view.crop_rule([height], [width], None)[0][0, 0].tolist()
    maps = interpolate(raw.detach().float(), size=(h, w), mode="bilinear")[:, 0].cpu().numpy()
    first = slice(None, None, predictor.snippets.length)
    return Why(
        answer=answer,
        frames=pictures[first],
        numbers=tuple(chosen.numbers[first]),
        crop=(y, x, h, w),
        places=(raw.shape[2], raw.shape[3]),
        maps=np.asarray(maps / max(float(maps.max()), 1e-12), dtype=np.float32),
    )


def map_layer(network: nn.Module, *, frames: int, size: int) -> str:
    """Return the last layer of a network that has a map over the picture, (N, C, h, w) of more than a pixel, by name.

    It is found by a pass of a clip of so many frames of a size over the network's shapes, on the meta device.
    SettingsError where there is none but the first, which sees pixels and no more.
    """
    shapes = copy.deepcopy(network).to("meta")
    passed = list[tuple[str, nn.Module]]()

    def note(name: str, module: nn.Module) -> None:
        def noted(_: nn.Module, __: object, output: object) -> None:
            square = isinstance(output, Tensor) and output.ndim == 4 and output.shape[2] == output.shape[3] > 1
            if square and not isinstance(module, nn.AdaptiveAvgPool2d):  # VGG's makes more places than there are
                passed.append((name, module))

        module.register_forward_hook(noted)

    for name, module in shapes.named_modules():
        if name:
            note(name, module)
    shapes.eval()(torch.empty(1, frames, 3, size, size, device="meta"))
    convolutions = [module for _, module in passed if isinstance(module, nn.Conv2d)]
    if len(convolutions) < 2 or passed[-1][1] is convolutions[0]:
        raise SettingsError(
            f"--why: at {size} pixels this network has no map over the picture in its last layers (a ViT has none at "
            "any size), so Grad-CAM cannot say where it looked"
        )
    return passed[-1][0]


def _gradcam() -> Any:
    try:
        from captum.attr import LayerGradCam
    except ImportError as error:
        raise SettingsError(f"--why needs {error.name}: pip install '.[why]' where tsn was installed from") from None
    return LayerGradCam
