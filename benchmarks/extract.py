"""Extraction against what people use instead: frames a second, bytes a frame, and what the JPEGs lose.

    python -m benchmarks.extract VIDEOS [--clips 60] [--rounds 5] [--memory]

Two jobs each, in turns. `ours` writes verified shards through the command's own function; the others write JPEG files
as their users do. The encoders below them only decode, scale and encode, a video at a time, through pipes: the curve to
choose from.
PSNR is of the decoded RGB frames, against the frame as the way's own scaler gives it and against ffmpeg's bicubic.
"""

import argparse
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, redirect_stderr
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any, cast

import imageio_ffmpeg
import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.common import interleaved, machine, table, write_result
from tsn.pipeline.extract.ffmpeg_command import FrameSettings, frames_command
from tsn.pipeline.extract.ffmpeg_output import read_planes
from tsn.pipeline.extract.ffmpeg_run import memory_file, open_video
from tsn.pipeline.extract.run import extract_frames
from tsn.pipeline.extract.videos import find_videos
from tsn.pipeline.extract.workers import decoder_threads
from tsn.tsn_shared.settings import ExtractSettings
from tsn.tsn_shared.shard_file import Shard
from tsn.tsn_shared.shards import find_shards, read_tables

JOBS = 2
WIDTH, HEIGHT = 340, 256
SAMPLED = 5
"""Clips whose frames are compared, evenly over those measured."""

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
Frames = npt.NDArray[np.uint8]
Way = Callable[[list[Path], Path], None]
"""Extracts videos into a folder."""


def ours(videos: list[Path], out: Path) -> None:
    """Extract a folder of links to the videos with the command's defaults."""
    links = out / "videos"
    links.mkdir()
    for number, video in enumerate(videos):
        (links / f"{number:04d}{video.suffix}").symlink_to(video)
    with redirect_stderr(io.StringIO()):
        extract_frames(links, ExtractSettings(out=out / "frames", jobs=JOBS))


def ffmpeg_files(videos: list[Path], out: Path) -> None:
    """Run one `ffmpeg -vf scale=340:256 -q:v 2 DIR/%05d.jpg` a video, two at once."""

    def one(work: tuple[int, Path]) -> None:
        folder = out / f"{work[0]:04d}"
        folder.mkdir()
        words = ["-vf", f"scale={WIDTH}:{HEIGHT}", "-q:v", "2", str(folder / "%05d.jpg")]
        _ffmpeg("-i", str(work[1]), *words)

    with ThreadPoolExecutor(JOBS) as pool:
        list(pool.map(one, enumerate(videos)))


def opencv_files(videos: list[Path], out: Path, pool: ProcessPoolExecutor) -> None:
    """Read with VideoCapture, resize, imwrite at quality 95, in two processes."""
    for number in range(len(videos)):
        (out / f"{number:04d}").mkdir()
    list(pool.map(opencv_one, videos, [out / f"{number:04d}" for number in range(len(videos))]))


def opencv_one(video: Path, folder: Path) -> None:
    """Write the frames of a video as JPEG files."""
    import cv2

    cv2.setNumThreads(1)
    for number, frame in enumerate(_opencv_frames(video)):
        cv2.imwrite(str(folder / f"{number:05d}.jpg"), frame, [cv2.IMWRITE_JPEG_QUALITY, 95])


def mjpeg_pipe(videos: list[Path], out: Path, *, flags: str, quality: int, huffman: str) -> None:
    """Decode, scale and encode with ffmpeg; the JPEGs go into one file a video."""
    scale = f"scale={WIDTH}:{HEIGHT}:flags={flags}"
    words = ["-vf", scale, "-c:v", "mjpeg", "-q:v", str(quality), "-huffman", huffman, "-threads", "1"]

    def one(work: tuple[int, Path]) -> None:
        data = _ffmpeg("-threads", "1", "-i", str(work[1]), "-fps_mode", "passthrough", *words, "-f", "mpjpeg", "-")
        _write_frames(out / f"{work[0]:04d}", split_jpegs(data))

    with decoder_threads(JOBS) as pool:
        list(pool.map(one, enumerate(videos)))


def split_jpegs(data: bytes) -> Iterator[bytes]:
    """Cut a multipart stream into its JPEGs."""
    for part in re.finditer(rb"Content-length: (\d+)\r\n\r\n", data):
        yield data[part.end() : part.end() + int(part[1])]


def turbo_pipe(videos: list[Path], out: Path, *, quality: int, flags: str = "bilinear") -> None:
    """Decode and scale with ffmpeg, encode its planes with libjpeg-turbo."""
    import simplejpeg

    def one(work: tuple[int, Path]) -> None:
        with ExitStack() as stack:
            files = stack.enter_context(open_video(work[1])), stack.enter_context(memory_file())
            words = frames_command(files[:1], files[1], FrameSettings(size=(WIDTH, HEIGHT), quality=2))
            command = [word.replace("flags=bilinear", f"flags={flags}") for word in words]
            pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "bufsize": 0}
            process = stack.enter_context(subprocess.Popen(command, pass_fds=files, **pipes))
            frames = read_planes(cast("io.FileIO", process.stdout))
            jpegs = (simplejpeg.encode_jpeg_yuv_planes(*planes, quality) for planes in frames)
            _write_frames(out / f"{work[0]:04d}", jpegs)

    with decoder_threads(JOBS) as pool:
        list(pool.map(one, enumerate(videos)))


def _write_frames(path: Path, jpegs: Iterator[bytes]) -> None:
    """Write JPEGs back to back, and their sizes beside them."""
    frames = list(jpegs)
    path.with_suffix(".jpegs").write_bytes(b"".join(frames))
    np.save(path.with_suffix(".npy"), np.array([len(frame) for frame in frames]))


def jpegs_of(out: Path, clip: int) -> list[bytes]:
    """Return the JPEGs of a clip, whichever way wrote them."""
    if (out / f"{clip:04d}").is_dir():
        return [path.read_bytes() for path in sorted((out / f"{clip:04d}").iterdir())]
    if (out / f"{clip:04d}.jpegs").exists():
        data, ends = (out / f"{clip:04d}.jpegs").read_bytes(), np.load(out / f"{clip:04d}.npy").cumsum().tolist()
        return [data[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    for path in find_shards(out / "frames"):
        tables = read_tables(path)
        if f"{clip:04d}" not in tables.names:
            continue
        shard, row = Shard(path), tables.names.index(f"{clip:04d}")
        return [shard.read(f).tobytes() for f in range(int(tables.first_frame[row]), int(tables.first_frame[row + 1]))]
    raise LookupError(f"clip {clip} was not extracted")


def count(out: Path) -> tuple[int, int]:
    """Return how many frames and JPEG bytes a way wrote."""
    if (out / "frames").is_dir():
        tables = [read_tables(path) for path in find_shards(out / "frames")]
        return sum(len(t.crc32) for t in tables), sum(int(t.offset[-1]) for t in tables)
    if arrays := [np.load(path) for path in out.glob("*.npy")]:
        return sum(map(len, arrays)), int(sum(array.sum() for array in arrays))
    sizes = [path.stat().st_size for path in out.rglob("*.jpg")]
    return len(sizes), sum(sizes)


def lossless(video: Path, flags: str) -> Frames:
    """Return a video's frames as ffmpeg scales them, uncompressed RGB (F, H, W, 3)."""
    scale = f"scale={WIDTH}:{HEIGHT}:flags={flags}+accurate_rnd+full_chroma_int+full_chroma_inp"
    raw = _ffmpeg(
        "-i", str(video), "-fps_mode", "passthrough", "-vf", scale, "-pix_fmt", "rgb24", "-f", "rawvideo", "-"
    )
    return np.frombuffer(raw, dtype=np.uint8).reshape(-1, HEIGHT, WIDTH, 3)


def lossless_opencv(video: Path) -> Frames:
    """Return a video's frames as OpenCV scales them."""
    return np.stack(list(_opencv_frames(video)))[..., ::-1]


def psnr(jpegs: list[bytes], reference: Frames) -> float:
    """Return the mean PSNR of the frames in dB; of doubled frames at the end the rest is left out."""
    values = []
    for jpeg, wanted in zip(jpegs, reference, strict=False):
        frame = np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))
        error = np.mean((frame.astype(np.float64) - wanted) ** 2)
        values.append(10 * np.log10(255**2 / max(error, 1e-9)))
    return float(np.mean(values))


def _opencv_frames(video: Path) -> Iterator[Frames]:
    import cv2

    capture = cv2.VideoCapture(str(video))
    while True:
        there, frame = capture.read()
        if not there:
            return
        yield cv2.resize(frame, (WIDTH, HEIGHT))  # type: ignore[misc]


def _ffmpeg(*words: str) -> bytes:
    return subprocess.run([FFMPEG, "-v", "error", "-nostdin", *words], check=True, stdout=subprocess.PIPE).stdout


def peak_memory(seconds: int) -> tuple[float, float]:
    """Extract a video of so many seconds in a process of its own; return its and ffmpeg's peak RSS in MB."""
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "videos" / "long.avi"
        video.parent.mkdir()
        _ffmpeg("-f", "lavfi", "-i", f"testsrc=size=320x240:rate=25:duration={seconds}", "-c:v", "mpeg4", str(video))
        code = f"""
import resource
from pathlib import Path
from tsn.pipeline.extract.run import extract_frames
from tsn.tsn_shared.settings import ExtractSettings
extract_frames(Path({str(video.parent)!r}), ExtractSettings(out=Path({folder!r}) / "frames", jobs=1))
own = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
print(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    own, child = done.stdout.split()
    return int(own) / 1024, int(child) / 1024


def measured(way: Way, videos: list[Path], out: Path) -> float:
    """Extract into an empty folder; return the seconds it took. What others left for the disk to write is written."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    os.sync()
    begun = time.monotonic()
    way(videos, out)
    return time.monotonic() - begun


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", type=Path)
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", action="store_true", help="also extract a video of an hour")
    given = parser.parse_args()
    found = [video.path for video in find_videos(given.videos).videos]
    videos = [path.absolute() for path in found[:: max(1, len(found) // given.clips)][: given.clips]]
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(JOBS, mp_context=get_context("spawn")) as pool,
    ):
        text = compare(videos, Path(folder), pool, given.rounds)
    if given.memory:
        rows = [[f"{seconds:,} s", *(f"{mb:.0f} MB" for mb in peak_memory(seconds))] for seconds in (1, 3600)]
        text += "\n\nPeak resident memory:\n\n" + table(["length of the video", "tsn", "its ffmpeg"], rows)
    print(text)
    print(write_result("extract", text))


def compare(videos: list[Path], folder: Path, pool: ProcessPoolExecutor, rounds: int) -> str:
    """Measure all ways in turns and return the report."""
    mjpeg = partial(mjpeg_pipe, flags="bicubic", quality=2, huffman="default")
    ways: dict[str, tuple[Way, str]] = {
        "ours, shards": (ours, "bilinear"),
        "ffmpeg, JPEG files": (ffmpeg_files, "bicubic"),
        "OpenCV, JPEG files": (partial(opencv_files, pool=pool), "opencv"),
        "mjpeg q2": (mjpeg, "bicubic"),
        "mjpeg q2, optimal Huffman": (partial(mjpeg, huffman="optimal"), "bicubic"),
        "mjpeg q2, bilinear": (partial(mjpeg, flags="bilinear"), "bilinear"),
        "mjpeg q3, bilinear": (partial(mjpeg, flags="bilinear", quality=3), "bilinear"),
        "libjpeg-turbo q85, bilinear": (partial(turbo_pipe, quality=85), "bilinear"),
        "libjpeg-turbo q90, bilinear": (partial(turbo_pipe, quality=90), "bilinear"),
        "libjpeg-turbo q95, bilinear": (partial(turbo_pipe, quality=95), "bilinear"),
        "libjpeg-turbo q90, bicubic": (partial(turbo_pipe, quality=90, flags="bicubic"), "bicubic"),
    }
    warm = folder / "warm"
    measured(ways["OpenCV, JPEG files"][0], videos[:2], warm)  # its processes import once
    seconds = interleaved(
        {name: partial(measured, way, videos, folder / name) for name, (way, _) in ways.items()}, rounds
    )
    rows = []
    base = "ffmpeg, JPEG files"
    sampled = range(0, len(videos), max(1, len(videos) // SAMPLED))
    for name, (_, scaler) in ways.items():
        out = folder / name
        frames, size = count(out)
        ratio = median(b / a for a, b in zip(seconds[name], seconds[base], strict=True))
        own, common = quality(out, videos, sampled, scaler), quality(out, videos, sampled, "bicubic")
        rows.append(
            [
                name,
                f"{frames / median(seconds[name]):,.0f}",
                f"{ratio:.2f}",
                f"{frames:,}",
                f"{size / frames:,.0f}",
                f"{own:.1f}",
                f"{common:.1f}",
            ]
        )
    headers = ["way", "frames/s", "x", "frames", "bytes a frame", "PSNR, own scaler", "PSNR, bicubic"]
    return (
        f"# Extraction\n\n{machine()}. {len(videos)} clips of UCF101, {JOBS} jobs, {rounds} rounds in turns; frames/s "
        "are medians, x is the median over the rounds of the ratio to JPEG files by ffmpeg, which double frames.\n\n"
        + table(headers, rows)
    )


def quality(out: Path, videos: list[Path], sampled: range, scaler: str) -> float:
    """Return the mean PSNR of some clips."""
    values = []
    for clip in sampled:
        video = videos[clip]
        reference = lossless_opencv(video) if scaler == "opencv" else lossless(video, scaler)
        values.append(psnr(jpegs_of(out, clip), reference))
    return float(np.mean(values))


if __name__ == "__main__":
    main()
