"""Trackers: services that show the runs of many people and machines, told of each epoch where `--track` asks for one.

A tracker is a reporter, imported when it is asked for. One more is one more class and a row of `TRACKERS`.
"""

import os
import re
import secrets
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from tsn.train.fit.folder import RunFolder
from tsn.train.history import Row
from tsn.tsn_shared.errors import DataError, SettingsError, brief
from tsn.tsn_shared.files import read_bounded, write_text
from tsn.tsn_shared.schema import shown
from tsn.tsn_shared.settings import TrainSettings

SCALARS = {
    "train_loss": "loss/train",
    "val_loss": "loss/validation",
    "train_top1": "top1/train",
    "val_top1": "top1/validation",
    "val_top5": "top5/validation",
    "val_mean_class_accuracy": "mean_class_accuracy/validation",
    "lr": "recipe/lr",
    "clips_per_second": "speed/clips_per_second",
    "data_wait_share": "speed/data_wait_share",
}
"""Where TensorBoard and trackers show a column: what belongs together shares a group."""


class Wandb:
    """A run of Weights & Biases: its own settings say which project, and whether on the network (`WANDB_MODE`).

    The run's identifier is kept in the run folder, so that a training that goes on does so in the same run.
    """

    def __init__(self, folder: RunFolder, settings: TrainSettings, history: Sequence[Row]) -> None:
        import wandb

        self._last_epoch, self._told = settings.num_epochs - 1, len(history) - 1
        identifier = _identifier(folder, "wandb-id.txt")
        try:
            with folder.writing():
                self._run = wandb.init(
                    project=os.environ.get("WANDB_PROJECT", "tsn"),
                    dir=str(folder.path),
                    id=identifier,
                    name=folder.path.resolve().name,
                    config=settings.plain(),
                    resume="allow",
                    allow_val_change=True,  # of settings that may change where a run goes on
                    settings=wandb.Settings(silent=True, console="off"),
                )
        except wandb.Error as error:
            raise SettingsError(
                f"--track wandb: {brief(error)}: `wandb login` first, or set WANDB_MODE=offline"
            ) from None
        self._run.define_metric("*", step_metric="epoch")
        offline = f"offline: `wandb sync {Path(self._run.dir).parent}` sends what this start adds"
        where = offline if self._run.offline else self._run.url
        folder.say(f"wandb: run {identifier}, {where}")

    def epoch(self, row: Row) -> None:
        """Log the figures over epochs."""
        figures = row.plain()
        self._run.log({"epoch": row.epoch} | {tag: figures[name] for name, tag in SCALARS.items() if name in figures})
        self._told = row.epoch

    def close(self) -> None:
        """End the run: as failed where epochs are left, until it goes on."""
        self._run.finish(exit_code=0 if self._told >= self._last_epoch else 1)


TRACKERS: dict[str, Callable[[RunFolder, TrainSettings, Sequence[Row]], Wandb]] = {"wandb": Wandb}
"""By the names that `--track` takes, which are also those of their packages and of our extras."""


def check_tracker(settings: TrainSettings) -> None:
    """Refuse a tracker whose package is not installed."""
    if settings.track is not None and find_spec(settings.track) is None:
        raise SettingsError(
            f"--track {settings.track}: its package is not installed: "
            f"pip install '.[{settings.track}]' where tsn was installed from"
        )


def _identifier(folder: RunFolder, name: str) -> str:
    """Return what a tracker knows a run by: as a file of its folder says, or drawn anew and kept there."""
    path = folder.path / name
    try:
        found = read_bounded(path, 4096).decode("utf-8", errors="replace").strip()
    except FileNotFoundError:
        found = secrets.token_hex(4)
        with folder.writing():
            write_text(path, found + "\n")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    if not re.fullmatch(r"[0-9A-Za-z_-]{1,64}", found):
        raise DataError(f"{path} holds {shown(found)}, which is no run's identifier: remove it to begin another")
    return found
