"""How the loader's own work grows: ten million clips beside ten thousand, and four thousand shards beside five.

    python -m benchmarks.loader_scale

Each split is opened in a process of its own: seconds to open it and to make an epoch's order, the peak of memory, open
files, and in turns, as ratios, what a step costs (which clips, frames, crops and flips a rank of eight serves; there
are no frames) and what a clip drawn at random does (planned, read, and decoded by libjpeg-turbo as DALI decodes it).
"""

import shutil
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click
import numpy as np
import simplejpeg

from benchmarks.common import interleaved, ratios, report, rounds_option, run, spread, write_option
from tsn.pipeline.extract.run import extract_frames
from tsn.pipeline.loading.reader import FrameReader
from tsn.pipeline.loading.schedule import TrainSchedule
from tsn.pipeline.loading.source import plan_clips
from tsn.pipeline.synthetic import CLASSES, VIDEOS, make_dataset
from tsn.tsn_shared.hdf5 import read_seal
from tsn.tsn_shared.settings import ExtractSettings
from tsn.tsn_shared.shards import KIND, shard_name
from tsn.tsn_shared.splits import Clips, no_clips, read_split, write_split
from tsn.tsn_shared.views import VIEWS, Snippets

BATCH, SNIPPETS, RANKS = 25, Snippets(segments=3), 8


def make_split(path: Path, *, clips: int, shards: int, frames: int = 0, seal: str = "0" * 64) -> None:
    """Write a split of so many training clips over so many shards: where `frames` is 0, these are nothing but names."""
    rng, row = np.random.default_rng(0), np.arange(clips, dtype=np.int64)
    train = Clips(
        label=rng.integers(0, 1000, clips, dtype=np.int32),
        shard=(row * shards // clips).astype(np.int32),
        video=(row % -(-clips // shards)).astype(np.int32),
        frames=np.full(clips, frames, dtype=np.int32) if frames else rng.integers(28, 1776, clips, dtype=np.int32),
    )
    write_split(
        path,
        source="synthetic",
        classes=tuple(f"class {number}" for number in range(1000)),
        shards={shard_name(number): seal for number in range(shards)},
        clips={"train": train, "test": no_clips()},
        names={"train": tuple(f"class/v_{number:08d}" for number in range(clips)), "test": ()},
    )
    for number in range(shards):
        (path.parent / shard_name(number)).touch()


def make_shards(path: Path, *, shards: int, videos: int, frames: int) -> None:
    """Write a split and its shards, all of the same drawn videos, each a file of its own."""
    make_dataset(path.parent, classes=CLASSES[:1], groups=videos, clips=1, frames=(frames, frames))
    extract_frames(path.parent / VIDEOS, ExtractSettings(out=path.parent))
    first = path.parent / shard_name(0)
    for number in range(1, shards):
        shutil.copy(first, path.parent / shard_name(number))
    make_split(path, clips=shards * videos, shards=shards, frames=frames, seal=read_seal(first, KIND).sha256)


_opened: dict[str, Any] = {}
"""In a process that serves a split: its reader, its schedule, and the step that comes next."""


def open_split(path: Path) -> tuple[float, float]:
    """Open the split in this process for good; return the seconds of that, and of making an epoch's order."""
    start = time.perf_counter()
    reader = FrameReader(read_split(path), "train", path.parent, view=VIEWS["train"], snippets=SNIPPETS)
    opened = time.perf_counter()
    schedule = TrainSchedule(num_clips=len(reader), batch_size=BATCH, seed=0, rank=3, world_size=RANKS)
    schedule.batch(0)
    ordered = time.perf_counter()
    schedule.batch(len(reader) // (BATCH * RANKS) + 1)  # in the next epoch
    _opened.update(reader=reader, schedule=schedule, step=0)
    return opened - start, ordered - opened


def meet() -> float:
    """Return the CPU seconds of meeting a shard for the first time: its tables are checked."""
    _, firsts = np.unique(_opened["reader"].clips.shard, return_index=True)
    start = time.thread_time()
    for row in firsts.tolist():
        _opened["reader"].frame_size(row)
    return (time.thread_time() - start) / len(firsts)


def take_steps(frames: bool, count: int = 100) -> tuple[list[float], float, int]:
    """Return the CPU seconds of a step, the peak of memory in GiB, and the open files of this process.

    Of a step: its plan, or, where there are frames, its plan and the reading, and these and the decoding.
    """
    reader, schedule, spent = _opened["reader"], _opened["schedule"], np.zeros(1 + frames)
    height, width = np.full(BATCH, 256), np.full(BATCH, 340)
    for step in range(_opened["step"], _opened["step"] + count):
        batch = schedule.batch(step % max(len(reader) // (BATCH * RANKS), 1))
        times = [time.thread_time()]
        if frames:
            jpegs = reader.read(reader.plan(batch))
            times.append(time.thread_time())
            for jpeg in jpegs:
                simplejpeg.decode_jpeg(jpeg)
        else:
            plan_clips(batch, reader.clips, height=height, width=width, view=reader.view, snippets=SNIPPETS, seed=0)
        times.append(time.thread_time())
        spent += np.array(times[1:]) - times[0]
    _opened["step"] += count
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 2**20  # not ru_maxrss, which begins with the parent's
    return (spent / count).tolist(), peak, len(list(Path("/proc/self/fd").iterdir()))


SPLITS: dict[str, dict[str, Any]] = {
    "10,000 clips, 157 shards": {"clips": 10_000, "shards": 157},
    "10 million clips, 150,000 shards": {"clips": 10_000_000, "shards": 150_000},
    "5 shards of 64 videos": {"shards": 5, "videos": 64, "frames": 50},
    "4,000 shards of 4 videos": {"shards": 4_000, "videos": 4, "frames": 5},
}
"""The splits, and what they are compared with: the first of those without frames, and of those with frames."""


@click.command()
@rounds_option
@write_option
def main(rounds: int, write: bool) -> None:
    """Measure how the loader's own work grows with the split."""
    pools, opened, turns, met, rows = {}, {}, {}, 0.0, []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        for name, sizes in SPLITS.items():
            path, frames = Path(folder) / name / "split1.h5", "frames" in sizes
            path.parent.mkdir()
            (make_shards if frames else make_split)(path, **sizes)
            pool = pools[name] = stack.enter_context(ProcessPoolExecutor(1, get_context("spawn")))
            opened[name] = pool.submit(open_split, path).result()
            met = pool.submit(meet).result() if frames else met
            turns[name] = lambda pool=pool, frames=frames: pool.submit(take_steps, frames).result()
        figures = interleaved(turns, rounds)
    for name, first in zip(SPLITS, [*list(SPLITS)[:1] * 2, *list(SPLITS)[2:3] * 2], strict=True):
        for place, what in enumerate(("reading", "reading, decoding") if "frames" in SPLITS[name] else ("planning",)):
            own, base = ([steps[place] for steps, *_ in figures[key]] for key in (name, first))
            row = [name, *(f"{seconds:.2f}" for seconds in opened[name]), f"{figures[name][-1][1]:.2f}"]
            row += [figures[name][-1][2], what, spread([1e6 * each for each in own]), spread(ratios(own, base), 2)]
            rows.append(row)
    heads = ["split", "opened in s", "an epoch's order in s", "peak GiB", "open files", "a step's", "CPU us", "ratio"]
    words = f"""The loader's own work at scale
A rank of {RANKS}, {BATCH} clips of {SNIPPETS.frames} frames a step; medians of {rounds}
interleaved rounds of 100 steps. The order of the next epoch is made in a thread while the one before is served.
Planning is the choice of clips, frames, crops and flips; reading is planning and reading. Frames come from the page
cache, and from shards that were met before: meeting one, which checks its tables, takes {1000 * met:.1f} ms once. Torch
and DALI, which serving needs, take about half a GiB more."""
    report("loader_scale", words, heads, rows, write=write)


if __name__ == "__main__":
    run(main)
