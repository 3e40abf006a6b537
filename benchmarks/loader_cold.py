"""Random frames from a cold page cache: read as they come, or announced a batch ahead as the loader does.

    python -m benchmarks.loader_cold --frames data/frames

Works on a copy of some shards, whose pages are dropped before each turn; needs no rights of its own for that.
"""

import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import click
import numpy as np

from benchmarks.common import interleaved, machine, table, write_result
from tsn.tsn_shared.shard_file import Shard
from tsn.tsn_shared.shards import find_shards

FRAMES, BATCHES = 75, 20
"""Frames a batch, and batches a turn."""


def frames_per_second(shards: list[Shard], *, announced: bool, seed: int) -> float:
    """Read batches of random frames of cold files."""
    for shard in shards:
        descriptor = os.open(shard.path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
    rng = np.random.default_rng(seed)
    start = time.perf_counter()
    for _ in range(BATCHES):
        chosen = [shards[number] for number in rng.integers(0, len(shards), FRAMES).tolist()]
        wanted = [(shard, int(rng.integers(0, len(shard.tables.crc32)))) for shard in chosen]
        if announced:
            for shard, frame in wanted:
                shard.will_need([frame])
        for shard, frame in wanted:
            shard.read(frame)
    return FRAMES * BATCHES / (time.perf_counter() - start)


@click.command()
@click.option("--frames", type=click.Path(path_type=Path), default=Path("data/frames"), help="Folder of frame shards.")
@click.option("--shards", default=8, help="Shards to copy.")
@click.option("--rounds", default=9, help="Rounds.")
@click.option("--write", is_flag=True, help="Write the result to benchmarks/results/loader_cold.md.")
def main(frames: Path, shards: int, rounds: int, write: bool) -> None:
    """Measure random reads of a cold page cache."""
    with tempfile.TemporaryDirectory() as folder:
        copies = [Path(shutil.copy(path, folder)) for path in find_shards(frames)[:shards]]
        for path in copies:
            with path.open("rb") as file:
                os.fsync(file.fileno())  # dirty pages cannot be dropped
        opened = [Shard(path) for path in copies]
        seeds = iter(range(1 << 30))
        ways = {
            "as they come": lambda: frames_per_second(opened, announced=False, seed=next(seeds)),
            "announced a batch ahead": lambda: frames_per_second(opened, announced=True, seed=next(seeds)),
        }
        figures = interleaved(ways, rounds)
    plain = figures["as they come"]
    rows = [
        [
            name,
            f"{statistics.median(own):,.0f}",
            f"{statistics.median(a / b for a, b in zip(own, plain, strict=True)):.2f}",
        ]
        for name, own in figures.items()
    ]
    text = (
        f"# Frames from a cold page cache\n\nOne thread, {FRAMES} random frames a batch over {len(copies)} shards; "
        f"medians of {rounds} interleaved turns of {BATCHES} batches, the files' pages dropped before each.\n\n"
        f"{machine()}.\n\n"
        f"{table(['frames are read', 'frames/s', 'ratio'], rows)}\n"
    )
    if write:
        write_result("loader_cold", text)
    click.echo(text)


if __name__ == "__main__":
    main()
