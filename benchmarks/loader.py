"""The loader against the ways of others, on one core and on two: clips a second, interleaved, as ratios.

    python -m benchmarks.loader --frames data/frames --splits data/splits --videos data/UCF-101
    ... --peers-python peers/bin/python

The ways of others are written anew, lean, for the very same clips. With an interpreter that has GluonCV and MMAction2
(benchmarks/own_code.py says how to make it) their own code runs besides, on the same files with draws of its own.

Each way runs in a process of its own, bound to its cores; the processes take turns, and a round measures each for a few
seconds after a run-up. Read the ratios: they hold where single figures swing with the machine. A last line shows how
long the loader makes its user wait after the end of an epoch.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from benchmarks import turns
from benchmarks.common import machine, table, write_result

BATCH, SEGMENTS = 25, 3
OURS, GLUONCV, MMACTION2, DALI = "tsn", "gluoncv's way", "mmaction2's way", "DALI decoding alone"
OWN_CODE = {"GluonCV 0.11 itself": "gluoncv", "MMAction2 1.2 itself": "mmaction2"}


def ours(job: Any) -> Iterator[Any]:
    """Serve the training path as `tsn train --gpus 0` opens it."""
    from tsn.pipeline.loading.loader import train_clips
    from tsn.pipeline.loading.pixels import Pixels
    from tsn.tsn_shared.settings import LoaderSettings
    from tsn.tsn_shared.splits import read_split

    settings = LoaderSettings(batch_size=job.batch_size, num_segments=job.segments)
    return train_clips(read_split(job.split), job.frames, settings, Pixels(input_size=settings.input_size))


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
    turns.serve(ways()[way](Job(**(job_values | paths))), job_values["batch_size"], sys.stdout)


def child_command(name: str, job: dict[str, Any], peers: str | None) -> list[str]:
    """Return the command that serves a way."""
    if name in OWN_CODE and peers is not None:
        return [peers, "-W", "ignore", "-m", "benchmarks.own_code", OWN_CODE[name], json.dumps(job)]
    return [sys.executable, "-W", "ignore", "-m", "benchmarks.loader", "--child", name, "--job", json.dumps(job)]


Figures = dict[str, list[dict[str, float]]]
"""Of each way and round: `rate` in clips a second, `cpu` in CPU ms a clip."""


def measure(job: dict[str, Any], names: list[str], *, peers: str | None, rounds: int, seconds: float) -> Figures:
    """Let the ways take turns."""
    children = {}
    for name in names:
        children[name] = subprocess.Popen(
            child_command(name, job, peers),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        os.killpg(children[name].pid, signal.SIGSTOP)  # who has no turn does not work ahead either
    figures: Figures = {name: [] for name in names}
    for number in range(rounds):
        for name, child in children.items():
            assert child.stdin is not None
            assert child.stdout is not None
            if child.poll() is not None:
                continue
            os.killpg(child.pid, signal.SIGCONT)
            child.stdin.write(f"{seconds}\n")
            child.stdin.flush()
            answer = child.stdout.readline()
            click.echo(
                f"round {number + 1}, {_cores(job['cores'])}, {name}: {answer.strip() or 'cannot run'}", err=True
            )
            if answer:
                os.killpg(child.pid, signal.SIGSTOP)
                figures[name].append(json.loads(answer))
            else:
                child.wait()
    for child in children.values():
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    return figures


def rows_of(figures: dict[int, Figures]) -> list[list[str]]:
    """Return a row a way: for each number of cores the medians, and the medians of the rounds' ratios to ours."""
    rows = []
    for name in next(iter(figures.values())):
        cells = [name]
        for ways in figures.values():
            own, other = ways[OURS], ways[name]
            if len(other) < len(own):  # it could not run, or crashed on the way
                cells += ["-", "-", "-", "-"]
                continue
            cells.append(f"{statistics.median(figure['rate'] for figure in other):,.0f}")
            cells.append(f"{statistics.median(a['rate'] / b['rate'] for a, b in zip(own, other, strict=True)):.2f}")
            cells.append(f"{statistics.median(figure['cpu'] for figure in other):.2f}")
            cells.append(f"{statistics.median(b['cpu'] / a['cpu'] for a, b in zip(own, other, strict=True)):.2f}")
        rows.append(cells)
    return rows


def crc_milliseconds(job: Any) -> float:
    """Return the CPU ms that checking the CRC32 of a clip's frames takes."""
    from benchmarks.peers import file_of, planned

    clips = planned(job, epochs=1)
    data = [file_of(job, clip, index).read_bytes() for clip in clips for index in clip.indices]
    best = float("inf")
    for _ in range(5):
        start = time.process_time()
        for jpeg in data:
            zlib.crc32(jpeg)
        best = min(best, time.process_time() - start)
    return 1000 * best / len(clips)


def stalls(job: dict[str, Any], *, epochs: int) -> str:
    """Say how long the loader makes its user wait in the first ten steps after an epoch's end, and in the others."""
    from benchmarks.peers import Job
    from tsn.pipeline.loading.schedule import first_step
    from tsn.tsn_shared.splits import read_split

    paths = {name: Path(job[name]) for name in ("frames", "split", "files", "videos")}
    batch, clips = 5, len(read_split(paths["split"]).train)
    batches = ours(Job(**(job | paths | {"batch_size": batch})))
    firsts = [first_step(epoch, num_clips=clips, clips_per_step=batch) for epoch in range(1, epochs)]
    after: list[float] = []
    others: list[float] = []
    for step in range(firsts[-1] + 10):
        start = time.perf_counter()
        next(batches)
        near = any(first <= step < first + 10 for first in firsts)
        if step >= 10:
            (after if near else others).append(time.perf_counter() - start)
    waits = [1000 * statistics.mean(part) for part in (after, others)]
    return (
        f"Epoch ends: over {epochs} epochs of {clips} clips, {batch} a step and nothing else to do, the user waits "
        f"{waits[0]:.1f} ms for each of the first ten steps after an end and {waits[1]:.1f} ms for each of the others "
        f"({waits[0] / waits[1]:.2f} times)."
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
@click.option("--peers-python", help="An interpreter that has GluonCV and MMAction2.")
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
    peers_python: str | None,
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
        own_code = OWN_CODE if peers_python is not None else {}
        names = list(only) or [OURS, *own_code, *(name for name in ways() if name != OURS)]
        figures = {
            count: measure(base | {"cores": count}, names, peers=peers_python, rounds=rounds, seconds=seconds)
            for count in map(int, cores.split(","))
        }
        crc = crc_milliseconds(Job(**(base | paths), cores=1))
        words = stalls(base | {"cores": 2}, epochs=20)
    own = statistics.median(figure["cpu"] for figure in next(iter(figures.values()))[OURS])
    heads = [head for count in figures for head in (f"clips/s, {_cores(count)}", "tsn x", "CPU ms a clip", "x tsn's")]
    text = (
        f"# Loader\n\n{BATCH} clips of {SEGMENTS} frames a batch, 340x256 JPEG frames, normalised float32 at 224x224; "
        f"medians of {rounds} interleaved rounds of {seconds:g} s, page cache warm.\n\n{machine()}.\n\n"
        f"{table(['way', *heads], rows_of(figures))}\n\n"
        f"Checking the CRC32 of a clip's frames takes {crc:.3f} ms of CPU, {crc / own:.1%} of what a clip takes.\n\n"
        f"{words}\n"
    )
    if write:
        write_result("loader", text)
    click.echo(text)


if __name__ == "__main__":
    main()
