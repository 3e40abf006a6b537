"""A trained network loaded from a checkpoint, with the settings and facts that its answers depend on."""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from tsn.train.fit.checkpoint import find_checkpoint, load_checkpoint
from tsn.train.fit.contents import facts_of, weights_of
from tsn.train.fit.folder import Row
from tsn.train.network.model import TSN, shapes_of
from tsn.tsn_shared import schema
from tsn.tsn_shared.errors import DataError, SettingsError, brief
from tsn.tsn_shared.settings import ExtractSettings, TrainSettings
from tsn.tsn_shared.splits import Split

FACTS, DIGEST = "tsn", "tsn-sha256"
"""Keys of the metadata of model.safetensors: its facts, as JSON, and the SHA-256 of facts and weights."""


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
    """Load a checkpoint, the best one of a run folder, or a run's model.safetensors; DataError says what is wrong.

    The network takes its weights as they were read, once they fit: what a file claims of its classes takes no memory.
    """
    path = find_checkpoint(checkpoint)
    state = _from_safetensors(path) if path.suffix == ".safetensors" else load_checkpoint(path)
    facts = facts_of(state, path)
    network = shapes_of(facts.settings, len(facts.classes))
    weights = weights_of(state, network.state_dict(), path)
    network.load_state_dict({name: value.contiguous() for name, value in weights.items()}, assign=True)
    return Trained(
        path=path,
        network=network.eval(),
        settings=facts.settings,
        classes=facts.classes,
        epoch=int(facts.history[-1]["epoch"]) if facts.history else None,
        frames=facts.frames,
        train_sha256=facts.train_sha256,
    )


def metadata(state: dict[str, Any], weights: dict[str, Tensor]) -> dict[str, str]:
    """Return what model.safetensors says of itself, so that it can be asked alone: a checkpoint less its tensors.

    And the SHA-256 of both, for nothing else notices a flipped bit in such a file.
    """
    kept = {name: state.get(name) for name in ("settings", "classes", "split", "frames", "train_sha256")}
    facts = json.dumps(kept | {"history": state["history"][-1:]})
    return {FACTS: facts, DIGEST: _digest(facts, weights)}


def row_of(path: Path) -> Row | None:
    """Return the row of the epoch that a model.safetensors is of; None where it is not there, or cannot say."""
    try:
        with safe_open(path, framework="pt") as file:
            state = schema.read_json((file.metadata() or {})[FACTS])
        row: Row = state["history"][-1]
        return row
    except (SafetensorError, OSError, ValueError, LookupError, TypeError):
        return None


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
            stated = file.metadata() or {}
        model = load_file(path)
    except Exception as error:  # of a hostile header its reader raises more than its own
        raise DataError(f"{path} cannot be read as safetensors: {brief(error)}") from None
    if FACTS not in stated:
        raise DataError(f"{path} does not say how it was trained: name a run folder or a .pt file")
    if DIGEST in stated and stated[DIGEST] != _digest(stated[FACTS], model):  # older ones have none
        raise DataError(f"{path} is damaged: its SHA-256 is another than it says")
    try:
        state = schema.read_json(stated[FACTS])
        schema.record({})(state, FACTS)
    except ValueError as error:
        raise DataError(f"{path} cannot be used: what it says of itself is no JSON of facts: {error}") from None
    return {**state, "model": model}


def _digest(facts: str, weights: dict[str, Tensor]) -> str:
    digest = hashlib.sha256(facts.encode())
    for name, value in sorted(weights.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
