"""`tsn` as a user starts it, in a process of its own, watched from outside."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from benchmarks.visit.plan import Visit
from tsn.train.fit.compilation import FALLBACK
from tsn.tsn_shared.splits import Split, Subset, write_split

SAMPLE_EVERY = 0.2
"""Seconds between two looks at the memory."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A look at a run: when, epochs done, bytes of main memory, bytes in use on the GPU."""

    seconds: float
    epochs: int
    resident: int
    gpu: int


@dataclass(kw_only=True)
class Watch:
    """All looks at a run."""

    samples: list[Sample] = field(default_factory=list)

    def ended(self, epoch: int) -> float:
        """Return when an epoch was done, validation and checkpoint with it."""
        return next(sample.seconds for sample in self.samples if sample.epochs > epoch)

    def most(self, kind: Literal["resident", "gpu"], epoch: int) -> int:
        """Return the most memory, `resident` or `gpu`, while an epoch ran."""
        looks = [sample for sample in self.samples if sample.epochs == epoch]
        return max(sample.resident if kind == "resident" else sample.gpu for sample in looks)


def tsn(*words: object) -> None:
    """Run a command of tsn to its end."""
    subprocess.run([sys.executable, "-m", "tsn", *map(str, words)], check=True)


def repeat(split: Split, path: Path, train: int, test: int) -> None:
    """Write a split of as many clips as asked for, which are some of another's, or all of them over and over."""
    subsets: tuple[Subset, ...] = ("train", "test")
    rows = {s: spread(len(split.subset(s)), count) for s, count in zip(subsets, (train, test), strict=True)}
    names: dict[Subset, tuple[str, ...]] = {s: split.names(s, slice(None)) for s in subsets}
    path.parent.mkdir(exist_ok=True)
    write_split(
        path,
        source=f"{split.source}, repeated",
        classes=split.classes,
        shards=dict(zip(split.shard_names, split.shard_sha256, strict=True)),
        clips={s: split.subset(s).take(rows[s]) for s in subsets},
        names={s: tuple(names[s][row] for row in rows[s].tolist()) for s in subsets},
    )


def spread(clips: int, count: int) -> npt.NDArray[np.int64]:
    """Return `count` rows of so many clips, evenly over all of them (they are listed by class), or over and over."""
    return np.arange(count) * max(clips // count, 1) % clips


def train_epochs(visit: Visit, run: str, split: str, epochs: int, *words: object) -> tuple[list[dict[str, Any]], Watch]:
    """Run `tsn train` on a split of the visit; return the rows of its epochs and its memory."""
    folder, sizes = visit.folder / run, visit.sizes
    options = {
        "gpus": 0 if visit.rehearse else 1,
        "frames": visit.shards,
        "splits": visit.folder / "splits",
        "split": split,
        "run": folder,
        "weights": "none",
        "input-size": sizes.input_size,
        "num-segments": sizes.segments,
        "batch-size": sizes.batch,
        "num-epochs": epochs,
    }
    flags = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
    watch, metrics = Watch(), folder / "metrics.jsonl"
    command = [sys.executable, "-m", "tsn", "train", *flags, *map(str, words)]
    with subprocess.Popen(command) as process:
        while process.poll() is None:
            watch.samples.append(_look(process.pid, metrics, visit))
            time.sleep(SAMPLE_EVERY)
    watch.samples.append(Sample(seconds=time.monotonic(), epochs=_lines(metrics), resident=0, gpu=0))
    if process.returncode != 0:
        raise SystemExit(f"tsn train ended with exit code {process.returncode}")
    for line in (folder / "log.txt").read_text(encoding="utf-8").splitlines():
        if FALLBACK in line:  # what a user would put up with is a failure here
            raise SystemExit(line)
    return [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()], watch


def _look(process: int, metrics: Path, visit: Visit) -> Sample:
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError):  # it has just ended
        pages = 0
    return Sample(
        seconds=time.monotonic(),
        epochs=_lines(metrics),
        resident=pages * os.sysconf("SC_PAGE_SIZE"),
        gpu=0 if visit.rehearse else _gpu_in_use(),
    )


def _gpu_in_use() -> int:
    import torch

    free, total = torch.cuda.mem_get_info(0)
    return total - free


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines()) if path.exists() else 0
