"""The DALI graph: one flat batch of F = B * S JPEG frames in, pixels out.

On a GPU everything after the decoder runs there. On the CPU the same graph can run whole, or stop at the decoder and
leave the rest to `pipeline.finish`, which is faster. With one crop a frame the CPU's decoder decodes only that region;
otherwise the frame is decoded once and cropped.
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from nvidia.dali import Pipeline, fn, types

from tsn.tsn_shared.augment import MEAN, STD

Decoder = Literal["cpu", "engine", "mixed"]
"""The CPU (libjpeg-turbo), the card's own JPEG engine, or nvJPEG's kernels; DALI's `mixed` is the latter two."""
Finish = Literal["dali", "torch"]
FrameBatch = tuple[list[npt.NDArray[np.uint8]], npt.NDArray[np.int32], npt.NDArray[np.int32]]
"""What the source gives for F frames: JPEG data, crops (F, K, 4) as y, x, h, w, flips (F, K)."""


def build_graph(
    source: Callable[[], FrameBatch],
    *,
    frames: int,
    crops: int,
    input_size: int,
    device_id: int | None,
    decoder: Decoder,
    finish: Finish,
    half: bool = False,
    threads: int,
) -> Pipeline:
    """Build the pipeline over F = `frames` frames a run, of K = `crops` crops each.

    With `finish="dali"` its output is (F, H, W, 3), or (F, K, H, W, 3) of several crops, normalised float32 (float16
    with `half`), on the GPU `device_id` or, where that is None, on the CPU. With `finish="torch"` it is F pictures,
    uint8 (h, w, 3): the crop of each frame where there is one, the whole frame where there are several.
    """
    pipe = Pipeline(batch_size=frames, num_threads=threads, device_id=device_id, prefetch_queue_depth=2)
    used = 3 if finish == "dali" else 2 if crops == 1 else 1
    with pipe:
        jpeg, *rest = fn.external_source(
            lambda: source()[:used],
            num_outputs=used,
            dtype=[types.UINT8, types.INT32, types.INT32][:used],
            ndim=[1, 2, 1][:used],
        )
        pictures = _decoded(jpeg, rest[0][0] if crops == 1 else None, decoder)
        if finish == "dali":
            boxes, flips = rest
            if device_id is not None:
                pictures = pictures.gpu()
            if crops == 1:
                pictures = _finish(pictures, flips[0], input_size, half=half)
            else:
                parts = (_cropped(pictures, boxes[crop]) for crop in range(crops))
                pictures = fn.stack(
                    *(_finish(part, flips[crop], input_size, half=half) for crop, part in enumerate(parts))
                )
        pipe.set_outputs(pictures)
    pipe.build()
    return pipe


def _decoded(jpeg: Any, box: Any, decoder: Decoder) -> Any:
    """Decode the crop of each frame, or without `box` the whole frame."""
    how: dict[str, Any] = {
        "device": "cpu" if decoder == "cpu" else "mixed",
        "output_type": types.RGB,
        "adjust_orientation": False,  # what a camera wrote beside the picture must not turn its size round
        "jpeg_fancy_upsampling": True,  # makes the GPU's chroma upsampling that of libjpeg-turbo
    }
    if decoder == "cpu" and box is not None:
        return fn.decoders.image_slice(jpeg, box[0:2], box[2:4], axes=[0, 1], **how)
    if decoder != "cpu":
        # a card without the engine leaves all to the kernels
        how |= {"hw_decoder_load": 1.0 if decoder == "engine" else 0.0}
        how |= {"device_memory_padding": 1 << 20, "host_memory_padding": 1 << 20}
    pictures = fn.decoders.image(jpeg, **how)
    # whole, and cropped on the GPU: nvJPEG refuses a region with this upsampling, and DALI would ask the CPU instead
    return pictures if box is None else _cropped(pictures, box)


def _cropped(pictures: Any, box: Any) -> Any:
    return fn.slice(pictures, box[0:2], box[2:4], axes=[0, 1])


def _finish(picture: Any, flip: Any, input_size: int, *, half: bool) -> Any:
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
