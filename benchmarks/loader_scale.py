"""How the loader's own work grows: a split of ten million clips beside one of ten thousand, no frames needed.

    python -m benchmarks.loader_scale

Each split is opened in a process of its own: seconds to open it and to make an epoch's order, the peak of memory, open
files, and the cost of a step (which clips, frames, crops and flips a rank of eight serves), in turns as ratios.
"""

import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.common import interleaved, ratio, report, rounds_option, write_option
from tsn.pipeline.loading.reader import FrameReader
from tsn.pipeline.loading.schedule import TrainSchedule
from tsn.pipeline.loading.source import plan_clips
from tsn.tsn_shared.splits import Clips, read_split, write_split
from tsn.tsn_shared.views import VIEWS, Snippets

BATCH, SNIPPETS, RANKS = 25, Snippets(segments=3), 8


def make_split(path: Path, *, clips: int, shards: int) -> None:
    """Write a split of so many training clips over so many shards; of the shards there is nothing but the names."""
    rng = np.random.default_rng(0)
    row = np.arange(clips, dtype=np.int64)
    train = Clips(
        label=rng.integers(0, 1000, clips, dtype=np.int32),
        shard=(row * shards // clips).astype(np.int32),
        video=(row % -(-clips // shards)).astype(np.int32),
        frames=rng.integers(28, 1776, clips, dtype=np.int32),
    )
    empty = Clips(**dict.fromkeys(("label", "shard", "video", "frames"), np.zeros(0, dtype=np.int32)))
    write_split(
        path,
        source="synthetic",
        classes=tuple(f"class {number}" for number in range(1000)),
        shards={f"frames-{number:06d}.h5": f"{number:064x}" for number in range(shards)},
        clips={"train": train, "test": empty},
        names={"train": tuple(f"class/v_{number:08d}" for number in range(clips)), "test": ()},
    )
    for number in range(shards):
        (path.parent / f"frames-{number:06d}.h5").touch()


_opened: dict[str, Any] = {}
"""In a process that serves a split: its clips, its schedule, and the step that comes next."""


def open_split(path: Path) -> tuple[float, float]:
    """Open the split in this process for good; return the seconds of that, and of making an epoch's order."""
    start = time.perf_counter()
    clips = FrameReader(read_split(path), "train", path.parent, view=VIEWS["train"], snippets=SNIPPETS).clips
    opened = time.perf_counter()
    schedule = TrainSchedule(num_clips=len(clips), batch_size=BATCH, seed=0, rank=3, world_size=RANKS)
    schedule.batch(0)
    ordered = time.perf_counter()
    schedule.batch(len(clips) // (BATCH * RANKS) + 1)  # in the next epoch
    _opened.update(clips=clips, schedule=schedule, step=0)
    return opened - start, ordered - opened


def take_steps(count: int = 1000) -> tuple[float, float, int]:
    """Return the CPU seconds of a step, the peak of memory in GiB, and the open files of this process."""
    clips, schedule = _opened["clips"], _opened["schedule"]
    height, width = np.full(BATCH, 256), np.full(BATCH, 340)
    start = time.thread_time()
    for step in range(_opened["step"], _opened["step"] + count):
        batch = schedule.batch(step % max(len(clips) // (BATCH * RANKS), 1))
        plan_clips(batch, clips, height=height, width=width, view=VIEWS["train"], snippets=SNIPPETS, seed=0)
    spent = (time.thread_time() - start) / count
    _opened["step"] += count
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 2**20  # not ru_maxrss, which begins with the parent's
    return spent, peak, len(list(Path("/proc/self/fd").iterdir()))


@click.command()
@rounds_option
@write_option
def main(rounds: int, write: bool) -> None:
    """Measure how the loader's own work grows with the split."""
    small = "10,000 clips, 157 shards"
    sizes = {small: (10_000, 157), "10 million clips, 150,000 shards": (10_000_000, 150_000)}
    pools, first = {}, {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        for name, (clips, shards) in sizes.items():
            path = Path(folder) / str(clips) / "split1.h5"
            path.parent.mkdir()
            make_split(path, clips=clips, shards=shards)
            pools[name] = stack.enter_context(ProcessPoolExecutor(1, get_context("spawn")))
            first[name] = pools[name].submit(open_split, path).result()
        turns = {name: lambda pool=pool: pool.submit(take_steps).result() for name, pool in pools.items()}
        figures = interleaved(turns, rounds)
    steps = {name: [step for step, *_ in own] for name, own in figures.items()}
    rows = []
    for name, own in figures.items():
        row = [name, *(f"{seconds:.2f}" for seconds in first[name]), f"{own[-1][1]:.2f}", own[-1][2]]
        rows.append([*row, f"{1e6 * statistics.median(steps[name]):.0f}", f"{ratio(steps[name], steps[small]):.2f}"])
    heads = ["split", "opened in s", "an epoch's order in s", "peak GiB", "open files", "CPU us a step", "ratio"]
    words = f"""The loader's own work at scale
A rank of {RANKS}, {BATCH} clips of {SNIPPETS.frames} frames a step; medians of {rounds} interleaved rounds of 1,000
steps. The order of the next epoch is made in a thread while the one before is served. What a step costs here is the
choice of clips, frames, crops and flips; torch and DALI, which serving needs, take about half a GiB more."""
    report("loader_scale", words, heads, rows, write=write)


if __name__ == "__main__":
    main()
