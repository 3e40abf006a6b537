"""Videos to JPEG frames: ffmpeg's run under limits, and the verdict on what came out.

ffmpeg decodes and scales in a process group of its own; its frames arrive through a pipe, so it dies with us.
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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from io import RawIOBase
from itertools import accumulate
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, cast

import imageio_ffmpeg

from pipeline.container import Promise, read_promise
from pipeline.ffmpeg_command import SCALER, FrameSettings, frames_command
from pipeline.ffmpeg_output import Log, read_frames, read_logs
from pipeline.jpeg import encode_jpeg
from tsn_shared.settings import MAX_EDGE

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

LEAST_SHARE = 0.75
"""Of the frames that a header counts must decode. Of UCF101's files 3 % decode to fewer than it says, down to 0.91."""

STALL_SECONDS = 60.0
"""A video that gives no frame for so long has failed."""

MEMORY_BYTES = 4 << 30
"""Address space of an ffmpeg process: many times what a UCF101 video takes."""

_TICK_SECONDS = 0.25
_PIPE_BYTES = 1 << 20


class VideoError(Exception):
    """A video that gives no frames to train on; the message is the reason, the same on every machine."""


class VideoStoppedError(Exception):
    """The caller's `stop` said so; nothing is known of the video."""


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


def made_with() -> dict[str, str]:
    """Return what else decides the bytes of a frame, besides the settings."""
    return {
        "scaler": SCALER,
        "ffmpeg": imageio_ffmpeg.get_ffmpeg_version(),
        "encoder": f"simplejpeg {version('simplejpeg')}",
    }


def decode_videos(
    paths: Sequence[Path],
    settings: FrameSettings,
    out: BinaryIO,
    *,
    stop: Callable[[], bool] = never,
    limits: Limits | None = None,
) -> list[Decoded]:
    """Write the frames of videos to `out`, JPEG after JPEG, all by one ffmpeg, whose start takes 12 ms of a core.

    Raises VideoError when the video fails, VideoStoppedError when `stop()` says so, OSError when `out` is full.
    Of several videos none may give ffmpeg a word to say, since it does not say of which: then each is to be decoded
    alone.
    """
    limits = limits or Limits()
    promises = [_look(path) for path in paths]
    sizes, crc32, height, width, broken = list[int](), list[int](), 0, 0, ""
    with tempfile.TemporaryFile() as log, _running(frames_command(paths, settings), log, limits) as process:
        try:
            for planes in read_frames(_Output(process, stop, limits)):
                height, width = planes[0].shape
                if max(height, width) > MAX_EDGE:
                    raise VideoError(f"its frames are {width}x{height}, too large: extract it with a --size")
                jpeg = encode_jpeg(planes, settings.quality)
                out.write(jpeg)
                sizes.append(len(jpeg))
                crc32.append(zlib.crc32(jpeg))
        except ValueError as error:
            broken = str(error)
            cast("IO[bytes]", process.stdout).close()  # it would wait for a reader
        status = _wait(process, limits)
        log.seek(0)
        said = read_logs(log.read().decode("utf-8", "replace"), len(paths))
    counts = _counts(len(sizes), said, clean=not (status or broken))
    starts = [0, *accumulate(counts)]
    return [
        Decoded(
            sizes=sizes[start : start + count],
            crc32=crc32[start : start + count],
            width=width,
            height=height,
            fps=log.fps,
            note=_verdict(count, status, log, expected=promise.frames, broken=broken),
        )
        for start, count, log, promise in zip(starts, counts, said, promises, strict=False)
    ]


def _counts(frames: int, said: Sequence[Log], *, clean: bool) -> list[int]:
    """Return how many of the frames are each video's."""
    if len(said) == 1:
        return [frames]
    counts = [log.decoded or 0 for log in said]
    if not clean or said[0].errors or 0 in counts or sum(counts) != frames:
        raise VideoError("one of several videos is not plainly whole")
    return counts


def _look(path: Path) -> Promise:
    """Return what a container promises; what is no whole video is refused before ffmpeg opens it."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise VideoError("a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file")
        if status.st_size == 0:
            raise VideoError("an empty file")
        promise = read_promise(path)
    except FileNotFoundError:
        raise VideoError("a link to nothing" if path.is_symlink() else "no such file") from None
    except OSError as error:
        raise VideoError(f"it cannot be read: {error.strerror}") from None
    if promise.end is not None and promise.end > status.st_size:
        raise VideoError(f"truncated: the file ends at byte {status.st_size:,} of {promise.end:,}")
    return promise


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


class _Output(RawIOBase):
    """What a process writes, as a file; reading raises VideoError when it writes nothing for too long."""

    def __init__(self, process: "subprocess.Popen[bytes]", stop: Callable[[], bool], limits: Limits) -> None:
        self._descriptor = process.stdout.fileno() if process.stdout is not None else -1
        self._stop, self._limits = stop, limits
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLIN)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Read what is there once there is something; 0 at the end."""
        waited = 0.0
        while not self._stop():
            if self._poll.poll(_TICK_SECONDS * 1000):
                return os.readv(self._descriptor, [buffer])
            waited += _TICK_SECONDS
            if waited >= self._limits.stall_seconds:
                raise VideoError(f"ffmpeg gave no frame for {self._limits.stall_seconds:g} s")
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
