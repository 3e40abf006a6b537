"""Which JPEG decoder serves training on a GPU: of those that keep ahead of it, the one that costs it the least.

The CPU's cores cost the GPU nothing. The card's JPEG engine costs a little, since colours are converted on the
multiprocessors; nvJPEG's kernels cost the most: 1.5 ms of a step of 17.8 ms, measured on an H200.
"""

import time
from collections.abc import Callable, Sequence
from itertools import cycle

from tsn.pipeline.loading.graph import build_graph
from tsn.pipeline.loading.pixels import Decoder, Pixels
from tsn.pipeline.loading.source import FrameBatch

DECODERS: tuple[Decoder, ...] = ("cpu", "engine", "mixed")
"""In the order of what they cost training."""

WORDS: dict[Decoder, str] = {"cpu": "the CPU", "engine": "the card's JPEG engine", "mixed": "nvJPEG on the GPU"}

HEADROOM = 1.5
"""How many times as fast as training a decoder must be: the cores have other work as well, and validation comes."""


def choose_decoder(serves: Callable[[Decoder], float], *, pace: float) -> tuple[Decoder, str]:
    """Return the first decoder that keeps ahead of training, else the fastest, and the reason in words.

    `serves(decoder)` measures the clips a second that a decoder serves, `pace` is how many training takes.
    """
    rates: dict[Decoder, float] = {}
    for decoder in DECODERS:
        rates[decoder] = serves(decoder)
        if rates[decoder] >= HEADROOM * pace:
            break
    else:
        decoder = max(rates, key=rates.__getitem__)
    measured = ", ".join(f"{name} {rate:,.0f}" for name, rate in rates.items())
    return decoder, f"frames are decoded by {WORDS[decoder]} (clips/s served: {measured}; training takes {pace:,.0f})"


def serving_rate(batches: Sequence[FrameBatch], pixels: Pixels, *, rounds: int = 3, seconds: float = 0.1) -> float:
    """Return the most clips a second that a graph makes of batches, all of one size."""
    clips, crops = batches[0].plan.flips.shape
    run = build_graph(cycle(batches).__next__, pixels, frames=len(batches[0].jpegs), crops=crops).run
    for _ in range(4):
        run()
    best = 0.0
    for _ in range(rounds):
        calls, start = 0, time.perf_counter()
        while calls == 0 or time.perf_counter() - start < seconds:
            run()
            calls += 1
        best = max(best, calls * clips / (time.perf_counter() - start))
    return best
