"""Where an epoch's figures go: metrics.jsonl, TensorBoard, the log, the curves, a tracker.

One more place is one more class.

And what is said of them in words: a line an epoch, and the closing verdict.
"""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Protocol

from tsn.train.fit.beside import Beside
from tsn.train.fit.folder import RunFolder
from tsn.train.fit.trackers import SCALARS, TRACKERS
from tsn.train.history import Row
from tsn.train.pictures import draw_curves
from tsn.tsn_shared.console import moment
from tsn.tsn_shared.settings import TrainSettings

STARVED = 0.05
"""Share of the time spent waiting for data above which a run is called data-bound."""

DRAW_EVERY = 30.0
"""Seconds between two drawings of the curves."""


class Reporter(Protocol):
    """Tells each epoch's figures somewhere, once the epoch is over."""

    def epoch(self, row: Row) -> None:
        """Tell an epoch's figures."""

    def close(self) -> None:
        """End; also where training was stopped or has failed."""


def open_reporters(
    folder: RunFolder, settings: TrainSettings, history: Sequence[Row], stack: ExitStack
) -> list[Reporter]:
    """Return the reporters of a run that goes on from a history; none on a rank that writes nothing.

    The stack closes them.
    """
    if not folder.writes:
        return []
    reporters: list[Reporter] = []
    kinds: list[Callable[[RunFolder, TrainSettings, Sequence[Row]], Reporter]]
    kinds = [HistoryFiles, TensorBoard, EpochLog, Curves]
    if settings.track is not None:
        kinds.append(TRACKERS[settings.track])
    for kind in kinds:
        reporter = kind(folder, settings, history)
        stack.callback(reporter.close)
        reporters.append(reporter)
    return reporters


class HistoryFiles:
    """metrics.jsonl and summary.csv."""

    def __init__(self, folder: RunFolder, settings: TrainSettings, history: Sequence[Row]) -> None:
        self._folder, self._history = folder, list(history)

    def epoch(self, row: Row) -> None:
        """Write both files whole."""
        self._history.append(row)
        self._folder.write_history(self._history)

    def close(self) -> None:
        """Do nothing: the files are closed."""


class TensorBoard:
    """TensorBoard's event files; what they hold of epochs after the history is no longer shown."""

    def __init__(self, folder: RunFolder, settings: TrainSettings, history: Sequence[Row]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._folder = folder
        with folder.writing():
            self._writer = SummaryWriter(str(folder.path), purge_step=len(history))

    def epoch(self, row: Row) -> None:
        """Write a scalar for each figure."""
        figures = row.plain()
        with self._folder.writing():
            for name, tag in SCALARS.items():
                if name in figures:
                    self._writer.add_scalar(tag, figures[name], row.epoch)

    def close(self) -> None:
        """Close the event file."""
        self._writer.close()


class EpochLog:
    """A line an epoch, said and logged."""

    def __init__(self, folder: RunFolder, settings: TrainSettings, history: Sequence[Row]) -> None:
        self._folder, self._num_epochs = folder, settings.num_epochs
        self._begun, self._done = time.monotonic(), 0

    def epoch(self, row: Row) -> None:
        """Say the line, with the time when the run ends if its epochs go on as they have since this start."""
        self._done += 1
        an_epoch = (time.monotonic() - self._begun) / self._done
        self._folder.say(epoch_line(row, left=an_epoch * (self._num_epochs - row.epoch - 1)))

    def close(self) -> None:
        """Do nothing: every line is written."""


class Curves:
    """curves.png, drawn in a thread now and then, and at the end of the last epoch."""

    def __init__(self, folder: RunFolder, settings: TrainSettings, history: Sequence[Row]) -> None:
        self._folder, self._settings, self._history = folder, settings, list(history)
        self._drawing, self._drawn = Beside("tsn-curves"), -math.inf

    def epoch(self, row: Row) -> None:
        """Draw, if the last drawing was a while ago or no epoch follows."""
        self._history.append(row)
        due = time.monotonic() - self._drawn > DRAW_EVERY and not self._drawing.busy
        if due or row.epoch + 1 >= self._settings.num_epochs:
            self._drawing.begin(partial(draw, self._folder, self._settings, list(self._history)))
            self._drawn = time.monotonic()

    def close(self) -> None:
        """Wait for the picture that is being drawn."""
        self._drawing.close()


def draw(folder: RunFolder, settings: TrainSettings, history: Sequence[Row]) -> None:
    """Draw a run's curves.png."""
    title = f"{settings.model}, {settings.segments} segments, split {settings.split} ({folder.path.name})"
    with folder.writing():
        draw_curves(history, folder.path / "curves.png", title)


def epoch_line(row: Row, *, left: float) -> str:
    """Return an epoch's line: the run ends in `left` seconds."""
    shown = {
        " | val loss {:.3f}": row.val_loss,
        ", top-1 {:.1%}": row.val_top1,
        ", top-5 {:.1%}": row.val_top5,
        ", mean class {:.1%}": row.val_mean_class_accuracy,
    }
    validation = "".join(form.format(value) for form, value in shown.items() if value is not None)
    return (
        f"epoch {row.epoch}: loss {row.train_loss:.3f}, top-1 {row.train_top1:.1%}{validation} | "
        f"{row.clips_per_second:,.1f} clips/s, {row.data_wait_share:.1%} waiting for data, "
        f"the run ends {moment(left)}"
    )


def verdict(history: Sequence[Row], *, on_gpu: bool, precision: str) -> str:
    """Say in one sentence whether a run was short of data or of compute, by how much, and what to change."""
    seconds = max(sum(row.seconds for row in history), 1e-9)
    rate = sum(row.clips_per_second * row.seconds for row in history) / seconds
    share = sum(row.data_wait_share * row.seconds for row in history) / seconds
    waiting = f"{share:.1%} of the time went on waiting for clips"
    if share > STARVED:
        knob = "give each rank more cores, or --frames on a faster disk; `tsn bench loader` says which is short"
        return (
            f"data-bound at {rate:,.1f} clips/s: {waiting}, and without it the run would make "
            f"{rate / max(1 - share, 0.001):,.1f}: {knob}"
        )
    if not on_gpu:
        knob = "a GPU, a smaller --input-size or fewer --num-segments"
    elif precision == "fp32":
        knob = "--precision bf16 or more --gpus"
    else:
        knob = "more --gpus or a smaller --input-size"
    return (
        f"compute-bound at {rate:,.1f} clips/s: only {waiting}, so {knob} would speed it up, a faster loader would not"
    )
