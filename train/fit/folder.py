"""The folder of a run: settings, history, log, pictures; written by the first rank alone.

config.json        settings, classes, split and versions
metrics.jsonl      one row an epoch; summary.csv has the same
log.txt            what was said
curves.png         loss, accuracy and learning rate over epochs; events.* for TensorBoard
checkpoints/       last.pt, previous.pt, best.pt, each with its SHA-256
model.safetensors  the best weights
wandb-id.txt       which run of Weights & Biases it is; wandb/ has what that keeps here
"""

import csv
import io
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tsn.train.data import SplitFacts, with_data_from
from tsn.train.history import Row, check_order, rows_of
from tsn.tsn_shared import schema
from tsn.tsn_shared.console import json_text, say
from tsn.tsn_shared.errors import DataError, SettingsError, brief
from tsn.tsn_shared.fields import from_plain
from tsn.tsn_shared.files import WRONG_PATH, read_bounded, write_text, writing
from tsn.tsn_shared.settings import MOST_CLASSES, TrainSettings

CONFIG = "config.json"
LAST, PREVIOUS, BEST = "last.pt", "previous.pt", "best.pt"
"""File names of the checkpoints."""

MOST_BYTES = 2**28
"""Of config.json or metrics.jsonl: a million epochs or classes."""

LONGEST = 100
"""Letters of a version."""

FREE_ON_RESUME = frozenset(
    {"gpus", "num_processes", "nnodes", "rdzv_endpoint", "max_restarts", "compile", "batch_size", "accumulate"}
    | {"decoder", "loader_threads", "track"}
    | {"run", "resume", "frames", "splits", "save_every", "num_epochs", "weights"}
)
"""Settings that may change when a run goes on: its place in the stream of clips still means the same."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What config.json holds; its versions, and the threads of the CPU, are there to be told.

    Paths are relative to `base`, the folder that training was started in; older runs do not state it.
    """

    settings: TrainSettings
    split: SplitFacts
    base: str | None
    classes: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    def plain(self) -> dict[str, object]:
        """Return it by name, as the file holds it."""
        return {
            "settings": self.settings.plain(),
            "split": self.split.plain(),
            "classes": list(self.classes),
            "versions": dict(self.versions),
            "base": self.base,
        }


def what_changed(before: Config, now: Config) -> list[str]:
    """Say what a run that goes on computes otherwise than before: by other versions, threads or learning rates."""
    words = [
        f"{name}: {value}, and {before.versions[name]} before: sums may differ in their last bits"
        for name, value in now.versions.items()
        if before.versions.get(name, value) != value
    ]
    epochs, mode = now.settings.num_epochs, now.settings.lr_mode
    if mode != "step" and epochs != before.settings.num_epochs:
        words.append(
            f"{epochs} epochs in place of {before.settings.num_epochs}: learning rates are those of a {mode} schedule "
            f"of {epochs} from here on"
        )
    return words


class RunFolder:
    """A run's files; without `writes` (every rank but the first) it does nothing."""

    def __init__(self, path: Path, *, writes: bool) -> None:
        self.path, self.writes = path, writes

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    def writing(self, *, library_error: type[Exception] = OSError) -> AbstractContextManager[None]:
        """Turn a failure to write in the folder into a line for the user."""
        return writing(self.path, "put that right, or set another --run", library_error=library_error)

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

    def write_config(self, config: Config) -> None:
        """Write config.json."""
        if self.writes:
            with self.writing():
                self.path.mkdir(parents=True, exist_ok=True)
                write_text(self.path / CONFIG, json_text(config.plain(), indent=2) + "\n")

    def write_history(self, history: list[Row]) -> None:
        """Write metrics.jsonl and summary.csv whole: after a resume they hold no epoch twice."""
        if not self.writes:
            return
        rows, table = [row.plain() for row in history], io.StringIO()
        columns = dict.fromkeys(name for row in rows for name in row)
        writer = csv.DictWriter(table, fieldnames=list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        with self.writing():
            write_text(self.path / "metrics.jsonl", "".join(json_text(row) + "\n" for row in rows))
            write_text(self.path / "summary.csv", table.getvalue())


def read_config(path: Path) -> Config:
    """Read a run's config.json, with its data where they are.

    SettingsError for no run folder, DataError where it is damaged.
    """
    file = path / CONFIG
    try:
        config = schema.read_json(read_bounded(file, MOST_BYTES))
        _CONFIG(config, "")
        facts = {name: value for name, value in config["split"].items() if name in SplitFacts.__annotations__}
        settings, base = from_plain(TrainSettings, config["settings"]), config.get("base")
        classes = tuple(config.get("classes", ()))
        return Config(
            settings=with_data_from(settings, base),
            split=SplitFacts(**facts),
            base=base,
            classes=classes,
            versions=_texts(config.get("versions")),
        )
    except (OSError, ValueError, SettingsError) as error:
        if getattr(error, "errno", None) in WRONG_PATH:
            raise SettingsError(f"{path} is not a run folder: its config.json: {_reason(error)}") from None
        raise DataError(f"{file} is not that of a run: {_reason(error)}") from None


def _texts(found: Any) -> dict[str, str]:
    """Return what texts a file gives by name: they are told, and decide nothing."""
    items = found.items() if isinstance(found, dict) else ()
    return {name: value for name, value in items if isinstance(value, str) and len(value) < LONGEST}


def read_history(run: Path) -> list[Row]:
    """Read a run's metrics.jsonl; nothing where it has none yet. DataError where it is damaged."""
    path = run / "metrics.jsonl"
    try:
        lines = read_bounded(path, MOST_BYTES).splitlines()
        history = rows_of([schema.read_json(line) for line in lines], "epochs")
        check_order(history, "epochs")
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {_reason(error)}") from None
    return history


_CONFIG = schema.record(
    {
        "settings": schema.record({}),
        "split": schema.record(
            {"train": schema.whole(0), "test": schema.whole(0)},
            {"path": schema.text, "sha256": schema.text, "val": schema.whole(0), "best_epoch": schema.text},
        ),
    },
    {"base": schema.maybe(schema.text), "classes": schema.each(schema.text, most=MOST_CLASSES)},
)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or brief(error)
