"""`tsn bench loader`: how many clips a second this machine reaches, whole and stage by stage, and what is short."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle
from typing import Any, cast

import numpy as np
import torch

from tsn.pipeline.loading.finish import CpuFinish
from tsn.pipeline.loading.graph import build_graph
from tsn.pipeline.loading.loader import train_clips, train_source
from tsn.pipeline.loading.pixels import Decoder, Pixels, cpu_share, torch_device
from tsn.pipeline.loading.schedule import check_batch, train_schedule
from tsn.pipeline.loading.source import FrameBatch, read_ahead
from tsn.tsn_shared.console import table
from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.settings import BenchLoaderSettings
from tsn.tsn_shared.splits import Split, open_split

ROUNDS = 4
"""Each part is measured so many times, in turns, and its median kept: a busy moment meets all of them."""

KEPT = 8
"""Batches that are read beforehand for the stages after reading."""

ADVICE = {
    "read": "a faster disk, or memory enough to hold the frames",
    "decode": "more cores, or a GPU that decodes as well",
    "finish": "more cores, or a GPU that finishes",
    "copy": "a faster way to the device",
}


@dataclass(frozen=True, kw_only=True)
class LoaderBench:
    """What the loader reached, in clips a second: whole and by stage, and which stage is short."""

    clips_per_second: float
    stages: dict[str, float]
    short: str
    device: str
    threads: int
    batch_size: int
    num_segments: int
    input_size: int


def bench_loader(settings: BenchLoaderSettings, *, seconds: float) -> LoaderBench:
    """Measure the training path in float32, and each of its stages alone, in clips a second.

    `stages`: read (JPEG bytes from the shards, CRC32 checked), decode (DALI), finish (resize, flip, normalise; on a GPU
    with decoding, which it cannot be parted from), copy (a finished batch into the device's memory; in training on the
    CPU nothing is copied). `short` is the slowest of those that training needs.
    """
    split = open_split(settings)
    check_batch(num_clips=len(split.train), clips_per_step=1, split=str(split.path))
    decoder, threads = cast("Decoder", settings.decoder), settings.loader_threads or cpu_share()
    device = torch_device(settings.device)
    pixels = Pixels(
        input_size=settings.input_pixels,
        normalisation=settings.normalisation,
        device=device,
        decoder=decoder,
        threads=threads,
    )
    if decoder != "cpu" and pixels.device_id is None:
        raise SettingsError(f"--decoder {decoder} needs a GPU: leave it out")
    with ExitStack() as stack:
        parts = _parts(stack, split, settings, pixels)
        figures: dict[str, list[float]] = {name: [] for name in parts}
        for _ in range(ROUNDS):
            for name, step in parts.items():
                figures[name].append(settings.batch_size * _rate(step, seconds / ROUNDS / len(parts), device))
    medians = {name: float(np.median(rates)) for name, rates in figures.items()}
    whole = medians.pop("whole")
    needed = {name: rate for name, rate in medians.items() if device.type == "cuda" or name != "copy"}
    return LoaderBench(
        clips_per_second=whole,
        stages=medians,
        short=min(needed, key=needed.__getitem__),
        device=device.type,
        threads=threads,
        batch_size=settings.batch_size,
        num_segments=settings.segments,
        input_size=settings.input_pixels,
    )


def bench_text(result: LoaderBench) -> str:
    """Return the figures for a person."""
    needed = {name: rate for name, rate in result.stages.items() if result.device == "cuda" or name != "copy"}
    rates = needed | {"all together": result.clips_per_second}
    rows = [[name, f"{rate:,.0f}", f"{1000 / rate:.2f}"] for name, rate in rates.items()]
    return (
        f"{table(['stage', 'clips/s', 'ms a clip'], rows)}\n"
        "By the clock: each stage alone, on all its threads, then all together, side by side.\n"
        f"Short on {result.device} with {result.threads} threads: {result.short} ({ADVICE[result.short]} would help)."
    )


def _parts(
    stack: ExitStack, split: Split, settings: BenchLoaderSettings, pixels: Pixels
) -> dict[str, Callable[[], object]]:
    """Return what is measured, by name, each as a call that handles one batch."""
    clips, frames, device = settings.batch_size, settings.snippets.frames, pixels.device
    encoded = read_ahead(train_source(split, settings.frames, settings), train_schedule(split.train, settings))
    stack.callback(encoded.close)
    kept = [next(encoded) for _ in range(KEPT)]
    whole = stack.enter_context(train_clips(split, settings.frames, settings, pixels))
    batch = next(whole).clips
    goal = torch.empty_like(batch, device=device)
    host = batch if pixels.device_id is None else batch.cpu().pin_memory()
    graph: dict[str, Any] = {"frames": clips * frames, "crops": 1}
    decode = build_graph(_again(kept), pixels, **graph, only_decode=True)
    parts: dict[str, Callable[[], object]] = {"read": lambda: next(encoded), "decode": decode.run}
    if not pixels.by_torch:
        parts["finish"] = build_graph(_again(kept), pixels, **graph).run
    else:
        finish = CpuFinish((clips, frames, 1), pixels, exact=False)
        stack.callback(finish.close)
        (output,) = build_graph(_again(kept), pixels, **graph, only_decode=True).run()  # of the first kept
        pictures = [output.at(number).copy() for number in range(len(output))]
        parts["finish"] = lambda: finish.batch(pictures, kept[0].plan, cropped=True)
    return parts | {"copy": lambda: goal.copy_(host, non_blocking=True), "whole": lambda: next(whole)}


def _again(kept: list[FrameBatch]) -> Callable[[], FrameBatch]:
    """Return a source that serves these batches over and over."""
    return cycle(kept).__next__


def _rate(step: Callable[[], object], seconds: float, device: torch.device) -> float:
    """Return how many steps a second are done, after two to start with."""
    for _ in range(2):
        step()
    _wait(device)
    done, start = 0, time.perf_counter()
    while done == 0 or time.perf_counter() - start < seconds:
        step()
        done += 1
    _wait(device)
    return done / (time.perf_counter() - start)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
