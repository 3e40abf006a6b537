"""`tsn bench extract`: how many frames a second this machine extracts, and what decoding, scaling and encoding cost."""

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from threading import Lock

from tsn.pipeline.extract.ffmpeg_command import FrameSettings, stage_command
from tsn.pipeline.extract.ffmpeg_output import read_marks
from tsn.pipeline.extract.ffmpeg_run import VideoError, memory_file, open_video, read_whole
from tsn.pipeline.extract.shard import MOST_IN_GROUP, extract_videos, video_groups
from tsn.pipeline.extract.video import Decoded, decode_videos
from tsn.pipeline.extract.videos import Source, find_videos
from tsn.pipeline.extract.workers import decoder_threads
from tsn.tsn_shared.console import table
from tsn.tsn_shared.errors import DataError
from tsn.tsn_shared.settings import ExtractSettings

STAGES = ("decode", "scale", "encode", "write")
"""Each is measured with all those before it; its cost is what it adds."""

ROUNDS = 2
Stage = Callable[[Sequence[Source]], int]
"""Does a stage and those before it for some videos, and returns how many frames that made."""

ADVICE = {
    "decode": "more cores, or a lighter codec",
    "scale": "--size native, or more cores",
    "encode": "more cores, or a coarser --quality",
    "write": "a faster disk",
}


@dataclass(frozen=True, kw_only=True)
class ExtractBench:
    """What extraction reached: frames a second of all jobs, milliseconds a frame of one job by stage, what is short."""

    frames_per_second: float
    stages: dict[str, float]
    short: str
    jobs: int
    size: str
    quality: int


def bench_extract(videos: Path, settings: ExtractSettings, *, seconds: float) -> ExtractBench:
    """Measure extraction of the videos below a folder, and each of its stages, with `settings.jobs` videos at once.

    `stages` are milliseconds of one job a frame; `frames_per_second` is of all jobs, without the writing of shards.
    DataError without videos.
    """
    found = [video for video in find_videos(videos).videos if video.path.is_file()]  # a FIFO would never end
    if not found:
        raise DataError(f"{videos} holds no video that is a file: name another folder")
    frames = FrameSettings(size=settings.frame_size, quality=settings.quality)
    jobs = settings.jobs or len(os.sched_getaffinity(0))
    groups = list(video_groups(found, most=MOST_IN_GROUP if frames.size else 1))
    with tempfile.TemporaryDirectory(dir=settings.out if settings.out.is_dir() else None) as folder:
        work_of: dict[str, Stage] = {
            "decode": partial(_run, frames=None),
            "scale": partial(_run, frames=frames),
            "encode": partial(_encode, frames=frames),
            "write": partial(_extract, frames=frames, folder=Path(folder)),
        }
        rates = {stage: list[float]() for stage in STAGES}
        for _ in range(ROUNDS):
            for stage, run in work_of.items():
                rates[stage].append(_frames_per_second(run, groups, jobs, seconds / ROUNDS / len(STAGES)))
    costs = [jobs * 1000 / max(*rates[stage], 1e-9) for stage in STAGES]
    stages = {stage: max(cost - before, 0.0) for stage, cost, before in zip(STAGES, costs, [0, *costs], strict=False)}
    return ExtractBench(
        frames_per_second=max(rates["write"]),
        stages=stages,
        short=max(stages, key=stages.__getitem__),
        jobs=jobs,
        size=settings.size,
        quality=settings.quality,
    )


def extract_bench_text(result: ExtractBench) -> str:
    """Return the figures for a person."""
    rows = [[stage, f"{cost:.2f}"] for stage, cost in result.stages.items()]
    rows.append(["all together", f"{sum(result.stages.values()):.2f}"])
    return (
        f"{table(['stage', 'ms a frame'], rows)}\n"
        f"Each is one job's time, by the clock; {result.jobs} at once make {result.frames_per_second:,.0f} frames/s.\n"
        f"Most of it is to {result.short}: {ADVICE[result.short]} would help."
    )


def _run(videos: Sequence[Source], *, frames: FrameSettings | None) -> int:
    """Decode videos, and scale them where there are settings; return how many frames that made."""
    with ExitStack() as stack, suppress(VideoError):
        files = [stack.enter_context(open_video(video.path)) for video in videos]
        marks = stack.enter_context(memory_file())
        command = stage_command(files, marks, frames)
        nowhere = subprocess.DEVNULL
        subprocess.run(command, stdin=nowhere, stdout=nowhere, stderr=nowhere, pass_fds=(*files, marks), check=False)
        return sum(video.frames for video in read_marks(read_whole(marks), len(videos)))
    return 0


def _encode(videos: Sequence[Source], *, frames: FrameSettings) -> int:
    """Decode, scale and encode videos; the frames go nowhere."""
    with Path(os.devnull).open("wb") as nowhere, suppress(VideoError):
        return sum(len(video.sizes) for video in decode_videos([v.path for v in videos], frames, nowhere))
    return 0


def _extract(videos: Sequence[Source], *, frames: FrameSettings, folder: Path) -> int:
    extracted = extract_videos(videos, frames, folder)
    extracted.jpegs.close()
    return sum(len(result.sizes) for _, result in extracted.videos if isinstance(result, Decoded))


def _frames_per_second(stage: Stage, groups: list[Sequence[Source]], jobs: int, seconds: float) -> float:
    """Return frames a second of a stage over the videos, again and again, until the time is up."""
    ahead, lock = cycle(groups), Lock()
    begun = time.perf_counter()

    def extract() -> int:
        frames = 0
        while True:
            with lock:
                videos = next(ahead)
            frames += stage(videos)
            if time.perf_counter() - begun >= seconds:
                return frames

    with decoder_threads(jobs) as pool:
        frames = sum(future.result() for future in [pool.submit(extract) for _ in range(jobs)])
    return frames / (time.perf_counter() - begun)
