"""One video to JPEG frames: the ffmpeg command, its run under limits, and the verdict on what came out.

ffmpeg decodes, scales and encodes in a process group of its own; its frames arrive through a pipe, so it dies with us.
A frame's number is its position among those decoded: none is doubled, none dropped, no header is believed.
"""

import os
import resource
import select
import signal
import stat
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any, BinaryIO

import ffmpeg
import imageio_ffmpeg

from pipeline.container import Promise, read_promise
from pipeline.ffmpeg_output import Log, jpeg_size, read_log, split_jpegs

SCALER = "bicubic"
"""Of swscale, and its default: frames are those of `ffmpeg -vf scale=340:256`."""

CONTAINERS = "avi,mov,matroska,mpeg,mpegts,mpegvideo,flv,asf,ogg,mxf,nut,ivf,gif"
"""Formats that ffmpeg may open, whatever a file is called: a playlist named x.avi would open other files."""

LEAST_SHARE = 0.75
"""Of the frames that a header counts must decode. Of UCF101's files 3 % decode to fewer than it says, down to 0.91."""

STALL_SECONDS = 60.0
"""A video that gives no frame for so long has failed."""

MEMORY_BYTES = 4 << 30
"""Address space of an ffmpeg process: many times what a UCF101 video takes."""

_INPUT = "VIDEO"
_TICK_SECONDS = 0.25
_PIPE_BYTES = 1 << 20


class VideoError(Exception):
    """A video that gives no frames to train on; the message is the reason, the same on every machine."""


class VideoStoppedError(Exception):
    """The caller's `stop` said so; nothing is known of the video."""


@dataclass(frozen=True, kw_only=True)
class FrameSettings:
    """What decides the bytes of a frame: size (width, height), None for the video's own; quality, 2 (best) to 31."""

    size: tuple[int, int] | None
    quality: int


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """A video's F frames: bytes and CRC32 of each, their width and height, fps (0: unknown), and a note, mostly ''."""

    sizes: list[int]
    crc32: list[int]
    width: int
    height: int
    fps: float
    note: str


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When a video is given up: after seconds without a frame, or at so many bytes of address space."""

    stall_seconds: float = STALL_SECONDS
    memory_bytes: int = MEMORY_BYTES


def never() -> bool:
    """Say that nobody asked to stop."""
    return False


def decode_video(
    path: Path,
    settings: FrameSettings,
    out: BinaryIO,
    *,
    stop: Callable[[], bool] = never,
    limits: Limits | None = None,
) -> Decoded:
    """Write a video's frames to `out`, JPEG after JPEG.

    Raises VideoError when the video fails, VideoStoppedError when `stop()` says so, OSError when `out` is full.
    """
    limits = limits or Limits()
    size, promise = _look(path)
    sizes, crc32, shapes, broken = list[int](), list[int](), set[tuple[int, int]](), ""
    with tempfile.TemporaryFile() as log, _running(ffmpeg_command(path, settings), log, limits) as process:
        try:
            for jpeg in split_jpegs(_chunks(process, stop, limits)):
                shapes.add(jpeg_size(jpeg))
                out.write(jpeg)
                sizes.append(len(jpeg))
                crc32.append(zlib.crc32(jpeg))
        except ValueError as error:
            broken = str(error)
        status = _wait(process, limits)
        log.seek(0)
        said = read_log(log.read().decode("utf-8", "replace"))
    if promise.end is not None and promise.end > size:
        raise VideoError(f"truncated: the file ends at byte {size:,} of {promise.end:,}")
    note = _verdict(len(sizes), status, said, expected=promise.frames or said.expected, broken=broken)
    if len(shapes) > 1:
        raise VideoError(f"frames of {len(shapes)} sizes: extract it with a --size")
    width, height = shapes.pop()
    return Decoded(sizes=sizes, crc32=crc32, width=width, height=height, fps=said.fps, note=note)


def ffmpeg_command(path: Path, settings: FrameSettings) -> list[str]:
    """Return the command that turns a video into a stream of JPEGs on its standard output."""
    # `file:` takes any name literally
    return [f"file:{path.absolute()}" if word == _INPUT else word for word in _command(settings)]


@cache
def _command(settings: FrameSettings) -> tuple[str, ...]:
    """Return the command with a stand-in for the video, since ffmpeg-python takes no name that is not UTF-8."""
    # mpjpeg states the length of every JPEG
    output = source(_INPUT).output("pipe:1", format="mpjpeg", vf=scaling(settings), **encoder(settings))
    return tuple(compiled(output))


def source(name: str) -> Any:
    """Return ffmpeg's view of a video: its first video stream that is no cover picture."""
    return ffmpeg.input(name, protocol_whitelist="file", format_whitelist=CONTAINERS, threads=1)["V:0"]


def scaling(settings: FrameSettings) -> str:
    """Return the filters that make a picture a frame: its size, and the colours that JPEG files have.

    They are those of one output stream: as a graph of its own ffmpeg runs them 6 % slower.
    """
    size = "" if settings.size is None else f"{settings.size[0]}:{settings.size[1]}:"
    return f"scale={size}flags={SCALER}:out_color_matrix=bt601,format=yuv420p"


def encoder(settings: FrameSettings) -> dict[str, Any]:
    """Return what ffmpeg encodes frames with, every decoded one once.

    With the default Huffman tables a video takes a seventh less time than with optimal ones, for 3 % more bytes.
    """
    return {
        "vcodec": "mjpeg",
        "q:v": settings.quality,
        "huffman": "default",
        "fps_mode": "passthrough",
        "flush_packets": 0,  # fewer, larger writes
        "threads": 1,
    }


def compiled(output: Any) -> list[str]:
    """Return the words of a command whose log `read_log` understands."""
    logged = output.global_args("-hide_banner", "-nostats", "-loglevel", "level+verbose")
    words: list[str] = logged.compile(cmd=imageio_ffmpeg.get_ffmpeg_exe())
    return words


def _look(path: Path) -> tuple[int, Promise]:
    """Return a file's size and what its container promises; what is no video is refused before ffmpeg opens it."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise VideoError("a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file")
        if status.st_size == 0:
            raise VideoError("an empty file")
        return status.st_size, read_promise(path)
    except FileNotFoundError:
        raise VideoError("a link to nothing" if path.is_symlink() else "no such file") from None
    except OSError as error:
        raise VideoError(f"it cannot be read: {error.strerror}") from None


@contextmanager
def _running(command: list[str], log: IO[bytes], limits: Limits) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a command in a process group of its own, which ends with the context."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=log,
        pipesize=_PIPE_BYTES,
        start_new_session=True,
    )
    try:
        resource.prlimit(process.pid, resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _chunks(process: "subprocess.Popen[bytes]", stop: Callable[[], bool], limits: Limits) -> Iterator[bytes]:
    """Yield what a process writes until it closes its output; VideoError when it writes nothing for too long."""
    descriptor = process.stdout.fileno() if process.stdout is not None else -1
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    waited = 0.0
    while not stop():
        if poll.poll(_TICK_SECONDS * 1000):
            waited = 0.0
            chunk = os.read(descriptor, _PIPE_BYTES)
            if not chunk:
                return
            yield chunk
        elif (waited := waited + _TICK_SECONDS) >= limits.stall_seconds:
            raise VideoError(f"ffmpeg gave no frame for {limits.stall_seconds:g} s")
    raise VideoStoppedError


def _wait(process: "subprocess.Popen[bytes]", limits: Limits) -> int:
    try:
        return process.wait(timeout=limits.stall_seconds)
    except subprocess.TimeoutExpired:
        raise VideoError(f"ffmpeg did not end within {limits.stall_seconds:g} s after its last frame") from None


def _verdict(frames: int, status: int, said: Log, *, expected: int | None, broken: str) -> str:
    """Return the note on a video, mostly ''; VideoError when it fails."""
    if status < 0:
        raise VideoError(f"ffmpeg was ended by {signal.Signals(-status).name}")
    if status > 0 or frames == 0:
        raise VideoError(said.error or f"ffmpeg gave {frames} frames and ended with code {status}")
    if broken or said.decoded not in (None, frames):
        raise VideoError(broken or f"ffmpeg decoded {said.decoded} frames, but {frames} arrived")
    notes = []
    if expected is not None and frames < expected:
        if frames < LEAST_SHARE * expected:
            raise VideoError(f"truncated: {frames} of {expected} frames decode")
        notes.append(f"{frames} of {expected} frames decode")
    if said.errors:
        notes.append(f"{said.errors} decoding errors, the first: {said.error}")
    return "; ".join(notes)
