"""The DALI graph: one flat batch of B * S JPEG frames in, pixels out; and the CPU's faster finish.

On a GPU everything after the decoder runs there. On the CPU the same graph can run whole (`finish="dali"`), but DALI's
CPU resize costs ten times torch's for uint8, so by default the graph stops at the decoded crops and `finish_frame` does
the rest: resize (bilinear, half-pixel centres, no antialiasing), flip, normalise.
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from nvidia.dali import Pipeline, fn, types
from torch.nn.functional import interpolate

from tsn_shared.augment import MEAN, STD

Decoder = Literal["cpu", "mixed"]
Finish = Literal["dali", "torch"]
FrameBatch = tuple[list[npt.NDArray[np.uint8]], npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int32]]
"""What the source gives for F frames: JPEG data, crop starts (F, 2) as y, x, crop shapes (F, 2) as h, w, flips (F,)."""


def build_graph(
    source: Callable[[], FrameBatch],
    *,
    frames: int,
    input_size: int,
    device_id: int | None,
    decoder: Decoder,
    finish: Finish,
    half: bool = False,
    threads: int,
) -> Pipeline:
    """Build the pipeline over F = `frames` frames a run.

    With `finish="dali"` its output is (F, H, W, 3), normalised float32 (float16 with `half`), on the GPU `device_id`
    or, where that is None, on the CPU; with `finish="torch"` it is the F crops as uint8 (h, w, 3), of many sizes.
    """
    pipe = Pipeline(batch_size=frames, num_threads=threads, device_id=device_id, prefetch_queue_depth=2)
    inputs = 3 if finish == "torch" else 4
    with pipe:
        jpeg, start, shape, *flip = fn.external_source(
            lambda: source()[:inputs],
            num_outputs=inputs,
            dtype=[types.UINT8, types.INT32, types.INT32, types.INT32][:inputs],
            ndim=[1, 1, 1, 0][:inputs],
        )
        picture = fn.decoders.image_slice(
            jpeg,
            start,
            shape,
            axes=[0, 1],
            device=decoder,
            output_type=types.RGB,
            jpeg_fancy_upsampling=True,  # makes the GPU's chroma upsampling that of libjpeg-turbo
        )
        pipe.set_outputs(_finish(picture, flip[0], input_size, device_id, half) if flip else picture)
    pipe.build()
    return pipe


def _finish(picture: Any, flip: Any, input_size: int, device_id: int | None, half: bool) -> Any:
    if device_id is not None:
        picture = picture.gpu()
    size = (float(input_size), float(input_size))
    resized = fn.resize(picture, size=size, interp_type=types.INTERP_LINEAR, antialias=False)
    return fn.crop_mirror_normalize(
        resized,
        mirror=flip,
        dtype=types.FLOAT16 if half else types.FLOAT,
        output_layout="HWC",
        mean=[255 * mean for mean in MEAN],
        std=[255 * std for std in STD],
    )


class CpuFinish:
    """Resizes, flips and normalises decoded crops into float32, channels last in memory."""

    def __init__(self, input_size: int) -> None:
        self._size = input_size
        # one long row of pixels: torch's element-wise loops are fast over rows, slow over 3 channels
        std = torch.tensor(STD).repeat(input_size)
        self._scale = 1 / (255 * std)
        self._shift = -torch.tensor(MEAN).repeat(input_size) / std

    def frame(self, crop: npt.NDArray[np.uint8], *, flip: bool, out: torch.Tensor) -> None:
        """Write the crop (h, w, 3) to `out`, float32 (H, W, 3)."""
        size = self._size
        pixels = torch.from_numpy(crop)[None].permute(0, 3, 1, 2)  # this view keeps interpolate's channels-last path
        if crop.shape[:2] != (size, size):
            pixels = interpolate(pixels, size=(size, size), mode="bilinear", align_corners=False, antialias=False)
        if flip:
            pixels = pixels.flip(3)
        rows = out.view(size, size * 3)
        rows.copy_(pixels.permute(0, 2, 3, 1).reshape(size, size * 3))
        torch.addcmul(self._shift, rows, self._scale, out=rows)
