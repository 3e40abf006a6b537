"""The folder of a run: settings, history, log, pictures; written by the first rank alone.

config.json        settings, classes, split and versions
metrics.jsonl      one row an epoch; summary.csv has the same
log.txt            what was said
curves.png         loss, accuracy and learning rate over epochs; events.* for TensorBoard
checkpoints/       last.pt, previous.pt, best.pt, each with its SHA-256
model.safetensors  the best weights
"""

import csv
import io
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any

from tsn.tsn_shared import schema
from tsn.tsn_shared.console import json_text, say
from tsn.tsn_shared.errors import DataError, SettingsError, brief
from tsn.tsn_shared.fields import from_plain
from tsn.tsn_shared.files import WRONG_PATH, read_bounded, write_text, writing
from tsn.tsn_shared.settings import MOST_EPOCHS, TrainSettings

Row = dict[str, float | int]

MOST_BYTES = 2**28
"""Of config.json or metrics.jsonl: a million epochs or classes."""

FREE_ON_RESUME = frozenset(
    {"gpus", "num_processes", "nnodes", "rdzv_endpoint", "max_restarts", "compile", "batch_size", "accumulate"}
    | {"decoder", "loader_threads"}
    | {"run", "resume", "frames", "splits", "save_every", "num_epochs", "weights"}
)
"""Settings that may change when a run goes on: its place in the stream of clips still means the same."""


class RunFolder:
    """A run's files; without `writes` (every rank but the first) it does nothing."""

    def __init__(self, path: Path, *, writes: bool) -> None:
        self.path, self.writes = path, writes

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    def writing(self, also: type[Exception] = OSError) -> AbstractContextManager[None]:
        """Turn a failure to write in the folder into a line for the user."""
        return writing(self.path, "mend that, or set another --run", also=also)

    def say(self, text: str) -> None:
        """Say a line and log it."""
        if self.writes:
            say(text)
            self.log(text)

    def log(self, text: str) -> None:
        """Write a line to the log, with the time."""
        if not self.writes:
            return
        with self.writing():
            self.path.mkdir(parents=True, exist_ok=True)
            with (self.path / "log.txt").open("a", encoding="utf-8") as log:
                log.write(f"{datetime.now().isoformat(sep=' ', timespec='seconds')} {text}\n")

    def write_config(self, config: dict[str, Any]) -> None:
        """Write config.json."""
        if self.writes:
            with self.writing():
                self.path.mkdir(parents=True, exist_ok=True)
                write_text(self.path / "config.json", json_text(config, indent=2) + "\n")

    def write_history(self, history: list[Row]) -> None:
        """Write metrics.jsonl and summary.csv whole: after a resume they hold no epoch twice."""
        if not self.writes:
            return
        table = io.StringIO()
        columns = dict.fromkeys(name for row in history for name in row)
        writer = csv.DictWriter(table, fieldnames=list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
        with self.writing():
            write_text(self.path / "metrics.jsonl", "".join(json_text(row) + "\n" for row in history))
            write_text(self.path / "summary.csv", table.getvalue())


def read_config(path: Path) -> dict[str, Any]:
    """Read a run's config.json, all settings in it; SettingsError for no run folder, DataError where it is damaged."""
    file = path / "config.json"
    try:
        config = schema.read_json(read_bounded(file, MOST_BYTES))
        _CONFIG(config, "")
        settings = from_plain(TrainSettings, config["settings"]).plain()
    except (OSError, ValueError, SettingsError) as error:
        if getattr(error, "errno", None) in WRONG_PATH:
            raise SettingsError(f"{path} is not a run folder: its config.json: {_reason(error)}") from None
        raise DataError(f"{file} is not that of a run: {_reason(error)}") from None
    return {**config, "settings": settings}


def read_history(run: Path) -> list[Row]:
    """Read a run's metrics.jsonl; nothing where it has none yet. DataError where it is damaged."""
    path = run / "metrics.jsonl"
    try:
        history = [schema.read_json(line) for line in read_bounded(path, MOST_BYTES).splitlines()]
        check_history(history, "epochs")
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {_reason(error)}") from None
    return history


def check_history(history: Any, where: str) -> None:
    """Check the rows of a run's epochs, from the first one on."""
    schema.each(ROW, most=MOST_EPOCHS)(history, where)
    for place, row in enumerate(history):
        if row["epoch"] != place:
            raise schema.wrong(row["epoch"], f"{where}[{place}].epoch", f"{place}")


def best_row(history: Sequence[Row]) -> Row | None:
    """Return the first row of the highest validation accuracy; None where no epoch was validated."""
    return max((row for row in history if "val_top1" in row), key=lambda row: row["val_top1"], default=None)


def _check_row(row: Any, where: str) -> None:
    _COLUMNS(row, where)
    if any(name in row for name in _VALIDATION):
        schema.record(_VALIDATION)(row, where)


_SHARE = schema.real(0, 1)
_COLUMNS = schema.record(
    {
        "epoch": schema.whole(0),
        "step": schema.whole(0),
        "lr": schema.real(0),
        "train_loss": schema.real(),
        "train_top1": _SHARE,
        "clips_per_second": schema.real(0),
        "data_wait_share": schema.real(0),
        "seconds": schema.real(0),
    }
)
_VALIDATION = {"val_loss": schema.real(), "val_top1": _SHARE, "val_top5": _SHARE}
ROW: schema.Check = _check_row
"""A row of the history: what every epoch has, and the figures of validation all or none."""

_CONFIG = schema.record(
    {
        "settings": schema.record({}),
        "split": schema.record(
            {"train": schema.whole(0), "test": schema.whole(0)}, {"path": schema.text, "sha256": schema.text}
        ),
    }
)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or brief(error)
