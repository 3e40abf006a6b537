"""A trained network loaded from a checkpoint, with the settings and facts that its answers depend on."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from train.checkpoint import find_checkpoint, load_checkpoint
from train.model import TSN, build_model
from tsn_shared.errors import DataError, SettingsError
from tsn_shared.settings import ExtractSettings, TrainSettings, from_plain
from tsn_shared.splits import Split

FACTS = "tsn"
"""Key of the facts, as JSON, in the metadata of model.safetensors."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """A network in evaluation mode, from a checkpoint.

    `frames` says how the frames that it learned from were made (`size` as WIDTHxHEIGHT or native, `quality`), and
    `train_sha256` is the digest of the names of the clips that it learned from; older checkpoints state neither.
    """

    path: Path
    network: TSN
    settings: TrainSettings
    classes: tuple[str, ...]
    epoch: int | None
    frames: dict[str, Any]
    train_sha256: str | None

    @property
    def run(self) -> Path:
        """The folder of the run that the checkpoint lies in."""
        return self.path.parent.parent if self.path.parent.name == "checkpoints" else self.path.parent

    @property
    def frame_size(self) -> tuple[int, int] | None:
        """Height and width of the frames that it learned from; None where they had many sizes, or are not stated."""
        return height_and_width(self.frames.get("size", "native"))


def height_and_width(size: str) -> tuple[int, int] | None:
    """Return the height and width of a size that is written WIDTHxHEIGHT; None for native."""
    parsed = ExtractSettings(size=size).frame_size
    return None if parsed is None else (parsed[1], parsed[0])


def load_trained(checkpoint: Path) -> Trained:
    """Load a checkpoint, the best one of a run folder, or a run's model.safetensors."""
    path = find_checkpoint(checkpoint)
    state = _from_safetensors(path) if path.suffix == ".safetensors" else load_checkpoint(path)
    settings: TrainSettings = from_plain(TrainSettings, state["settings"])
    network = build_model(settings.model, num_classes=len(state["classes"]), dropout=settings.dropout)
    _fill(network, state["model"], path)
    return Trained(
        path=path,
        network=network.eval(),
        settings=settings,
        classes=tuple(state["classes"]),
        epoch=state["history"][-1]["epoch"] if state["history"] else None,
        frames=state.get("frames") or {},
        train_sha256=state.get("train_sha256"),
    )


def facts(state: dict[str, Any]) -> dict[str, str]:
    """Return what model.safetensors says of itself, so that it can be asked alone: a checkpoint less its tensors."""
    kept = {name: state.get(name) for name in ("settings", "classes", "split", "frames", "train_sha256")}
    return {FACTS: json.dumps(kept | {"history": state["history"][-1:]})}


def settings_for(
    trained: Trained,
    *,
    frames: Path | None = None,
    splits: Path | None = None,
    split: str | None = None,
    other_split: bool = False,
) -> TrainSettings:
    """Return the checkpoint's settings with other data where stated; another split is refused unless `other_split`."""
    own = trained.settings
    if split is not None and split != own.split and not other_split:
        raise SettingsError(
            f"{trained.path} was trained on split {own.split}: test clips of split {split} were among its training "
            "clips; evaluate it on its own, or say --other-split"
        )
    return replace(own, frames=frames or own.frames, splits=splits or own.splits, split=split or own.split)


def learned_from(trained: Trained, split: Split) -> bool:
    """Whether a network learned from just the training clips of a split, as far as its checkpoint says."""
    return trained.train_sha256 in (None, split.train_sha256())


def check_split(trained: Trained, split: Split, *, other_split: bool) -> None:
    """Refuse a split of other classes, or one that goes by the right name but trains on other clips."""
    if split.classes != trained.classes[: len(split.classes)]:
        raise SettingsError(
            f"{split.path} has other classes ({len(split.classes)}) than {trained.path} ({len(trained.classes)}): "
            "evaluate it on its own split"
        )
    if not learned_from(trained, split) and not other_split:
        raise SettingsError(
            f"{split.path} is not the split that {trained.path} was trained on: it trains on other clips, so its test "
            "clips may be among those learned from; name the right --splits, or say --other-split"
        )


def _from_safetensors(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise DataError(f"{path} does not exist")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        model = load_file(path)
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path} cannot be read as safetensors: {error}") from None
    if FACTS not in metadata:
        raise DataError(f"{path} does not say how it was trained: name a run folder or a .pt file")
    state: dict[str, Any] = json.loads(metadata[FACTS])
    return state | {"model": model}


def _fill(network: TSN, state: dict[str, Any], path: Path) -> None:
    own = network.state_dict()
    for name in sorted(own.keys() | state.keys()):
        here, there = (tuple(found[name].shape) if name in found else "absent" for found in (own, state))
        if here != there:
            raise DataError(f"{path} does not hold the network that it says: {name} is {there}, not {here}")
    network.load_state_dict(state)
