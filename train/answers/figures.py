"""The figures of an evaluation, of one network, of several fused, or over several splits, and what they state."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from tsn.train.metrics import ClassMetrics, Metrics
from tsn.tsn_shared.splits import Subset

RATES = tuple(entry.name for entry in fields(Metrics) if entry.name != "clips")
"""Figures that are means over clips, so that several splits have a mean of them."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """The figures of a pass over the test clips of a split, and of what it was: one network, or several fused.

    `chosen_on_these` says that the best epoch was chosen on the clips that are scored, as where a split has no val.
    `epoch` is the checkpoint's, None where it states none or several are fused; `weights` are those of a fusion.
    """

    checkpoints: tuple[Path, ...]
    epoch: int | None = None
    weights: tuple[float, ...] | None = None
    protocol: str
    num_segments: int
    split: str
    trained_on_split: str
    own_split: bool
    subset: Subset
    chosen_on_these: bool
    metrics: Metrics
    per_class: tuple[ClassMetrics, ...]

    def plain(self) -> dict[str, object]:
        """Return the figures by name, as scores.json holds them."""
        paths = [str(path) for path in self.checkpoints]
        asked: dict[str, object] = (
            {"checkpoint": paths[0], "epoch": self.epoch}
            if self.weights is None
            else {"checkpoint": paths, "weights": list(self.weights)}
        )
        stated = ("protocol", "num_segments", "split", "trained_on_split", "own_split", "subset", "chosen_on_these")
        return {
            **asked,
            **{name: getattr(self, name) for name in stated},
            **self.metrics.plain(),
            "per_class": [asdict(row) for row in self.per_class],
        }


@dataclass(frozen=True, kw_only=True)
class MeanFigures:
    """The figures of runs on different splits, and their mean, as papers report it."""

    runs: tuple[Figures, ...]

    @property
    def mean(self) -> Metrics:
        """The mean of each figure over the runs; `clips` are those of all of them."""
        each = [run.metrics for run in self.runs]
        mean = {name: _mean([getattr(metrics, name) for metrics in each]) for name in RATES}
        return Metrics(clips=sum(metrics.clips for metrics in each), **mean)

    def plain(self) -> dict[str, object]:
        """Return the figures by name, as `--json` prints them."""
        mean, first = self.mean, self.runs[0]
        return {
            "protocol": first.protocol,
            "num_segments": first.num_segments,
            "splits": [run.split for run in self.runs],
            "clips": mean.clips,
            "mean": {name: getattr(mean, name) for name in RATES},
            "runs": [run.plain() for run in self.runs],
        }


def percent(metrics: Metrics) -> str:
    """Return the figures for a person."""
    top5 = "" if metrics.top5 is None else f"top-5 {metrics.top5:.2%}, "
    return (
        f"top-1 {metrics.top1:.2%}, {top5}"
        f"mean class accuracy {metrics.mean_class_accuracy:.2%}, loss {metrics.loss:.4f}"
    )


def _mean(values: Sequence[float | None]) -> Any:
    """Return the mean of a figure that all runs have, else None."""
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if len(there) == len(values) else None
