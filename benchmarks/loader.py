"""The loader against the ways of others, on one core and on two: clips a second, interleaved, as ratios.

    python -m benchmarks.loader --frames data/frames --splits data/splits --videos data/UCF-101

Each way runs in a process of its own, bound to its cores; the processes take turns, and a round measures each for a few
seconds after a short run-up. Read the ratios: they hold where single figures swing with the machine. A second table
shows how long the loader makes its user wait after the end of an epoch.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from benchmarks.common import machine, write_result

BATCH, SEGMENTS = 25, 3
OURS, GLUONCV, MMACTION2, DALI = "tsn", "gluoncv's way", "mmaction2's way", "DALI decoding alone"


def ours(job: Any) -> Iterator[Any]:
    """Serve the training path as `tsn train --gpus 0` opens it."""
    from pipeline.loader import ClipLoader
    from pipeline.schedule import TrainSchedule
    from tsn_shared.splits import read_split

    split = read_split(job.split)
    schedule = TrainSchedule(num_clips=len(split.train), batch_size=job.batch_size, seed=0)
    return ClipLoader(
        split=split,
        subset="train",
        frames=job.frames,
        schedule=schedule,
        view="train",
        segments=job.segments,
        input_size=224,
    )


def ways() -> dict[str, Callable[[Any], Iterator[Any]]]:
    """Return all ways by name."""
    from benchmarks import peers

    return {
        OURS: ours,
        GLUONCV: peers.gluoncv,
        MMACTION2: peers.mmaction2,
        "torchvision v2": peers.torchvision_v2,
        "decord, videos": peers.decord,
        "PyAV, videos": peers.pyav,
        "torchcodec, videos": peers.torchcodec,
        DALI: peers.dali_alone,
        "libjpeg-turbo alone": peers.turbo_alone,
    }


def serve(job_values: dict[str, Any], way: str) -> None:
    """Run as a child: for each line of seconds on standard input, print the clips a second of that time."""
    cores = job_values["cores"]
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    import cv2
    import torch

    from benchmarks.peers import Job

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    paths = {name: Path(job_values[name]) for name in ("frames", "split", "files", "videos")}
    batches = ways()[way](Job(**(job_values | paths)))
    for line in sys.stdin:
        for _ in range(3):
            next(batches)
        count, start = 0, time.perf_counter()
        while time.perf_counter() - start < float(line):
            next(batches)
            count += 1
        sys.stdout.write(f"{count * job_values['batch_size'] / (time.perf_counter() - start)}\n")
        sys.stdout.flush()


def measure(job: dict[str, Any], names: list[str], *, rounds: int, seconds: float) -> dict[str, list[float]]:
    """Return each way's clips a second, one figure a round."""
    children = {}
    for name in names:
        words = [sys.executable, "-W", "ignore", "-m", "benchmarks.loader", "--child", name, "--job", json.dumps(job)]
        children[name] = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    figures: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        for name, child in children.items():
            assert child.stdin is not None
            assert child.stdout is not None
            if child.poll() is not None:
                continue
            child.stdin.write(f"{seconds}\n")
            child.stdin.flush()
            answer = child.stdout.readline()
            click.echo(
                f"round {number + 1}, {_cores(job['cores'])}, {name}: {answer.strip() or 'cannot run'}", err=True
            )
            if answer:
                figures[name].append(float(answer))
            else:
                child.wait()
    for child in children.values():
        child.kill()
        child.wait()
    return figures


def table(figures: dict[int, dict[str, list[float]]]) -> str:
    """Return the medians as a Markdown table, with the median of the rounds' ratios to ours."""
    cores = list(figures)
    head = "".join(f" clips/s, {_cores(count)} | tsn is x times |" for count in cores)
    lines = [f"| way |{head}", "|---|" + "---:|---:|" * len(cores)]
    for name in figures[cores[0]]:
        cells = []
        for count in cores:
            own, other = figures[count][OURS], figures[count][name]
            if not other:
                cells.append("not run | ")
                continue
            ratio = statistics.median(a / b for a, b in zip(own, other, strict=True))
            cells.append(f"{statistics.median(other):,.0f} | {ratio:.2f}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def stalls(job: dict[str, Any], *, epochs: int) -> str:
    """Say how long the user of the loader waits for the first ten steps after an epoch's end, and for the others."""
    from benchmarks.peers import Job
    from pipeline.schedule import first_step
    from tsn_shared.splits import read_split

    paths = {name: Path(job[name]) for name in ("frames", "split", "files", "videos")}
    batches, clips = ours(Job(**(job | paths))), len(read_split(paths["split"]).train)
    firsts = [first_step(epoch, num_clips=clips, clips_per_step=BATCH) for epoch in range(1, epochs)]
    after: list[float] = []
    others: list[float] = []
    for _ in range(5):
        next(batches)
    for step in range(5, firsts[-1]):
        start = time.perf_counter()
        next(batches)
        near = any(first <= step < first + 2 for first in firsts)
        (after if near else others).append(time.perf_counter() - start)
    waits = [1000 * statistics.mean(part) for part in (after, others)]
    return (
        f"An epoch's end, {epochs} epochs of {clips} clips: a step waits {waits[0]:.1f} ms in the first two after it, "
        f"{waits[1]:.1f} ms in the others ({waits[0] / waits[1]:.2f} times)."
    )


def _cores(count: int) -> str:
    return "one core" if count == 1 else f"{count} cores"


@click.command()
@click.option("--frames", default="data/frames", help="Folder of frame shards.")
@click.option("--splits", default="data/splits", help="Folder of split files; split 1 is served.")
@click.option("--videos", default="data/UCF-101", help="Folder of the videos.")
@click.option("--rounds", default=5, help="Rounds.")
@click.option("--seconds", default=3.0, help="Seconds a way and round.")
@click.option("--cores", default="1,2", help="Numbers of cores.")
@click.option("--only", multiple=True, help="Only these ways.")
@click.option("--write", is_flag=True, help="Write the result to benchmarks/results/loader.md.")
@click.option("--child", hidden=True)
@click.option("--job", hidden=True)
def main(
    frames: str,
    splits: str,
    videos: str,
    rounds: int,
    seconds: float,
    cores: str,
    only: tuple[str, ...],
    write: bool,
    child: str | None,
    job: str | None,
) -> None:
    """Measure the loader against the ways of others."""
    if child is not None:
        serve(json.loads(job or ""), child)
        return
    from benchmarks.peers import Job, write_files

    with tempfile.TemporaryDirectory() as files:
        base: dict[str, Any] = {"frames": frames, "split": f"{splits}/split1.h5", "files": files, "videos": videos}
        base |= {"batch_size": BATCH, "segments": SEGMENTS}
        paths = {name: Path(base[name]) for name in ("frames", "split", "files", "videos")}
        write_files(Job(**(base | paths), cores=1))
        figures = {
            count: measure(base | {"cores": count}, list(only or ways()), rounds=rounds, seconds=seconds)
            for count in map(int, cores.split(","))
        }
        words = stalls(base | {"cores": 2}, epochs=20) if not only else ""
    text = (
        f"# Loader\n\n{BATCH} clips of {SEGMENTS} frames a batch, 340x256 JPEG frames, normalised float32 at 224x224; "
        f"medians of {rounds} interleaved rounds of {seconds:g} s, page cache warm.\n\n{machine()}.\n\n"
        f"{table(figures)}\n\n{words}\n"
    )
    if write:
        write_result("loader", text)
    click.echo(text)


if __name__ == "__main__":
    main()
