"""`tsn bench extract`: how many frames a second this machine extracts, and what decoding, scaling and encoding cost."""

import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import cycle
from pathlib import Path
from threading import Lock
from typing import Any

from pipeline.ffmpeg_output import read_log
from pipeline.make_shard import extract_video
from pipeline.sources import Source, find_videos
from pipeline.video import FrameSettings, compiled, encoder, scaling, source
from tsn_shared.console import table
from tsn_shared.settings import ExtractSettings

STAGES = ("decode", "scale", "encode", "write")
"""Each is measured with all those before it; its cost is what it adds."""

ROUNDS = 2
_STAND_IN = "VIDEO"
ADVICE = {
    "decode": "more cores, or a lighter codec",
    "scale": "--size native, or more cores",
    "encode": "more cores, or a coarser --quality",
    "write": "a faster disk",
}


def bench_extract(videos: Path, settings: ExtractSettings, *, seconds: float) -> dict[str, Any]:
    """Measure extraction of the videos below a folder, and each of its stages, with `settings.jobs` videos at once.

    `stages` are milliseconds of one job a frame; `frames_per_second` is all jobs together, less the writing of shards.
    DataError without videos.
    """
    found = find_videos(videos).videos
    frames = FrameSettings(size=settings.frame_size, quality=settings.quality)
    jobs = settings.jobs or len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(dir=settings.out if settings.out.is_dir() else None) as folder:
        ways: dict[str, Callable[[Source], int]] = {
            stage: partial(_run, words=_words(stage, frames)) for stage in STAGES[:-1]
        }
        ways["write"] = partial(_extract, frames=frames, folder=Path(folder))
        rates = {stage: list[float]() for stage in STAGES}
        for _ in range(ROUNDS):
            for stage, way in ways.items():
                rates[stage].append(_rate(way, found, jobs, seconds / ROUNDS / len(STAGES)))
    costs = [jobs * 1000 / max(*rates[stage], 1e-9) for stage in STAGES]
    stages = {stage: max(cost - before, 0.0) for stage, cost, before in zip(STAGES, costs, [0, *costs], strict=False)}
    return {
        "frames_per_second": max(rates["write"]),
        "stages": stages,
        "short": max(stages, key=stages.__getitem__),
        "jobs": jobs,
        "size": settings.size,
        "quality": settings.quality,
    }


def bench_text(result: dict[str, Any]) -> str:
    """Return the figures for a person."""
    rows = [[stage, f"{cost:.2f}"] for stage, cost in result["stages"].items()]
    rows.append(["all together", f"{sum(result['stages'].values()):.2f}"])
    short = result["short"]
    return (
        f"{table(['stage', 'ms a frame and job'], rows)}\n"
        f"{result['frames_per_second']:,.0f} frames/s with {result['jobs']} jobs. "
        f"Most of it is to {short}: {ADVICE[short]} would help."
    )


def _words(stage: str, frames: FrameSettings) -> list[str]:
    """Return the command of a stage and those before it, which writes to nowhere."""
    how: dict[str, Any] = {"fps_mode": "passthrough"}
    if stage != "decode":
        how["vf"] = scaling(frames)
    if stage == "encode":
        how |= encoder(frames)
    return compiled(source(_STAND_IN).output("pipe:1", format="null", **how))


def _run(video: Source, *, words: list[str]) -> int:
    """Run a stage over a video and return its frames; 0 for one that fails."""
    command = [f"file:{video.path.absolute()}" if word == _STAND_IN else word for word in words]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return read_log(done.stderr.decode("utf-8", "replace")).decoded or 0


def _extract(video: Source, *, frames: FrameSettings, folder: Path) -> int:
    outcome = extract_video(video, frames, folder)
    if outcome.spool is None or outcome.decoded is None:
        return 0
    outcome.spool.close()
    return len(outcome.decoded.sizes)


def _rate(way: Callable[[Source], int], videos: tuple[Source, ...], jobs: int, seconds: float) -> float:
    """Return frames a second of a way over the videos, again and again, until the time is up."""
    ahead, lock = cycle(videos), Lock()
    begun = time.perf_counter()

    def work() -> int:
        frames = 0
        while True:
            with lock:
                video = next(ahead)
            frames += way(video)
            if time.perf_counter() - begun >= seconds:
                return frames

    with ThreadPoolExecutor(jobs) as pool:
        frames = sum(future.result() for future in [pool.submit(work) for _ in range(jobs)])
    return frames / (time.perf_counter() - begun)
