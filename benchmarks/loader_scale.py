"""How the loader's own work grows: a split of ten million clips beside one of ten thousand, no frames needed.

    python -m benchmarks.loader_scale

Each split is opened in a process of its own: seconds to open it and to make an epoch's order, the peak of memory, open
files, and the cost of a step (which clips, frames, crops and flips a rank of eight serves), in turns as ratios.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.common import machine, table, write_result
from tsn.tsn_shared.splits import Clips, Subset, write_split

BATCH, SEGMENTS, RANKS = 25, 3, 8


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
    subsets: dict[Subset, Clips] = {"train": train, "test": empty}
    write_split(
        path,
        source="synthetic",
        classes=tuple(f"class {number}" for number in range(1000)),
        shards={f"frames-{number:06d}.h5": f"{number:064x}" for number in range(shards)},
        clips=subsets,
        names={"train": tuple(f"class/v_{number:08d}" for number in range(clips)), "test": ()},
    )
    for number in range(shards):
        (path.parent / f"frames-{number:06d}.h5").touch()


def serve(path: Path) -> None:
    """Run as a child: open the split, say what it cost, then time a thousand steps for each line of input."""
    start = time.perf_counter()
    from tsn.pipeline.loading.reader import FrameReader
    from tsn.pipeline.loading.schedule import TrainSchedule
    from tsn.pipeline.loading.source import plan_clips
    from tsn.tsn_shared.splits import read_split
    from tsn.tsn_shared.views import VIEWS

    imported = time.perf_counter()
    split = read_split(path)
    reader = FrameReader(split, "train", path.parent, view=VIEWS["train"], segments=SEGMENTS)
    opened = time.perf_counter()
    clips = reader.clips
    schedule = TrainSchedule(num_clips=len(clips), batch_size=BATCH, seed=0, rank=3, world_size=RANKS)
    schedule.batch(0)
    ordered = time.perf_counter()
    schedule.batch(len(clips) // (BATCH * RANKS) + 1)  # in the next epoch
    height, width = np.full(BATCH, 256), np.full(BATCH, 340)
    say(imported=imported - start, opened=opened - imported, ordered=ordered - opened)
    place = 0
    for _ in sys.stdin:
        start = time.thread_time()
        for _ in range(1000):
            batch = schedule.batch(place % max(len(clips) // (BATCH * RANKS), 1))
            place += 1
            plan_clips(batch, clips, height=height, width=width, view=VIEWS["train"], segments=SEGMENTS, seed=0)
        spent = (time.thread_time() - start) / 1000
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        peak = int(status.partition("VmHWM:")[2].split()[0]) / 2**20  # not ru_maxrss, which begins with the parent's
        say(step=spent, peak=peak, files=len(list(Path("/proc/self/fd").iterdir())))


def say(**figures: float) -> None:
    """Answer the parent."""
    sys.stdout.write(json.dumps(figures) + "\n")
    sys.stdout.flush()


@click.command()
@click.option("--rounds", default=7, help="Rounds of a thousand steps.")
@click.option("--write", is_flag=True, help="Write the result to benchmarks/results/loader_scale.md.")
@click.option("--child", type=click.Path(path_type=Path), hidden=True)
def main(rounds: int, write: bool, child: Path | None) -> None:
    """Measure how the loader's own work grows with the split."""
    if child is not None:
        serve(child)
        return
    sizes = {"10,000 clips, 157 shards": (10_000, 157), "10 million clips, 150,000 shards": (10_000_000, 150_000)}
    children, first, steps = {}, {}, {name: list[dict[str, Any]]() for name in sizes}
    with tempfile.TemporaryDirectory() as folder:
        for name, (clips, shards) in sizes.items():
            place = Path(folder) / str(clips)
            place.mkdir()
            click.echo(f"making a split of {name}", err=True)
            make_split(place / "split1.h5", clips=clips, shards=shards)
            words = [sys.executable, "-m", "benchmarks.loader_scale", "--child", str(place / "split1.h5")]
            children[name] = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            first[name] = json.loads(children[name].stdout.readline())  # type: ignore[union-attr]
        for _ in range(rounds):
            for name, process in children.items():
                process.stdin.write("go\n")  # type: ignore[union-attr]
                process.stdin.flush()  # type: ignore[union-attr]
                steps[name].append(json.loads(process.stdout.readline()))  # type: ignore[union-attr]
        for process in children.values():
            process.communicate()
    base = [figures["step"] for figures in next(iter(steps.values()))]
    rows = []
    for name, figures in steps.items():
        own = [figure["step"] for figure in figures]
        ratio = statistics.median(a / b for a, b in zip(own, base, strict=True))
        rows.append(
            [
                name,
                f"{first[name]['opened']:.2f}",
                f"{first[name]['ordered']:.2f}",
                f"{figures[-1]['peak']:.2f}",
                figures[-1]["files"],
                f"{1e6 * statistics.median(own):.0f}",
                f"{ratio:.2f}",
            ]
        )
    heads = ["split", "opened in s", "an epoch's order in s", "peak GiB", "open files", "CPU us a step", "ratio"]
    text = (
        f"# The loader's own work at scale\n\nA rank of {RANKS}, {BATCH} clips of {SEGMENTS} frames a step; medians of "
        f"{rounds} interleaved rounds of 1,000 steps.\n\n{machine()}.\n\n{table(heads, rows)}\n\n"
        "The order of the next epoch is made in a thread while the one before is served. What a step costs here is the "
        "choice of clips, frames, crops and flips; torch and DALI, which serving needs, take about half a GiB more.\n\n"
        "Where it ends: a rank keeps at most 512 shards open. With more, a clip drawn at random mostly meets a shard "
        "that is not open, and opening one (the tables of 64 videos are checked and read) takes 2 to 3 ms of CPU, more "
        "than decoding the clip. Data sets of many thousands of shards would need tables that are read by clip."
    )
    if write:
        write_result("loader_scale", text)
    click.echo(text)


if __name__ == "__main__":
    main()
