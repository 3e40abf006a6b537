"""The training step on clips that are ready, taken in many ways, each beside the way of `tsn train`.

    python -m benchmarks.train

Measured in turns on one process, VGG16 at 224 pixels by default, as ratios of a round. `tsn bench train` adds loading.
"""

import gc
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import click
import torch
import torch.distributed as dist
from torch import nn
from torch._C._distributed_c10d import HashStore
from torch.nn.parallel import DistributedDataParallel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.common import interleaved, ratios, repeated, report, rounds_option, run, spread, write_option
from tsn.train.fit.bench import BareLoop
from tsn.train.network.dropout import key_dropout
from tsn.train.network.model import build_model
from tsn.tsn_shared.options import settings_options
from tsn.tsn_shared.settings import TrainSettings

CLASSES, OPTIONS = 101, frozenset({"model", "input_size", "num_segments", "batch_size"})


@dataclass(frozen=True, kw_only=True)
class Way:
    """How a step is taken; the defaults are those of `tsn train` on the CPU.

    `compiled` is a mode of torch.compile ("default", "reduce-overhead" for CUDA graphs, ...) or None.
    """

    precision: str = "fp32"
    channels_last: bool = True
    fused: bool = True
    compiled: str | None = None
    ddp: bool = False


AS_TRAIN = "as tsn train"


def ways(*, on_gpu: bool) -> dict[str, Way]:
    """Return what `tsn train` does by default, and it with one thing other at a time."""
    default = Way(precision="bf16", compiled="default") if on_gpu else Way()
    other = "fp32" if on_gpu else "bf16"
    modes = {"eager": None, "CUDA graphs": "reduce-overhead", "autotuned": "max-autotune-no-cudagraphs"}
    if not on_gpu:
        modes = {"torch.compile": "default"}
    return {
        AS_TRAIN: default,
        "without channels_last": replace(default, channels_last=False),
        "SGD not fused": replace(default, fused=False),
        other: replace(default, precision=other),
        **{name: replace(default, compiled=mode) for name, mode in modes.items()},
        "DDP": replace(default, ddp=True),
    }


def step_of(way: Way, settings: TrainSettings, device: torch.device) -> Callable[[], None]:
    """Return what takes a step of a network of its own on a batch of noise; on a GPU it may return before it is done.

    Whatever a step before this one held is let go of, and the most memory is counted anew.
    """
    torch.compiler.reset()
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    torch.manual_seed(0)
    layout = torch.channels_last if way.channels_last else torch.contiguous_format
    model: nn.Module = build_model(settings.model, num_classes=CLASSES, dropout=settings.dropout)
    model = model.to(device).to(memory_format=layout)
    key_dropout(model, seed=0, batch_size=settings.batch_size, device=device)
    network = DistributedDataParallel(model, gradient_as_bucket_view=True) if way.ddp else model
    if way.compiled is not None:
        network = torch.compile(network, dynamic=False, mode=way.compiled)  # type: ignore[assignment]
    batch, size = settings.batch_size, settings.input_pixels
    frames = torch.randn(batch * settings.segments, 3, size, size, device=device).to(memory_format=layout)
    clips = frames.view(batch, settings.segments, *frames.shape[1:])
    labels = torch.randint(CLASSES, (batch,), device=device)
    loop = BareLoop(network, settings, clips=clips, labels=labels, precision=way.precision)
    if not way.fused:
        loop.optimizer = torch.optim.SGD(model.parameters(), settings.lr, settings.momentum, weight_decay=settings.wd)
    return lambda: loop.steps(1)


def matmul_flops(size: int, device: torch.device) -> float:
    """Return the operations a second of a square bf16 product of random numbers: what the card gives at most."""
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    repeated(lambda: torch.mm(a, b), 3, device)
    seconds, _ = repeated(lambda: torch.mm(a, b), 20, device)
    return 2 * size**3 / seconds


def mfu(clips_per_second: float, settings: TrainSettings, peak: float) -> float:
    """Return the share of `peak` operations a second that training uses; backward counts as two forward passes.

    A multiplication and an addition are two operations.
    """
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network = build_model(settings.model, num_classes=CLASSES, dropout=settings.dropout).eval()
        network(torch.empty(1, settings.segments, 3, settings.input_pixels, settings.input_pixels))
    return clips_per_second * 3 * int(counter.get_total_flops()) / peak


@click.command()
@settings_options(TrainSettings, only=OPTIONS)
@click.option("--steps", default=1, show_default=True, help="Steps of a turn.")
@rounds_option
@write_option
def main(steps: int, rounds: int, write: bool, **options: Any) -> None:
    """Measure the training step in many ways."""
    settings, device = TrainSettings(**options), torch.device("cuda" if torch.cuda.is_available() else "cpu")
    on_gpu = device.type == "cuda"

    def seconds(way: Way) -> float:
        step = step_of(way, settings, device)
        step()  # the first one allocates and compiles
        return repeated(step, steps, device)[0]

    dist.init_process_group("nccl" if on_gpu else "gloo", store=HashStore(), rank=0, world_size=1)
    figures = interleaved({name: partial(seconds, way) for name, way in ways(on_gpu=on_gpu).items()}, rounds)
    dist.destroy_process_group()
    batch, base = settings.batch_size, figures[AS_TRAIN]
    rows = [[name, spread([batch / s for s in own], 2), spread(ratios(base, own), 2)] for name, own in figures.items()]
    words = f"""The training step
{settings.model}, {settings.batch_size} clips of {settings.segments} frames at {settings.input_pixels} pixels, one
process on {device.type}, clips ready; medians of {rounds} interleaved rounds (least to most); more than 1.00 is
faster than `tsn train`."""
    report("train", words, ["way", "clips/s", "times as tsn train"], rows, write=write)


if __name__ == "__main__":
    run(main)
