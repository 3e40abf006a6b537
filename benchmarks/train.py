"""The trainer beside a bare loop, and what each of its ways to be fast brings, each on and off.

    python -m benchmarks.train --frames FRAMES --splits SPLITS

All are measured in turns on one process, VGG16 at 224 pixels by default, and read as ratios of the same round.
"""

import argparse
import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import torch
import torch.distributed as dist
from torch import nn
from torch._C._distributed_c10d import HashStore
from torch.nn.parallel import DistributedDataParallel

from benchmarks.common import interleaved, machine, table, write_result
from tsn.train.fit.bench import BareLoop, bench_train
from tsn.train.network.model import build_model
from tsn.tsn_shared.settings import TrainSettings

CLASSES = 101


@dataclass(frozen=True, kw_only=True)
class Way:
    """How a step is taken; the defaults are those of `tsn train` on the CPU."""

    channels_last: bool = True
    fused: bool = True
    precision: str = "fp32"
    compiled: bool = False
    ddp: bool = False
    bucket_view: bool = True


def ways(default: Way) -> dict[str, Way]:
    """Return the default, and it with one thing other at a time."""
    return {
        "as tsn train": default,
        "without channels_last": replace(default, channels_last=False),
        "SGD not fused": replace(default, fused=False),
        "bf16" if default.precision == "fp32" else "fp32": replace(
            default, precision="bf16" if default.precision == "fp32" else "fp32"
        ),
        "without torch.compile" if default.compiled else "torch.compile": replace(
            default, compiled=not default.compiled
        ),
        "DDP, gradients as bucket views": replace(default, ddp=True),
        "DDP, gradients copied": replace(default, ddp=True, bucket_view=False),
    }


def seconds_of(way: Way, settings: TrainSettings, device: torch.device, steps: int) -> float:
    """Return the seconds of a step taken in this way, after one that is not counted."""
    gc.collect()
    layout = torch.channels_last if way.channels_last else torch.contiguous_format
    torch.manual_seed(0)
    model: nn.Module = build_model(settings.model, num_classes=CLASSES, dropout=settings.dropout)
    model = model.to(device).to(memory_format=layout)
    network = DistributedDataParallel(model, gradient_as_bucket_view=way.bucket_view) if way.ddp else model
    frames = torch.randn(settings.batch_size * settings.segments, 3, settings.input_size, settings.input_size)
    clips = frames.to(device).to(memory_format=layout).view(settings.batch_size, settings.segments, *frames.shape[1:])
    labels = torch.randint(CLASSES, (settings.batch_size,), device=device)
    if way.compiled:
        network = torch.compile(network)  # type: ignore[assignment]
    loop = BareLoop(network, settings, clips=clips, labels=labels, precision=way.precision)
    if not way.fused:
        loop.optimizer = torch.optim.SGD(model.parameters(), lr=settings.lr, momentum=0.9, weight_decay=settings.wd)
    loop.steps(1)
    _wait(device)
    start = time.perf_counter()
    loop.steps(steps)
    _wait(device)
    return (time.perf_counter() - start) / steps


def compare_ways(settings: TrainSettings, device: torch.device, *, steps: int, rounds: int) -> str:
    """Measure all ways in turns; return a table of their speed beside the default's."""
    on_gpu = device.type == "cuda"
    dist.init_process_group("nccl" if on_gpu else "gloo", store=HashStore(), rank=0, world_size=1)
    named = ways(Way(precision="bf16" if on_gpu else "fp32", compiled=on_gpu))

    def turn(way: Way) -> Callable[[], float]:
        return lambda: seconds_of(way, settings, device, steps)

    seconds = interleaved({name: turn(way) for name, way in named.items()}, rounds)
    dist.destroy_process_group()
    default = seconds["as tsn train"]
    rows = []
    for name, figures in seconds.items():
        ratios = [own / other for own, other in zip(default, figures, strict=True)]
        rows.append(
            [
                name,
                f"{settings.batch_size / median(figures):.2f}",
                f"{median(ratios):.2f}",
                f"{min(ratios):.2f} to {max(ratios):.2f}",
            ]
        )
    return table(["way", "clips/s", "times as tsn train", "of the rounds"], rows)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    """Measure and write benchmarks/results/train.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=Path, default=Path("data/frames"))
    parser.add_argument("--splits", type=Path, default=Path("data/splits"))
    parser.add_argument("--model", default="vgg16")
    parser.add_argument("--input-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=25 if torch.cuda.is_available() else 2)
    parser.add_argument("--seconds", type=float, default=60, help="for the loop of tsn train beside the bare loop")
    parser.add_argument("--steps", type=int, default=20 if torch.cuda.is_available() else 1, help="a turn of each way")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    settings = TrainSettings(
        frames=options.frames,
        splits=options.splits,
        model=options.model,
        input_size=options.input_size,
        batch_size=options.batch_size,
    )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    loop = bench_train(settings, seconds=options.seconds)
    shares = ", ".join(f"{share:.1%}" for share in loop["rounds"])
    what = f"{options.model}, {options.batch_size} clips of {settings.segments} frames at {options.input_size} pixels"
    text = f"""# Training

{machine()}

{what}, one process on {device.type}.

## The loop of `tsn train`, loader included, beside forward, backward and step on ready clips

`tsn train` {loop["clips_per_second"]:.2f} clips/s, bare loop {loop["bare_clips_per_second"]:.2f} clips/s: \
**{loop["share_of_bare"]:.1%}** (median of the rounds {shares}).

## Ways to be fast, each on and off

On ready clips; more than 1.00 is faster than `tsn train` as it comes.

{compare_ways(settings, device, steps=options.steps, rounds=options.rounds)}
"""
    print(write_result("train", text).read_text())


if __name__ == "__main__":
    main()
