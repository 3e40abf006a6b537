"""The loader as a visit uses it: by decoder, timed, and one batch to see that it works at all."""

import os
import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.visit.plan import Visit
from tsn.pipeline.loading.decoders import DECODERS
from tsn.pipeline.loading.loader import ClipLoader, train_clips
from tsn.pipeline.loading.pixels import Pixels
from tsn.tsn_shared.settings import LoaderSettings
from tsn.tsn_shared.splits import read_split


def decoders(visit: Visit) -> dict[str, dict[str, Any]]:
    """Return the ways to decode that this visit compares, by name, as options of the loader."""
    if visit.rehearse:
        return {"CPU, DALI's finish": {"all_dali": True}, "CPU, torch's finish": {}}
    ways: dict[str, dict[str, Any]] = {name: {"decoder": name} for name in DECODERS}
    return ways | {"cpu, half": {"decoder": "cpu", "half": True}}


def threaded(visit: Visit) -> dict[str, dict[str, Any]]:
    """Return the same plainest ways with fewer threads than cores."""
    cores = len(os.sched_getaffinity(0))
    first = dict(list(decoders(visit).items())[:2])
    counts = sorted({max(1, cores // 8), max(1, cores // 2)} - {cores})
    return {
        f"{name}, {count} of {cores} threads": options | {"threads": count}
        for name, options in first.items()
        for count in counts
    }


def open_loader(visit: Visit, *, device: torch.device | None = None, **options: Any) -> ClipLoader:
    """Open the training stream of the long epoch, from its beginning, on the visit's device unless said otherwise."""
    sizes = visit.sizes
    settings = LoaderSettings(batch_size=sizes.batch, num_segments=sizes.segments, input_size=sizes.input_size)
    split = read_split(visit.folder / "splits" / "splitepoch.h5")
    pixels = Pixels(input_size=sizes.input_size, device=device or visit.device, **options)
    return train_clips(split, visit.shards, settings, pixels)


def one_batch(visit: Visit) -> None:
    """Load a batch with DALI and multiply it with torch on the same device."""
    with open_loader(visit) as loader:
        clips = next(loader).clips.flatten(1).float()
        product = (clips @ clips.T).cpu()
    if not bool(torch.isfinite(product).all()):
        raise SystemExit("the product of a batch is not finite")


def timed(call: Callable[[], object], visit: Visit) -> tuple[float, float]:
    """Return the mean seconds of a call, and the CPU seconds of this process in it, after a warm-up."""
    for _ in range(3):
        call()
    first, _ = run(call, 3, visit.device)
    count = max(3, int(visit.sizes.seconds / first))
    return run(call, count, visit.device)


def run(call: Callable[[], object], count: int, device: torch.device) -> tuple[float, float]:
    """Return the mean wall and CPU seconds of so many calls, the device's work with them."""
    wait(device)
    start, cpu = time.perf_counter(), time.process_time()
    for _ in range(count):
        call()
    wait(device)
    return (time.perf_counter() - start) / count, (time.process_time() - cpu) / count


def wait(device: torch.device) -> None:
    """Wait until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
