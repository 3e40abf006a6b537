"""What a network starts from: torchvision's ImageNet weights, nothing, or a file."""

from pathlib import Path
from urllib.error import URLError

import torch
from safetensors.torch import load_file
from torch import Tensor

from train.model import IMAGENET, LAST_LAYERS, TSN
from tsn_shared.errors import DataError, SettingsError


def load_weights(model: TSN, name: str, weights: str) -> str:
    """Load `weights` (imagenet, none or a file) into a model and return a line that says what was loaded.

    A file is a torchvision state dict (.pth), .safetensors, or one of our checkpoints. A last layer of another number
    of classes stays as it was drawn; any other difference is an error that names the tensor.
    """
    if weights == "none":
        return "weights: drawn at random"
    if weights == "imagenet":
        state, source = _imagenet(name), f"torchvision's ImageNet weights of {name}"
    else:
        state, source = _file(Path(weights)), weights
    kept = _load(model, name, state, source)
    return f"weights: {source}" + (f"; the last layer ({kept}) is new" if kept else "")


def _imagenet(name: str) -> dict[str, Tensor]:
    entry = IMAGENET[name]()
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(entry.url).name
    try:
        state: dict[str, Tensor] = entry.get_state_dict(progress=False, check_hash=True)
    except (URLError, OSError, RuntimeError) as error:
        reason = getattr(error, "reason", error)
        raise SettingsError(
            f"--weights imagenet: the download failed ({reason}): put {entry.url} at {file}, "
            "or use --weights FILE or --weights none"
        ) from None
    return state


def _file(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise SettingsError(f"--weights {path}: no such file; it takes imagenet, none or a file")
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise DataError(f"--weights {path} cannot be read as weights: {str(error).splitlines()[0][:200]}") from None
    if isinstance(state, dict) and "model" in state and isinstance(state["model"], dict):
        state = state["model"]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise DataError(f"--weights {path} holds no state dict of tensors")
    return {key.removeprefix("backbone."): value for key, value in state.items()}


def _load(model: TSN, name: str, state: dict[str, Tensor], source: str) -> str:
    """Copy a state dict into the backbone; return the prefix of the last layer if it was left out, else ''."""
    own = model.backbone.state_dict()
    last = LAST_LAYERS[name]
    fits = {key: value for key, value in state.items() if key in own and own[key].shape == value.shape}
    wrong = sorted((own.keys() | state.keys()) - fits.keys())
    foreign = [key for key in wrong if not key.startswith(last + ".")]
    if foreign:
        key = foreign[0]
        shape = {"here": own.get(key), "there": state.get(key)}
        words = ", ".join(f"{k}: {'absent' if t is None else tuple(t.shape)}" for k, t in shape.items())
        raise DataError(f"{source} does not fit {name}: {len(foreign)} tensors differ, the first is {key} ({words})")
    model.backbone.load_state_dict(own | fits)
    return last if wrong else ""
