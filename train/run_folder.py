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
import json
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any

from tsn_shared.console import say
from tsn_shared.errors import DataError, SettingsError
from tsn_shared.files import write_text, writing

Row = dict[str, float | int]


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
                write_text(self.path / "config.json", json.dumps(config, indent=2) + "\n")

    def write_history(self, history: list[Row]) -> None:
        """Write metrics.jsonl and summary.csv whole: after a resume they hold no epoch twice."""
        if not self.writes:
            return
        table = io.StringIO()
        writer = csv.DictWriter(table, fieldnames=list(history[0]) if history else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
        with self.writing():
            write_text(self.path / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in history))
            write_text(self.path / "summary.csv", table.getvalue())


def read_config(path: Path) -> dict[str, Any]:
    """Read a run's config.json; SettingsError where it is no run folder."""
    try:
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise SettingsError(f"{path} is not a run folder: it has no readable config.json") from None
    if not isinstance(config, dict) or not all(isinstance(config.get(name), dict) for name in ("settings", "split")):
        raise SettingsError(f"{path / 'config.json'} is not that of a run: settings or split are missing")
    return config


def read_history(run: Path) -> list[Row]:
    """Read a run's metrics.jsonl; nothing where it has none yet. DataError where it is damaged."""
    path = run / "metrics.jsonl"
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
