"""The DALI graph: one flat batch of all clips' JPEG frames, F of them, in, pixels out.

On a GPU everything after the decoder runs there. On the CPU the same graph can run whole, or stop at the decoder and
leave the rest to `CpuFinish`, which is faster. With one crop a frame the CPU's decoder decodes only that region;
otherwise the frame is decoded once and cropped.
"""

from collections.abc import Callable
from typing import Any

from nvidia.dali import Pipeline, fn, types

from tsn.pipeline.loading.pixels import Decoder, Pixels
from tsn.pipeline.loading.source import FrameBatch

INPUTS: dict[str, tuple[Any, int]] = {
    "jpegs": (types.UINT8, 1),
    "crops": (types.INT32, 2),
    "flips": (types.INT32, 1),
}
"""What the graph takes of each frame of a `FrameBatch`: type and number of dimensions."""


def build_graph(
    source: Callable[[], FrameBatch], pixels: Pixels, *, frames: int, crops: int, only_decode: bool = False
) -> Pipeline:
    """Build the pipeline over F = `frames` frames a run, of K = `crops` crops each.

    Its output is (F, H, W, 3), or (F, K, H, W, 3) of several crops, normalised float32 (or float16), on the device.
    If it is to `only_decode`, it is F pictures, uint8 (h, w, 3): the crop of each frame where there is one, the whole
    frame where there are several.
    """
    pipe = Pipeline(batch_size=frames, num_threads=pixels.threads, device_id=pixels.device_id, prefetch_queue_depth=2)
    used = ["jpegs", "crops", "flips"] if not only_decode else ["jpegs", "crops"] if crops == 1 else ["jpegs"]
    with pipe:
        outputs = fn.external_source(
            lambda: _columns(source(), used),
            num_outputs=len(used),
            dtype=[INPUTS[name][0] for name in used],
            ndim=[INPUTS[name][1] for name in used],
        )
        inputs = dict(zip(used, outputs, strict=True))
        pictures = _decoded(inputs["jpegs"], inputs["crops"][0] if crops == 1 else None, pixels.decoder)
        if not only_decode:
            pictures = _all_normalised(pictures, inputs, pixels, crops)
        pipe.set_outputs(pictures)
    pipe.build()
    return pipe


def _columns(batch: FrameBatch, names: list[str]) -> list[Any]:
    return [getattr(batch, name) for name in names]


def _all_normalised(pictures: Any, inputs: dict[str, Any], pixels: Pixels, crops: int) -> Any:
    """Normalise decoded pictures, which are the crop where there is one, with each of their crops."""
    if pixels.device_id is not None:
        pictures = pictures.gpu()
    if crops == 1:
        return _normalised(pictures, inputs["flips"][0], pixels)
    return fn.stack(
        *(
            _normalised(_cropped(pictures, inputs["crops"][crop]), inputs["flips"][crop], pixels)
            for crop in range(crops)
        )
    )


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


def _normalised(picture: Any, flip: Any, pixels: Pixels) -> Any:
    size = (float(pixels.input_size), float(pixels.input_size))
    resized = fn.resize(picture, size=size, interp_type=types.INTERP_LINEAR, antialias=False)
    return fn.crop_mirror_normalize(
        resized,
        mirror=flip,
        dtype=types.FLOAT16 if pixels.half else types.FLOAT,
        output_layout="HWC",
        mean=[255 * mean for mean in pixels.normalisation.mean],
        std=[255 * std for std in pixels.normalisation.std],
    )
