"""Export of a trained network to one file that other programs run: preprocessing and softmax inside.

The file takes uint8 RGB frames (B, S, H, W, 3) and gives class probabilities (B, C); B, S, H and W are free. Its
metadata name the classes, the protocol and which frames of a video to show it.
"""

import io
import json
import logging
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tsn.train.answers.trained import height_and_width, load_trained
from tsn.train.network.end_to_end import EndToEnd
from tsn.train.versions import own_version
from tsn.tsn_shared.errors import SettingsError, TsnError
from tsn.tsn_shared.files import alone, replacing, writing
from tsn.tsn_shared.views import Snippets

OPSET = 23
"""Of the .onnx files: the newest that torch writes."""

TOLERANCE = 1e-4
"""Largest difference between the file's probabilities and torch's, of frames of the stored size."""

RESIZED = 2e-3
"""The same of frames that are resized: ONNX Runtime's own resize has differed by 2e-4 to 3e-4 on noise."""

SAMPLING = "frame int(t / 2 + t * i) of segment i, t = N / S, of the N frames of a video; all frame 0 where N <= S"
SNIPPETS = (
    "frames int(t / 2 + t * i) to {last} later of segment i, t = (N - {last}) / S, of the N frames of a video; from "
    "frame 0 where N <= S + {last}; the last frame again where there are no more"
)
"""How snippets of several frames are sampled."""

METADATA = "metadata.json"
"""Name of the extra file in a .pt2 that holds the metadata."""


@dataclass(frozen=True, kw_only=True)
class ExportedFacts:
    """What an exported file says of itself; `tsn` is the version that wrote it.

    `frame_size` is WIDTHxHEIGHT, to which it scales frames, or native where it takes them as they are.
    """

    classes: tuple[str, ...]
    protocol: str = "val"
    num_segments: int
    sampling: str = SAMPLING
    input: str = "frames: uint8 RGB (B, S, H, W, 3)"
    output: str = "probabilities: float32 (B, C)"
    frame_size: str
    input_size: int
    model: str
    split: str
    tsn: str

    def plain(self) -> dict[str, str]:
        """Return them as texts by name, as the file holds them; `classes` is a JSON list."""
        return {name: str(value) for name, value in asdict(self).items()} | {"classes": json.dumps(self.classes)}


def export(checkpoint: Path, out: Path, *, size: str | None = None, num_segments: int | None = None) -> ExportedFacts:
    """Write a checkpoint, or the best of a run, as .onnx or .pt2, check the file against torch, return what it says.

    `size` (WIDTHxHEIGHT, or native) is that of the stored frames, by default as the checkpoint states it.
    """
    writers = {".onnx": _write_onnx, ".pt2": _write_pt2}
    if checkpoint.suffix in writers:
        raise SettingsError(f"{checkpoint}: the checkpoint or run comes first, then the file to write")
    if out.suffix not in writers:
        raise SettingsError(f"{out}: the name must end in .onnx or .pt2")
    trained = load_trained(checkpoint)
    shape = height_and_width(size) if size else trained.frame_size
    if shape is None and size is None and trained.frames.quality is None:
        raise SettingsError(f"{trained.path} does not state the size of its frames: say --size WIDTHxHEIGHT, or native")
    snippets = replace(trained.settings.snippets, segments=trained.segments(num_segments))
    plain, last = snippets.length == 1, snippets.length - 1
    facts = ExportedFacts(
        classes=trained.classes,
        num_segments=snippets.segments,
        sampling=SAMPLING if plain else SNIPPETS.format(last=last),
        input=f"frames: uint8 RGB (B, S, {'' if plain else f'{snippets.length}, '}H, W, 3)",
        frame_size=f"{shape[1]}x{shape[0]}" if shape else "native",
        input_size=trained.settings.input_pixels,
        model=trained.settings.model,
        split=trained.settings.split,
        tsn=own_version(),
    )
    module = EndToEnd(
        trained.network,
        frame_size=shape,
        input_size=trained.settings.input_pixels,
        normalisation=trained.settings.normalisation,
    ).eval()
    way_out = "name another file"
    with alone(out, way_out), writing(out, way_out), replacing(out) as temporary:
        free = {} if trained.settings.shift else {1: "segments"}
        example = _example((48, 64), replace(snippets, segments=3) if free else snippets)
        run = writers[out.suffix](module, facts.plain(), example, _free(example, free), temporary)
        _check(run, module, shape, snippets, out)
    return facts


def _example(size: tuple[int, int], snippets: Snippets, batch: int = 2) -> Tensor:
    generator, snippet = torch.Generator().manual_seed(0), () if snippets.length == 1 else (snippets.length,)
    shape = (batch, snippets.segments, *snippet, *size, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def _free(frames: Tensor, more: dict[int, str]) -> tuple[dict[int, Any]]:
    """Return the axes of an input that may have any size: batch, height, width, and `more`; others are as they are."""
    names = {0: "batch", **more, frames.ndim - 3: "height", frames.ndim - 2: "width"}
    return ({axis: torch.export.Dim(name) for axis, name in names.items()},)


_Axes = tuple[dict[int, Any]]
_Run = Callable[[Tensor], np.ndarray[Any, np.dtype[np.float32]]]


def _write_onnx(module: EndToEnd, facts: dict[str, str], example: Tensor, free: _Axes, path: Path) -> _Run:
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401 (torch.onnx writes with it)
    except ImportError as error:
        raise SettingsError(
            f"export to .onnx needs {error.name}: pip install '.[export]' where tsn was installed from"
        ) from None
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter about itself
        program = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            dynamic_shapes=free,
            input_names=["frames"],
            output_names=["probabilities"],
            opset_version=OPSET,
            verbose=False,
        )
    if program is None:
        raise TsnError("torch.onnx.export returned no program")
    program.model.metadata_props.update(facts)
    program.model.producer_name, program.model.producer_version = "tsn", facts["tsn"]
    program.save(path, external_data=False)
    onnx.checker.check_model(str(path))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda frames: np.asarray(session.run(None, {"frames": frames.numpy()})[0])


def _write_pt2(module: EndToEnd, facts: dict[str, str], example: Tensor, free: _Axes, path: Path) -> _Run:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(module, (example,), dynamic_shapes=free, strict=False)
        whole = io.BytesIO()  # torch ends the process where the disk is full
        torch.export.save(program, whole, extra_files={METADATA: json.dumps(facts)})
        path.write_bytes(whole.getbuffer())
        with path.open("rb") as file:
            loaded = torch.export.load(file).module()
    return lambda frames: np.asarray(loaded(frames).detach().numpy())


def _check(run: _Run, module: EndToEnd, size: tuple[int, int] | None, snippets: Snippets, out: Path) -> None:
    """Compare the file with torch on random frames, in another batch and another size than it was traced with."""
    height, width = size or (240, 320)
    for batch, shape in ((1, (height, width)), (3, (height * 3 // 4, width + 20))):
        frames = _example(shape, snippets, batch)
        with torch.inference_mode():
            wanted = module(frames).numpy()
        worst = float(np.abs(run(frames) - wanted).max())
        if not worst <= (TOLERANCE if shape == (height, width) else RESIZED):
            raise TsnError(f"{out} was not written: its probabilities differ from torch's by {worst:.2g}")
