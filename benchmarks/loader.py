"""The loader against the ways of others, on one core and on two: clips a second, interleaved, as ratios.

    python -m benchmarks.loader --frames data/frames --splits data/splits --videos data/UCF-101
    ... --peers-python peers/bin/python

The ways of others are written anew, lean, for the very same clips. With an interpreter that has GluonCV and MMAction2
(benchmarks/own_code.py says how to make it) their own code runs besides, on the same files with draws of its own.

Each turn is a process of its own, bound to its cores, that measures for a few seconds after a run-up. Read the ratios:
they hold where single figures swing. A last line shows the waits after an epoch's end. For stages: `tsn bench loader`.
"""

import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import click
import torch

from benchmarks import peers
from benchmarks.common import PATH, interleaved, ratios, report, rounds_option, run, spread, write_option
from benchmarks.peers import Job
from benchmarks.turns import bind, take
from tsn.pipeline.loading.loader import train_clips
from tsn.pipeline.loading.pixels import Pixels
from tsn.pipeline.loading.schedule import first_step
from tsn.tsn_shared.console import counted
from tsn.tsn_shared.settings import LoaderSettings
from tsn.tsn_shared.shard_file import Shard
from tsn.tsn_shared.shards import find_shards
from tsn.tsn_shared.splits import read_split

Figures = list[dict[str, float]]
OURS, OWN_CODE = "tsn", {"GluonCV 0.10.5 itself": "gluoncv", "MMAction2 1.2 itself": "mmaction2"}


def ours(job: Job) -> Iterator[Any]:
    """Serve the training path as `tsn train --gpus 0` opens it."""
    settings = LoaderSettings(batch_size=job.batch_size, num_segments=job.segments)
    return train_clips(
        read_split(Path(job.split)), Path(job.frames), settings, Pixels(input_size=settings.input_pixels)
    )


WAYS: dict[str, Callable[[Job], Iterator[Any]]] = {
    OURS: ours,
    "mmaction2's way": peers.mmaction2,
    "torchvision v2": peers.torchvision_v2,
    "decord, videos": peers.decord,
    "torchcodec, videos": peers.torchcodec,
}


def take_turn(way: str, job: Job, seconds: float) -> None:
    """Measure a way in this process, and end it."""
    bind(job.cores)
    torch.set_num_threads(1)
    peers.cv.setNumThreads(1)
    take(WAYS[way](job), job.batch_size, seconds)


def turn(name: str, job: Job, seconds: float, python: str | None) -> dict[str, float]:
    """Return `rate` in clips a second and `cpu` in CPU ms a clip, measured in a process; empty if it cannot run."""
    words = [json.dumps(job._asdict()), "--seconds", str(seconds)]
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.loader", "--child", name, "--job", *words]
    if name in OWN_CODE:
        command = [str(python), "-W", "ignore", "-m", "benchmarks.own_code", OWN_CODE[name], *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, start_new_session=True, check=False)
    said = [line for line in done.stdout.splitlines() if line.startswith('{"rate"')]
    click.echo(f"{counted(job.cores, 'core')}, {name}: {said[0] if said else 'cannot run'}", err=True)
    return dict(json.loads(said[0])) if said else {}


def cells_of(ours: Figures, other: Figures) -> list[str]:
    """Return a way's medians, and the medians of the rounds' ratios: how many times faster, and cheaper, ours is."""
    if not all(other):  # it could not run, or crashed on the way
        return ["-"] * 4
    rates, costs = ([[figures[kind] for figures in way] for way in (ours, other)] for kind in ("rate", "cpu"))
    return [spread(rates[1]), spread(ratios(*rates), 2), spread(costs[1], 2), spread(ratios(*reversed(costs)), 2)]


def cold(copies: list[Path], *, announced: bool) -> float:
    """Return random frames a second of shards of ours whose pages are not in memory, announced a batch of 75 ahead."""
    for copy in copies:
        with copy.open("rb") as file:
            os.fsync(file.fileno())  # dirty pages cannot be dropped
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    shards, start = [Shard(copy) for copy in copies], time.perf_counter()
    for _ in range(20):
        chosen = random.choices(shards, k=75)
        wanted = [(shard, random.randrange(len(shard.tables.crc32))) for shard in chosen]
        for shard, frame in wanted if announced else ():
            shard.will_need([frame])
        for shard, frame in wanted:
            shard.read(frame)
    return 20 * 75 / (time.perf_counter() - start)


def waits(job: Job, *, epochs: int) -> str:
    """Say how long the loader makes its user wait in the first ten steps after an epoch's end, and in the others."""
    clips = len(read_split(Path(job.split)).train)
    job = job._replace(batch_size=max(1, min(5, clips // 40)))
    batches = ours(job)
    firsts = [first_step(epoch, num_clips=clips, clips_per_step=job.batch_size) for epoch in range(1, epochs)]
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for step in range(firsts[-1] + 10):
        start = time.perf_counter()
        next(batches)
        if step >= 10:
            seconds[any(first <= step < first + 10 for first in firsts)].append(time.perf_counter() - start)
    after, others = (1000 * statistics.mean(seconds[near]) for near in (True, False))
    return (
        f"Epoch ends: over {epochs} epochs of {clips} clips, {job.batch_size} a step and nothing else to do, the user "
        f"waits {after:.1f} ms for each of the first ten steps after an end and {others:.1f} ms for each of the others "
        f"({after / others:.2f} times)."
    )


@click.command()
@click.option("--frames", type=PATH, default=Path("data/frames"), help="Folder of frame shards.")
@click.option("--splits", type=PATH, default=Path("data/splits"), help="Folder of split files.")
@click.option("--videos", type=PATH, default=Path("data/UCF-101"), help="Folder of the videos.")
@click.option("--seconds", default=3.0, show_default=True, help="Seconds of a turn.")
@click.option("--peers-python", help="An interpreter that has GluonCV and MMAction2.")
@click.option("--only", multiple=True, help="Only this way beside ours; may be repeated.")
@rounds_option
@write_option
@click.option("--child", hidden=True)
@click.option("--job", hidden=True)
def main(child: str | None, job: str, seconds: float, rounds: int, write: bool, **options: Any) -> None:
    """Measure the loader against the ways of others."""
    if child is not None:
        take_turn(child, Job(**json.loads(job)), seconds)
    names = [OURS, *(options["only"] or [*(OWN_CODE if options["peers_python"] else ()), *list(WAYS)[1:]])]
    figures, frames = {}, options["frames"]
    with tempfile.TemporaryDirectory() as files:
        whole = Job(str(frames), f"{options['splits']}/split1.h5", str(options["videos"]), files)
        peers.write_files(whole)
        for cores in (1, 2):
            own = whole._replace(cores=cores)
            turns = {name: partial(turn, name, own, seconds, options["peers_python"]) for name in names}
            figures[cores] = interleaved(turns, rounds)
        copies = [Path(shutil.copy(path, files)) for path in find_shards(frames)[:8]]
        words = waits(whole, epochs=20)
        reads = {name: partial(cold, copies, announced=name == "ahead") for name in ("plain", "ahead")}
        rates = interleaved(reads, 2 * rounds)
        gain, ahead = spread(ratios(rates["ahead"], rates["plain"]), 2), spread(rates["ahead"])
    of_cores = [(f"clips/s, {counted(cores, 'core')}", "tsn x", "CPU ms a clip", "x tsn's") for cores in figures]
    rows = [[n, *(cell for found in figures.values() for cell in cells_of(found[OURS], found[n]))] for n in names]
    text = f"""Loader
{whole.batch_size} clips of {whole.segments} frames a batch, 340x256 JPEG frames, normalised float32 at 224x224; medians
of {rounds} interleaved rounds of {seconds:g} s (least to most), page cache warm. From a cold one, {ahead} random
frames a second are read if announced a batch ahead, {gain} times as many as otherwise. {words}
Itself: a project's own code, as its users have it. Its way: the same steps, rewritten lean (benchmarks/peers.py)."""
    report("loader", text, ["way", *chain(*of_cores)], rows, write=write)


if __name__ == "__main__":
    run(main)
