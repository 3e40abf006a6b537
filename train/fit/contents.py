"""What a checkpoint holds, checked once and whole before anything uses it.

Facts (settings, classes, history, ...) against what they may be; weights against the network; and what a training goes
on from against the trainer that will: the same names, shapes and types, finite numbers, in memory of their own. So
neither torch nor a fused kernel is ever handed what does not fit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tsn.train.fit.folder import FREE_ON_RESUME, ROW, Row, check_history
from tsn.train.network.archive import holds_numbers
from tsn.tsn_shared import schema
from tsn.tsn_shared.errors import DataError, SettingsError
from tsn.tsn_shared.fields import from_plain
from tsn.tsn_shared.schema import WrongValueError
from tsn.tsn_shared.settings import MOST_CLASSES, MOST_EPOCHS, ExtractSettings, TrainSettings


def _class_name(value: Any, where: str) -> None:
    if not isinstance(value, str):
        raise schema.wrong(value, where, "a text")


_FACTS = schema.record(
    {
        "settings": schema.record({}),
        "classes": schema.each(_class_name, most=MOST_CLASSES),
        "history": schema.each(ROW, most=MOST_EPOCHS),
    },
    {
        "frames": schema.maybe(schema.record({"size": schema.text, "quality": schema.maybe(schema.whole())})),
        "train_sha256": schema.maybe(schema.text),
    },
)

_PLACE = schema.record({"position": schema.whole(0), "step": schema.whole(0)})

_FREE = frozenset({"position", "step", "lr", "scale", "_growth_tracker"})
"""Numbers of a training's state that are not settings: they may be others than those of a trainer that is new."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a checkpoint says of itself; older ones state neither `frames` nor `train_sha256`."""

    settings: TrainSettings
    classes: tuple[str, ...]
    frames: dict[str, Any]
    train_sha256: str | None
    history: list[Row]


def facts_of(state: dict[str, Any], path: Path) -> Facts:
    """Return what a checkpoint, or the metadata of its weights, says of itself; DataError where it cannot be."""
    try:
        _FACTS(state, "")
        if not state["classes"]:
            raise WrongValueError("classes are none")
        frames = state.get("frames") or {}
        made = {name: value for name, value in frames.items() if name in ("size", "quality") and value is not None}
        ExtractSettings(**made)
        return Facts(
            settings=from_plain(TrainSettings, state["settings"]),
            classes=tuple(state["classes"]),
            frames=frames,
            train_sha256=state.get("train_sha256"),
            history=state["history"],
        )
    except (WrongValueError, SettingsError) as error:
        raise DataError(f"{path} cannot be used: {error}") from None


def weights_of(state: dict[str, Any], own: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Return a checkpoint's weights, once they are known to fit a network's own state (which may be on meta)."""
    try:
        weights = state.get("model")
        _check_alike(weights, dict(own), "model")
    except WrongValueError as error:
        raise DataError(f"{path} does not hold the network that it says: {error}") from None
    return {name: value.detach() for name, value in weights.items()}  # type: ignore[union-attr]


def training_of(
    state: dict[str, Any], path: Path, *, own: dict[str, Any], facts: Facts, num_clips: int
) -> dict[str, Any]:
    """Return the state that a training goes on from, once it is known to fit.

    `own` is the state of the trainer that will go on, `facts` are the run's, in an epoch of `num_clips` clips. Every
    tensor is laid out as its own, which the optimiser's kernel takes for granted.
    """
    found = facts_of(state, path)
    try:
        _check_same_run(found, facts)
        check_history(found.history, "history")
        _PLACE(state, "")
        for name, value in own.items():
            if name not in state:
                raise WrongValueError(f"{name} is missing")
            _check_alike(state[name], value, name)
        epoch, tally = state["position"] // num_clips, state["tally"]
        if epoch != len(found.history):
            raise WrongValueError(f"position is in epoch {epoch}, but the history has {len(found.history)} epochs")
        if not 0 <= tally["hits"] <= tally["clips"] <= state["position"]:
            raise WrongValueError("tally counts more hits than clips, or more clips than there were")
    except WrongValueError as error:
        raise DataError(f"{path} cannot be gone on from: {error}") from None
    return state | {name: _laid_out_as(value, state[name]) for name, value in own.items()}


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
        raise WrongValueError(f"{where} holds what are no finite numbers")


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
