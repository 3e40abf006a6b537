"""`tsn train` as a user starts it, in a process of its own, watched from outside; and the splits that it trains on."""

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.visit.stages import Visit
from tsn.train.fit.compilation import FALLBACK
from tsn.tsn_shared.splits import SUBSETS, Split, write_split


class Look(NamedTuple):
    """A look at a run: when, epochs done, and bytes in use by kind of memory."""

    seconds: float
    epochs: int
    memory: dict[str, int]


def ended(looks: list[Look], epoch: int) -> float:
    """Return when an epoch was done, validation and checkpoint with it."""
    return next(look.seconds for look in looks if look.epochs > epoch)


def most(looks: list[Look], kind: str, epoch: int) -> int:
    """Return the most memory of a kind while an epoch ran."""
    return max(look.memory[kind] for look in looks if look.epochs == epoch)


def repeat(split: Split, path: Path, **counts: int) -> None:
    """Write a split of as many clips as asked for, which are some of another's, or all of them over and over."""
    rows = {s: spread(len(split.subset(s)), counts.get(s, 0)) for s in SUBSETS}
    path.parent.mkdir(exist_ok=True)
    write_split(
        path,
        source=f"{split.source}, repeated",
        classes=split.classes,
        shards=dict(zip(split.shard_names, split.shard_sha256, strict=True)),
        clips={s: split.subset(s).take(rows[s]) for s in SUBSETS},
        names={s: split.names(s, rows[s]) for s in SUBSETS},
    )


def spread(clips: int, count: int) -> npt.NDArray[np.int64]:
    """Return `count` rows of so many clips, evenly over all of them (they are listed by class), or over and over."""
    return np.arange(count) * max(clips // max(count, 1), 1) % max(clips, 1)


def train_epochs(visit: Visit, run: str, **changed: Any) -> tuple[list[dict[str, Any]], list[Look]]:
    """Run `tsn train` with the visit's settings, some of them changed; return the rows of its epochs and the looks."""
    folder, config = visit.folder / run, visit.folder / f"{run}.json"
    config.write_text(json.dumps({"settings": visit.settings(**changed).plain()}), encoding="utf-8")
    looks, metrics = list[Look](), folder / "metrics.jsonl"
    command = [sys.executable, "-m", "tsn", "train", "--config", str(config), "--run", str(folder)]
    with subprocess.Popen(command) as process:
        while process.poll() is None:
            looks.append(Look(time.monotonic(), len(_lines(metrics)), memory_of(process.pid)))
            time.sleep(0.2)
    looks.append(Look(time.monotonic(), len(_lines(metrics)), {}))
    if process.returncode != 0:
        raise SystemExit(f"tsn train ended with exit code {process.returncode}")
    if told := [line for line in _lines(folder / "log.txt") if FALLBACK in line]:
        raise SystemExit(told[0])  # what a user would put up with is a failure here
    return [json.loads(line) for line in _lines(metrics)], looks


def memory_of(process: int) -> dict[str, int]:
    """Return the bytes that a process has in main memory, and those in use on the GPU."""
    import torch

    pages = "0 0"
    with suppress(OSError):  # it may just have ended
        pages = Path(f"/proc/{process}/statm").read_text(encoding="ascii") or pages
    free, total = torch.cuda.mem_get_info(0) if torch.cuda.is_available() else (0, 0)
    return {"main memory": int(pages.split()[1]) * os.sysconf("SC_PAGE_SIZE"), "GPU memory": total - free}


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []
