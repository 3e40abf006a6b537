"""What a checkpoint holds, checked once and whole before anything uses it.

Facts (settings, classes, history, ...) are checked against what they may be, weights against the network, and the
state of a training against the trainer that resumes it: the same names, shapes and types, finite numbers, in memory of
their own. So neither torch nor a fused kernel is ever given what does not fit.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tsn.train.data import StoredFrames, with_data_from
from tsn.train.fit.folder import FREE_ON_RESUME
from tsn.train.history import Row, check_order, check_rows, rows_of
from tsn.train.network.archive import holds_numbers
from tsn.tsn_shared import schema
from tsn.tsn_shared.errors import DataError, SettingsError
from tsn.tsn_shared.fields import from_plain
from tsn.tsn_shared.schema import WrongValueError
from tsn.tsn_shared.settings import MOST_CLASSES, ExtractSettings, TrainSettings


@dataclass(kw_only=True)
class Tally:
    """Sums over the steps of an epoch so far, all ranks: of losses (2**-24 nats) and hits, in clips, and of seconds."""

    loss: int = 0
    hits: int = 0
    clips: int = 0
    seconds: float = 0.0
    waited: float = 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingState:
    """All that a training's next step depends on, beside its settings and data.

    `position` counts clips served over all ranks, `step` optimiser steps, both from the run's beginning; `model`,
    `optimizer` and `scaler` are torch's own states.
    """

    model: Mapping[str, Tensor]
    optimizer: Mapping[str, object]
    scaler: Mapping[str, object]
    position: int
    step: int
    tally: Tally

    def plain(self) -> dict[str, object]:
        """Return the state by name, as a checkpoint holds it."""
        return vars(self) | {"tally": asdict(self.tally)}


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a checkpoint says of itself; older ones state neither `frames`, `train_sha256` nor `base`.

    Paths in the settings are relative to `base`, the folder that training was started in.
    """

    settings: TrainSettings
    classes: tuple[str, ...]
    frames: StoredFrames | None
    train_sha256: str | None
    history: tuple[Row, ...]
    base: str | None = None

    def plain(self) -> dict[str, object]:
        """Return the facts by name, as a checkpoint holds them."""
        return {
            "settings": self.settings.plain(),
            "classes": list(self.classes),
            "split": self.settings.split,
            "frames": self.frames and self.frames.plain(),
            "train_sha256": self.train_sha256,
            "history": [row.plain() for row in self.history],
            "base": self.base,
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """A training as it stands: what a checkpoint holds."""

    facts: Facts
    state: TrainingState

    def plain(self) -> dict[str, object]:
        """Return it by name, as the file holds it."""
        return self.state.plain() | self.facts.plain()


def _class_name(value: Any, where: str) -> None:
    if not isinstance(value, str):
        raise schema.wrong(value, where, "a text")


_FACTS = schema.record(
    {
        "settings": schema.record({}),
        "classes": schema.each(_class_name, most=MOST_CLASSES),
        "history": check_rows,
    },
    {
        "frames": schema.maybe(schema.record({"size": schema.text, "quality": schema.maybe(schema.whole())})),
        "train_sha256": schema.maybe(schema.text),
        "base": schema.maybe(schema.text),
    },
)

_PLACE = schema.record({"position": schema.whole(0), "step": schema.whole(0)})

_FREE = frozenset({"position", "step", "lr", "scale", "_growth_tracker"})
"""Numbers of a training's state that are not settings: they may be others than those of a trainer that is new."""

_NEVER_NEGATIVE = frozenset({"exp_avg_sq", "step"})
"""Tensors of AdamW: the mean of squares, of which the root is taken, and how many steps it is of."""


def facts_of(found: Any, path: Path) -> Facts:
    """Return what a checkpoint, or the metadata of its weights, says of itself, with its data where they are.

    DataError where it cannot be.
    """
    try:
        _FACTS(found, "")
        if not found["classes"]:
            raise WrongValueError("classes are none")
        base = found.get("base")
        return Facts(
            settings=with_data_from(from_plain(TrainSettings, found["settings"]), base),
            classes=tuple(found["classes"]),
            frames=_stored_frames(found.get("frames")),
            train_sha256=found.get("train_sha256"),
            history=tuple(rows_of(found["history"], "history")),
            base=base,
        )
    except (WrongValueError, SettingsError) as error:
        raise DataError(f"{path} cannot be used: {error}") from None


def weights_of(found: Any, own: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Return a checkpoint's weights, once they are known to fit a network's own state (which may be on meta)."""
    try:
        weights = found.get("model")
        _check_alike(weights, dict(own), "model")
    except WrongValueError as error:
        raise DataError(f"{path} does not hold the network that it says: {error}") from None
    return {name: value.detach() for name, value in weights.items()}


def checkpoint_of(found: Any, path: Path, *, own: TrainingState, facts: Facts, num_clips: int) -> Checkpoint:
    """Return the checkpoint that a training resumes from, once it is known to fit; DataError where it does not.

    `own` is the state of the trainer that resumes it, `facts` are the run's; an epoch has `num_clips` clips. Every
    tensor is laid out as its own, which the optimiser's kernel takes for granted.
    """
    there = facts_of(found, path)
    try:
        _check_same_run(there, facts)
        check_order(there.history, "history")
        _PLACE(found, "")
        for name, value in own.plain().items():
            if name not in found:
                raise WrongValueError(f"{name} is missing")
            _check_alike(found[name], value, name)
        _check_steps(found["optimizer"]["state"], found["step"])
        epoch, tally = found["position"] // num_clips, found["tally"]
        if epoch != len(there.history):
            raise WrongValueError(f"position is in epoch {epoch}, but the history has {len(there.history)} epochs")
        if not 0 <= tally["hits"] <= tally["clips"] <= found["position"]:
            raise WrongValueError("tally counts more hits than clips, or more clips than there were")
    except WrongValueError as error:
        raise DataError(f"{path} cannot be resumed from: {error}") from None
    state = {name: _laid_out_as(value, found[name]) for name, value in own.plain().items()}
    return Checkpoint(facts=there, state=TrainingState(**state | {"tally": Tally(**state["tally"])}))


def _stored_frames(stated: Any) -> StoredFrames | None:
    """Return how the frames were made; None where that is not stated. SettingsError for what cannot be."""
    if not stated:
        return None
    made = {name: value for name, value in stated.items() if name in ("size", "quality") and value is not None}
    ExtractSettings(**made)
    return StoredFrames(**made)


def _check_same_run(found: Facts, run: Facts) -> None:
    if found.classes != run.classes or found.train_sha256 not in (None, run.train_sha256):
        raise WrongValueError("it is of other classes or training clips than this run")
    there, here = found.settings.plain(), run.settings.plain()
    for name, value in here.items():
        if name not in FREE_ON_RESUME and there[name] != value:
            raise WrongValueError(f"settings.{name} is {schema.shown(there[name])}, in config.json {value}")


def _check_alike(found: Any, own: Any, where: str) -> None:
    """Check that a value is built as `own` is: names, lengths, types, shapes; and that its numbers are numbers."""
    if isinstance(own, Tensor):
        _check_tensor(found, own, where)
    elif isinstance(own, dict):
        _check_same_names(found, own, where)
        for name, value in own.items():
            _check_alike(found[name], value, f"{where}.{name}")
    elif isinstance(own, list | tuple):
        if not isinstance(found, list | tuple) or len(found) != len(own):
            raise schema.wrong(found, where, f"a list of {len(own)}")
        for place, value in enumerate(own):
            _check_alike(found[place], value, f"{where}[{place}]")
    elif isinstance(own, bool | None):
        schema.maybe(schema.flag)(found, where)
    else:
        _check_number(found, own, where)


def _check_same_names(found: Any, own: dict[Any, Any], where: str) -> None:
    if not isinstance(found, dict):
        raise schema.wrong(found, where, "values by name")
    for name in [*own, *found]:
        if name not in found or name not in own:
            there = "missing" if name not in found else "unknown"
            raise WrongValueError(f"{where}.{schema.word(name)} is {there}")


def _check_number(found: Any, own: Any, where: str) -> None:
    counts = isinstance(own, int) and not where.startswith("optimizer.")  # there 0 and 0.0 are one setting
    (schema.whole(0) if counts else schema.real(0))(found, where)
    name = where.rpartition(".")[2]
    if name == "scale" and found == 0:
        raise schema.wrong(found, where, "more than 0")
    if name not in _FREE and not where.startswith("tally.") and found != own:
        raise schema.wrong(found, where, f"{own}, as the settings say")


def _check_tensor(found: Any, own: Tensor, where: str) -> None:
    if not isinstance(found, Tensor):
        raise schema.wrong(found, where, "a tensor")
    if found.shape != own.shape:
        raise WrongValueError(f"{where} is {tuple(found.shape)}, not {tuple(own.shape)}")
    if found.dtype != own.dtype:
        raise WrongValueError(f"{where} is of {found.dtype}, not {own.dtype}")
    if not _is_dense(found):
        raise WrongValueError(f"{where} does not hold a number at each of its places")
    if not holds_numbers(found):
        raise WrongValueError(f"{where} holds numbers that are not finite")
    if where.startswith("optimizer.") and where.rpartition(".")[2] in _NEVER_NEGATIVE and bool((found < 0).any()):
        raise WrongValueError(f"{where} holds numbers below 0")


def _check_steps(state: Mapping[int, Mapping[str, Tensor]], most: int) -> None:
    """Check that AdamW has counted no more steps of a parameter than were taken."""
    for name, kept in state.items():
        steps = float(kept.get("step", 0))
        if steps > most or steps != int(steps):
            raise WrongValueError(f"optimizer.state.{name}.step is {steps:g}, of {most} that were taken")


def _is_dense(tensor: Tensor) -> bool:
    """Whether every number of a tensor has a place of its own, with none between: in any order of its axes."""
    if tensor.layout != torch.strided:
        return False
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size > 1:
            if stride != expected:
                return False
            expected *= size
    return True


def _laid_out_as(own: Any, found: Any) -> Any:
    if isinstance(own, Tensor):
        return torch.empty_like(own, device="cpu", requires_grad=False).copy_(found.detach())
    if isinstance(own, dict):
        return {name: _laid_out_as(value, found[name]) for name, value in own.items()}
    if isinstance(own, list | tuple):
        return type(own)(_laid_out_as(*pair) for pair in zip(own, found, strict=True))
    return found
