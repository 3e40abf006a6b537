"""Which JPEG decoder a GPU gets its frames from, by a short measurement on the machine at hand.

The CPU's (libjpeg-turbo), or DALI's `mixed` one (nvJPEG) with or without the card's own JPEG engine: which is faster
depends on the card, on how many cores a rank has, and on the frames.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from typing import NamedTuple, TypeVar

from pipeline.graph import Decoder, FrameBatch, build_graph
from tsn_shared.console import say


class Decoding(NamedTuple):
    """A DALI decoder, and the share of the frames that the card's own JPEG engine takes, if it has one."""

    decoder: Decoder = "cpu"
    hw_decoder_load: float = 0.0

    def __str__(self) -> str:
        engine = f", {self.hw_decoder_load:.0%} by the card's JPEG engine" if self.hw_decoder_load else ""
        return f"{self.decoder}{engine}"


WAYS = (Decoding("cpu"), Decoding("mixed"), Decoding("mixed", 0.65), Decoding("mixed", 1.0))

Way = TypeVar("Way")

_chosen: dict[tuple[int, int], Decoding] = {}  # by (device, threads): one measurement a process


def choose_decoding(batches: Sequence[FrameBatch], *, device_id: int, threads: int) -> Decoding:
    """Return the fastest way to decode these batches, and say which it is."""
    key = device_id, threads
    if key not in _chosen:
        frames = len(batches[0][0])
        runs = {}
        for way in WAYS:
            graph = build_graph(
                cycle(batches).__next__,
                frames=frames,
                crops=batches[0][1].shape[1],
                input_size=1,
                device_id=device_id,
                decoder=way.decoder,
                hw_decoder_load=way.hw_decoder_load,
                finish="torch",
                threads=threads,
            )
            runs[way] = graph.run
        seconds = fastest(runs)
        _chosen[key] = best = min(seconds, key=seconds.__getitem__)
        if os.environ.get("RANK", "0") == "0":
            rates = "; ".join(f"{way}: {frames / spent:,.0f}" for way, spent in seconds.items())
            say(f"frames are decoded by {best} (frames/s measured: {rates})")
    return _chosen[key]


def fastest(runs: Mapping[Way, Callable[[], object]], *, rounds: int = 3, seconds: float = 0.1) -> dict[Way, float]:
    """Return the shortest mean time of a call of each, measured in turns after a warm-up."""
    for run in runs.values():
        for _ in range(4):
            run()
    best: dict[Way, float] = dict.fromkeys(runs, float("inf"))
    for _ in range(rounds):
        for way, run in runs.items():
            calls, start = 0, time.perf_counter()
            while calls == 0 or time.perf_counter() - start < seconds:
                run()
                calls += 1
            best[way] = min(best[way], (time.perf_counter() - start) / calls)
    return best
