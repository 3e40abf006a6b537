"""What a network starts from: the weights that torchvision or timm offers, nothing, or a file."""

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from safetensors.torch import load_file
from torch import Tensor

from tsn.train.network.archive import holds_numbers, read_pt
from tsn.train.network.backbones import backbone_of
from tsn.train.network.modalities import RGB, widened
from tsn.train.network.model import TSN
from tsn.tsn_shared.console import counted, some
from tsn.tsn_shared.errors import DataError, SettingsError, brief
from tsn.tsn_shared.nearest import absent
from tsn.tsn_shared.settings import TIMM


def load_weights(model: TSN, name: str, weights: str) -> str:
    """Read `weights` (imagenet, none or a file) into a model and return a line that says what was loaded."""
    return fill(model, name, read_weights(name, weights), weights)


def read_weights(name: str, weights: str) -> dict[str, Tensor]:
    """Read a state dict, of torchvision, timm or MMAction2 (.pth, .safetensors), or of us; nothing for none."""
    if weights == "none":
        return {}
    return _imagenet(name) if weights == "imagenet" else _file(Path(weights))


def fill(model: TSN, name: str, state: dict[str, Tensor], weights: str) -> str:
    """Fill a model with a state dict that `read_weights` has read, and return a line that says what was loaded.

    A last layer of another number of classes stays as it was drawn; any other difference is an error that names the
    tensor.
    """
    if weights == "none":
        return "weights: drawn at random"
    source = weights
    if weights == "imagenet":
        source = f"timm's weights of {name}" if name.startswith(TIMM) else f"torchvision's ImageNet weights of {name}"
    kept = _load(model, name, state, source)
    return f"weights: {source}" + (f"; the last layer {kept}" if kept else "")


def _imagenet(name: str) -> dict[str, Tensor]:
    entry = backbone_of(name).imagenet()
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(entry.url).name
    try:
        with redirect_stdout(sys.stderr):
            state: dict[str, Tensor] = entry.get_state_dict(progress=False, check_hash=True)
    except (URLError, OSError, RuntimeError) as error:
        reason = getattr(error, "reason", brief(error))
        way_out = f"put {entry.url} at {file}, or use --weights FILE"
        if name.startswith(TIMM):
            way_out = f"fetch {entry.url} and use --weights FILE,"
        raise SettingsError(
            f"--weights imagenet: the download failed ({reason}): {way_out} or --weights none"
        ) from None
    return state


def _file(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise SettingsError(f"--weights {absent(path)}: it takes imagenet, none or a file")
    state: Any
    if path.suffix == ".safetensors":
        try:
            state = load_file(path)
        except Exception as error:
            raise DataError(f"{path} cannot be read as weights: {brief(error)}") from None
    else:
        state = read_pt(path, "weights")
    for key in ("model", "state_dict"):  # ours has it in the first, Lightning's, MMAction2's and others in the second
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
        raise DataError(
            f"--weights {path} holds no state dict of tensors: it is one itself, or has one in `model` or `state_dict`"
        )
    names = {key: key.removeprefix("module.").removeprefix("backbone.") for key in state}
    return {name: state[key] for key, name in names.items() if not name.startswith("data_preprocessor.")}


def _load(model: TSN, name: str, state: dict[str, Tensor], source: str) -> str:
    """Copy a state dict into the backbone; return what is said of the last layer if it was left out, else ''.

    It is left out where it is absent or of another number of classes, and where nothing else differs.
    """
    row = backbone_of(name)
    own, last = model.backbone.state_dict(), row.last_layer + "."
    theirs = [key for key in state if key.startswith(tuple(f"{name}." for name in row.left_out))]
    state = row.adapt(model.backbone, {key: value for key, value in state.items() if key not in theirs})
    state = _for_channels(state, row.first_layer + ".weight", own)
    if f"{last}1.weight" in own and f"{last}weight" in state:  # torchvision's, without the dropout before it
        state = {key.replace(last, f"{last}1.") if key.startswith(last) else key: v for key, v in state.items()}
    # files from before torch 0.4.1 do not count the batches of batch normalisation, which nothing here reads
    state = {key: value for key, value in own.items() if key.endswith(".num_batches_tracked")} | state
    fits = {key: value for key, value in state.items() if key in own and own[key].shape == value.shape}
    wrong = sorted((own.keys() | state.keys()) - fits.keys())
    foreign = [key for key in wrong if not key.startswith(last) or not _same_but_classes(own.get(key), state.get(key))]
    if foreign:
        first = min(foreign, key=lambda key: key.startswith(last))
        raise DataError(
            f"{source} does not fit {name}: {len(foreign)} tensors differ, the first is {first}: "
            f"{_shapes(own, state, first)}"
        )
    for key, value in fits.items():
        if not holds_numbers(value):
            raise DataError(f"{source} cannot be used: {key} holds what are no finite numbers")
    model.backbone.load_state_dict(own | fits)
    left_out = f"; the file's own is left out: {some(theirs, shown=2)}" if theirs else ""
    classes = len(own[wrong[-1]]) if wrong else 0
    return f"({last[:-1]}) is new, for {counted(classes, 'class', 'classes')}{left_out}" if wrong else ""


def _for_channels(state: dict[str, Tensor], first: str, own: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights of an RGB network for one that takes other channels."""
    weights = state.get(first)
    channels = own[first].shape[1] if first in own else RGB
    if weights is None or channels == RGB or weights.ndim != 4 or weights.shape[1] != RGB:
        return state
    return state | {first: widened(weights, channels)} if weights.is_floating_point() else state


def _same_but_classes(own: Tensor | None, other: Tensor | None) -> bool:
    """Whether a tensor of the last layer differs in the number of classes alone, or is absent in the file."""
    return other is None or (own is not None and own.shape[1:] == other.shape[1:])


def _shapes(own: dict[str, Tensor], state: dict[str, Tensor], key: str) -> str:
    there, here = ("absent" if key not in found else tuple(found[key].shape) for found in (state, own))
    return f"{there} there, {here} here"
