"""`tsn bench loader`: how many clips a second this machine reaches, whole and stage by stage, and what is short."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import cycle
from typing import Any, cast

import numpy as np
import torch

from tsn.pipeline.loading.finish import CpuFinish
from tsn.pipeline.loading.graph import Decoder, FrameBatch, build_graph
from tsn.pipeline.loading.loader import cpu_share, frame_batch, torch_device, train_clips
from tsn.pipeline.loading.reader import Encoded, FrameReader, read_ahead
from tsn.pipeline.loading.schedule import TrainSchedule, check_batch
from tsn.tsn_shared.console import table
from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.settings import BenchLoaderSettings
from tsn.tsn_shared.splits import Split, open_split
from tsn.tsn_shared.views import VIEWS

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


def bench_loader(settings: BenchLoaderSettings, *, seconds: float) -> dict[str, Any]:
    """Measure the training path in float32, and each of its stages alone, in clips a second.

    `stages`: read (JPEG bytes from the shards, CRC32 checked), decode (DALI), finish (resize, flip, normalise; on a GPU
    with decoding, which it cannot be parted from), copy (a finished batch into the device's memory; in training on the
    CPU nothing is copied). `short` is the slowest of those that training needs.
    """
    split = open_split(settings)
    check_batch(num_clips=len(split.train), clips_per_step=1, split=str(split.path))
    place = torch_device(settings.device)
    gpu = place.type == "cuda"
    with ExitStack() as stack:
        parts = _parts(stack, split, settings, place)
        figures: dict[str, list[float]] = {name: [] for name in parts}
        for _ in range(ROUNDS):
            for name, step in parts.items():
                figures[name].append(settings.batch_size * _rate(step, seconds / ROUNDS / len(parts), place))
    medians = {name: float(np.median(rates)) for name, rates in figures.items()}
    whole = medians.pop("whole")
    needed = {name: rate for name, rate in medians.items() if gpu or name != "copy"}
    return {
        "clips_per_second": whole,
        "stages": medians,
        "short": min(needed, key=needed.__getitem__),
        "device": place.type,
        "threads": settings.loader_threads or cpu_share(),
        "batch_size": settings.batch_size,
        "num_segments": settings.segments,
        "input_size": settings.input_size,
    }


def bench_text(result: dict[str, Any]) -> str:
    """Return the figures for a person."""
    note = {} if result["device"] == "cuda" else {"copy": "copy (not needed)"}
    rows = [[note.get(name, name), f"{rate:,.0f}", f"{1000 / rate:.2f}"] for name, rate in result["stages"].items()]
    rows.append(["all together", f"{result['clips_per_second']:,.0f}", f"{1000 / result['clips_per_second']:.2f}"])
    short = result["short"]
    return (
        f"{table(['stage', 'clips/s', 'ms a clip'], rows)}\n"
        f"Short on {result['device']} with {result['threads']} threads: {short} ({ADVICE[short]} would help)."
    )


def _parts(
    stack: ExitStack, split: Split, settings: BenchLoaderSettings, device: torch.device
) -> dict[str, Callable[[], object]]:
    """Return what is measured, by name, each as a call that handles one batch."""
    segments, size = settings.segments, settings.input_size
    schedule = TrainSchedule(num_clips=len(split.train), batch_size=settings.batch_size, seed=settings.seed)
    reader = FrameReader(split, "train", settings.frames)
    encoded = read_ahead(reader, schedule, view=VIEWS["train"], segments=segments, seed=settings.seed)
    stack.callback(encoded.close)
    kept = [next(encoded) for _ in range(KEPT)]
    on_gpu, threads = device.type == "cuda", settings.loader_threads or cpu_share()
    decoder = cast("Decoder", settings.decoder)
    if decoder != "cpu" and not on_gpu:
        raise SettingsError(f"--decoder {decoder} needs a GPU: leave it out")
    whole = stack.enter_context(
        train_clips(split, settings.frames, settings, device=device, decoder=decoder, threads=threads)
    )
    graph: dict[str, Any] = {
        "frames": settings.batch_size * segments,
        "crops": 1,
        "input_size": size,
        "device_id": device.index if on_gpu else None,
        "decoder": decoder,
        "threads": threads,
    }
    decode = build_graph(_again(kept), finish="torch", **graph)
    batch = next(whole).clips
    goal = torch.empty_like(batch, device=device)
    host = batch.cpu().pin_memory() if on_gpu else batch
    parts: dict[str, Callable[[], object]] = {"read": lambda: next(encoded), "decode": decode.run}
    if on_gpu:
        parts["finish"] = build_graph(_again(kept), finish="dali", **graph).run
    else:
        finish = CpuFinish((settings.batch_size, segments, 1), input_size=size, exact=False, threads=threads)
        stack.callback(finish.close)
        (output,) = build_graph(_again(kept), finish="torch", **graph).run()  # its first batch is the first kept
        pictures = [output.at(number).copy() for number in range(len(output))]
        parts["finish"] = lambda: finish.batch(pictures, kept[0].plan, cropped=True)
    return parts | {"copy": lambda: goal.copy_(host, non_blocking=True), "whole": lambda: next(whole)}


def _again(kept: list[Encoded]) -> Callable[[], FrameBatch]:
    """Return a source that serves these batches over and over."""
    batches = cycle(kept)
    return lambda: frame_batch(next(batches))


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
