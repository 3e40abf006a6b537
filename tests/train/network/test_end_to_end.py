"""Preprocessing and network in one: the crop, the resize and the normalisation that training's `val` view has."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import interpolate

from tsn.train.network.end_to_end import EndToEnd, centre_crop, resize_weights
from tsn.tsn_shared.augment import centre_crops
from tsn.tsn_shared.normalisation import Normalisation


class Kept(nn.Module):
    """Keeps the clips that it is shown."""

    def forward(self, clips: Tensor) -> Tensor:
        self.clips = clips
        return clips.mean(dim=(1, 3, 4))


def shown(frames: Tensor, frame_size: tuple[int, int] | None, input_size: int) -> tuple[Tensor, Tensor]:
    """Return the clips that the network is shown, as pixels from 0 to 255, and the answer."""
    network, normal = Kept(), Normalisation(mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
    module = EndToEnd(network, frame_size=frame_size, input_size=input_size, normalisation=normal)
    answer = module(frames)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (normal.mean, normal.std))
    return 255 * (network.clips * std + mean), answer


def frames_of(*shape: int) -> Tensor:
    return torch.randint(0, 256, (*shape, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_frames_of_the_stored_size_are_cropped_in_their_middle_and_nothing_else() -> None:
    frames = frames_of(2, 4, 64, 80)
    pixels, answer = shown(frames, (64, 80), 56)  # 0.875 of the shorter side
    assert torch.allclose(pixels, frames[:, :, 4:60, 12:68].permute(0, 1, 4, 2, 3).float(), atol=1e-3)
    assert answer.shape == (2, 3)
    assert torch.allclose(answer.sum(dim=1), torch.ones(2))


def test_the_crop_is_resized_to_the_input_size_and_rounded() -> None:
    frames = frames_of(1, 1, 64, 80)
    pixels, _ = shown(frames, (64, 80), 32)
    crop = frames[0, :, 4:60, 12:68].permute(0, 3, 1, 2).float()
    wanted = interpolate(crop, size=(32, 32), mode="bilinear", align_corners=False)
    assert (pixels[0] - wanted).abs().max() <= 0.501
    assert (pixels - pixels.round()).abs().max() < 1e-3


def test_frames_of_another_size_are_resized_first() -> None:
    frames = torch.full((1, 2, 128, 160, 3), 90, dtype=torch.uint8)
    frames[..., 1] = 200
    pixels, _ = shown(frames, (64, 80), 56)
    assert pixels.shape == (1, 2, 3, 56, 56)
    assert torch.allclose(pixels.mean(dim=(0, 1, 3, 4)), torch.tensor([90.0, 200.0, 90.0]), atol=0.01)


@pytest.mark.parametrize(("size", "out"), [(224, 64), (42, 32), (224, 96), (200, 256)])
def test_the_resize_is_that_of_torch(size: int, out: int) -> None:
    row = torch.rand(1, 1, size, size)
    weights = resize_weights(size, out)
    wanted = interpolate(row, size=(out, out), mode="bilinear", align_corners=False)
    assert torch.allclose(weights @ (row @ weights.T), wanted, atol=1e-6)


@given(height=st.integers(2, 5000), width=st.integers(2, 5000))
def test_the_crop_of_a_size_that_is_learned_is_that_of_the_view(height: int, width: int) -> None:
    assert list(centre_crop(height, width)) == centre_crops([height], [width])[0].tolist()


@pytest.mark.parametrize("size", [(64, 80), (81, 50), (33, 200)])
def test_frames_without_a_size_keep_theirs(size: tuple[int, int]) -> None:
    frames = frames_of(1, 2, *size)
    assert torch.equal(shown(frames, None, 32)[0], shown(frames, size, 32)[0])
