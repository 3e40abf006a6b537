"""Extraction against what people use instead: frames a second, bytes a frame, and what the JPEGs lose.

    python -m benchmarks.extract VIDEOS --clips 60

Two jobs each, in turns. `tsn` writes verified shards through the command's own function, at several qualities; the
others write JPEG files as their users do, ffmpeg also at other qualities and scalers: the curve to choose from.
PSNR is of the decoded RGB frames, against the frame as the way's own scaler gives it and against ffmpeg's bicubic.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import click
import imageio_ffmpeg
import numpy as np

from benchmarks.common import PATH, interleaved, ratios, report, rounds_option, run, spread, write_option
from benchmarks.peers import cv as cv2
from tsn.pipeline.extract.run import extract_frames
from tsn.pipeline.extract.videos import find_videos
from tsn.tsn_shared.settings import ExtractSettings
from tsn.tsn_shared.shard_file import Shard
from tsn.tsn_shared.shards import find_shards, read_tables

JOBS, WIDTH, HEIGHT, SAMPLED = 2, 340, 256, 5  # SAMPLED: clips whose frames are compared, evenly over those measured
FILES = "ffmpeg, JPEG files"  # what the ratios are to

Extract = Callable[[list[Path], Path], object]  # of videos, into a folder


def shards(videos: list[Path], out: Path, *, quality: int) -> None:
    """Extract a folder of links to the videos as `tsn extract-frames` does."""
    links = out / "videos"
    links.mkdir()
    for number, video in enumerate(videos):
        (links / f"{number:04d}{video.suffix}").symlink_to(video)
    extract_frames(links, ExtractSettings(out=out / "frames", jobs=JOBS, quality=quality, allow_failed=True))


def sound(videos: list[Path], out: Path) -> list[Path]:
    """Return the videos that can be extracted; the others are named, with the reason."""
    measured(partial(shards, quality=2), videos, out)
    failed = dict(chain.from_iterable(read_tables(path).failures for path in find_shards(out / "frames")))
    for name, reason in failed.items():
        click.echo(f"left out, {videos[int(name)]}: {reason}", err=True)
    if len(failed) == len(videos):
        raise click.ClickException("no video is left to be measured")
    return [video for number, video in enumerate(videos) if f"{number:04d}" not in failed]


def ffmpeg_files(video: Path, folder: Path, *, quality: int = 2, flags: str = "bicubic") -> None:
    """Run `ffmpeg -vf scale=340:256 -q:v 2 FOLDER/%05d.jpg`."""
    _ffmpeg("-i", video, "-vf", f"scale={WIDTH}:{HEIGHT}:flags={flags}", "-q:v", quality, folder / "%05d.jpg")


def opencv_files(video: Path, folder: Path) -> None:
    """Read with VideoCapture, resize, imwrite at quality 95."""
    for number, frame in enumerate(_opencv_frames(video)):
        cv2.imwrite(str(folder / f"{number:05d}.jpg"), frame, [cv2.IMWRITE_JPEG_QUALITY, 95])


def one_by_one(extract: Callable[[Path, Path], None], videos: list[Path], out: Path) -> None:
    """Extract each video into a folder of its own, two at once."""
    folders = [out / f"{number:04d}" for number in range(len(videos))]
    for folder in folders:
        folder.mkdir()
    with ThreadPoolExecutor(JOBS) as pool:
        list(pool.map(extract, videos, folders))


WAYS: dict[str, tuple[Extract, str]] = {
    "tsn, shards": (partial(shards, quality=2), "bilinear"),
    FILES: (partial(one_by_one, ffmpeg_files), "bicubic"),
    "OpenCV, JPEG files": (partial(one_by_one, opencv_files), "opencv"),
    "ffmpeg, bilinear": (partial(one_by_one, partial(ffmpeg_files, flags="bilinear")), "bilinear"),
    "ffmpeg, bilinear, q3": (partial(one_by_one, partial(ffmpeg_files, flags="bilinear", quality=3)), "bilinear"),
    "tsn, --quality 3": (partial(shards, quality=3), "bilinear"),
    "tsn, --quality 5": (partial(shards, quality=5), "bilinear"),
}
"""All ways by name, with the scaler of each."""


def jpegs_of(out: Path) -> dict[int, list[bytes]]:
    """Return the JPEGs of each clip, whichever way wrote them."""
    if not (out / "frames").is_dir():
        return {int(folder.name): [path.read_bytes() for path in sorted(folder.iterdir())] for folder in out.iterdir()}
    found: dict[int, list[bytes]] = {}
    for shard in map(Shard, find_shards(out / "frames")):
        spans = zip(shard.tables.names, pairwise(shard.tables.first_frame.tolist()), strict=True)
        found |= {int(name): [shard.read(frame).tobytes() for frame in range(*span)] for name, span in spans}
    return found


def psnr(jpegs: list[bytes], video: Path, scaler: str) -> float:
    """Return the mean PSNR of a clip's frames in dB; of doubled frames at the end the rest is left out."""
    if scaler == "opencv":
        reference = list(_opencv_frames(video))
    else:
        scale = f"scale={WIDTH}:{HEIGHT}:flags={scaler}+accurate_rnd+full_chroma_int+full_chroma_inp"
        raw = ["-fps_mode", "passthrough", "-vf", scale, "-pix_fmt", "bgr24", "-f", "rawvideo", "-"]
        reference = list(np.frombuffer(_ffmpeg("-i", video, *raw), dtype=np.uint8).reshape(-1, HEIGHT, WIDTH, 3))
    frames = (cv2.imdecode(np.frombuffer(jpeg, dtype=np.uint8), cv2.IMREAD_COLOR) for jpeg in jpegs)
    return float(np.mean([cv2.PSNR(frame, wanted) for frame, wanted in zip(frames, reference, strict=False)]))


def _opencv_frames(video: Path) -> Iterator[Any]:
    capture = cv2.VideoCapture(str(video))
    while (read := capture.read())[0]:
        yield cv2.resize(read[1], (WIDTH, HEIGHT))


def _ffmpeg(*words: object) -> bytes:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", *map(str, words)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def measured(way: Extract, videos: list[Path], out: Path) -> float:
    """Extract into an empty folder; return the seconds it took. What others left for the disk to write is written."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    os.sync()
    begun = time.monotonic()
    way(videos, out)
    return time.monotonic() - begun


@click.command()
@click.argument("videos", type=PATH)
@click.option("--clips", default=60, show_default=True, help="Clips, evenly over all.")
@rounds_option
@write_option
def main(videos: Path, clips: int, rounds: int, write: bool) -> None:
    """Measure extraction of VIDEOS."""
    found = [video.path.absolute() for video in find_videos(videos).videos]
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        chosen, rows = sound(found[:: max(1, len(found) // clips)][:clips], Path(folder) / "sound"), []
        turns = {name: partial(measured, way, chosen, Path(folder) / name) for name, (way, _) in WAYS.items()}
        seconds = interleaved(turns, rounds)
        for name, (_, scaler) in WAYS.items():
            jpegs = jpegs_of(Path(folder) / name)
            frames, size = sum(map(len, jpegs.values())), sum(len(jpeg) for clip in jpegs.values() for jpeg in clip)
            row = [name, spread([frames / s for s in seconds[name]]), spread(ratios(seconds[FILES], seconds[name]), 2)]
            some = range(0, len(chosen), max(1, len(chosen) // SAMPLED))
            each = ([psnr(jpegs[clip], chosen[clip], reference) for clip in some] for reference in (scaler, "bicubic"))
            rows.append(
                [*row, f"{frames:,}", f"{size / frames:,.0f}", *(f"{np.mean(decibels):.1f}" for decibels in each)]
            )
    words = f"""Extraction
{len(chosen)} clips, {JOBS} jobs, {rounds} rounds in turns; medians (least to most); x is the ratio to
ffmpeg's files, which double frames, in the same round."""
    heads = ["way", "frames/s", "x", "frames", "bytes a frame", "PSNR, own scaler", "PSNR, bicubic"]
    report("extract", words, heads, rows, write=write)


if __name__ == "__main__":
    run(main)
