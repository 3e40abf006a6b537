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
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from io import RawIOBase
from itertools import accumulate
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, cast

import imageio_ffmpeg

from pipeline.container import read_promise
from pipeline.ffmpeg_command import SCALER, TOO_MANY_ERRORS, FrameSettings, frames_command
from pipeline.ffmpeg_output import Errors, Marks, read_frames, read_marks
from pipeline.jpeg import encode_jpeg
from pipeline.promise import Promise
from tsn_shared.settings import MAX_EDGE

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

LEAST_SHARE = 0.75
"""Of the frames in a container must decode. Of UCF101's files 3 % decode to fewer than there are, down to 0.91."""

STALL_SECONDS = 60.0
"""A video that gives no frame for so long has failed."""

MEMORY_BYTES = 4 << 30
"""Address space of an ffmpeg process: many times what a UCF101 video takes."""

_TICK_SECONDS = 0.25
_PIPE_BYTES = 1 << 20
_READ_BYTES = 1 << 16
_NOT_WHOLE = "one of several videos is not plainly whole"


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
    sizes, crc32, height, width, broken = list[int](), list[int](), 0, 0, ""
    with ExitStack() as stack:
        videos = [stack.enter_context(open_video(path)) for path in paths]
        promises = [read_promise(video) for video in videos]
        if len(videos) > 1 and any(promise.missing for promise in promises):
            raise VideoError(_NOT_WHOLE)
        marks = stack.enter_context(memory_file())
        command = frames_command(videos, marks, settings)
        process = stack.enter_context(_running(command, (*videos, marks), limits))
        output = _Output(process, stop, limits)
        try:
            for planes in read_frames(output):
                height, width = planes[0].shape
                if max(height, width) > MAX_EDGE:
                    raise VideoError(f"its frames are {width}x{height}, too large: extract it with a --size")
                jpeg = encode_jpeg(planes, settings.quality)
                out.write(jpeg)
                sizes.append(len(jpeg))
                crc32.append(zlib.crc32(jpeg))
        except ValueError as error:
            broken = str(error)
        status = output.finish()
        told = read_marks(read_whole(marks), len(paths))
    if not (status or broken) and sum(each.frames for each in told) != len(sizes):
        broken = f"ffmpeg decoded {sum(each.frames for each in told)} frames, but {len(sizes)} arrived"
    if len(paths) > 1 and (status or broken or output.errors.count or not all(each.frames for each in told)):
        raise VideoError(_NOT_WHOLE)
    counts = [each.frames for each in told] if len(paths) > 1 else [len(sizes)]
    starts = [0, *accumulate(counts)]
    return [
        Decoded(
            sizes=sizes[start : start + count],
            crc32=crc32[start : start + count],
            width=width,
            height=height,
            fps=marked.fps,
            note=_verdict(count, status, output.errors, promise, marked, broken=broken),
        )
        for start, count, marked, promise in zip(starts, counts, told, promises, strict=False)
    ]


@contextmanager
def open_video(path: Path) -> Iterator[int]:
    """Open a file to read, and give its descriptor; VideoError where it is nothing that could be a video."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise VideoError("a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file")
        if status.st_size == 0:
            raise VideoError("an empty file")
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise VideoError("a link to nothing" if path.is_symlink() else "no such file") from None
    except OSError as error:
        raise VideoError(f"it cannot be read: {error.strerror}") from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def memory_file() -> Iterator[int]:
    """Give the descriptor of a file in memory, which no full disk cuts short."""
    descriptor = os.memfd_create("tsn")
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def read_whole(descriptor: int) -> bytes:
    """Return all that an open file holds."""
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


@contextmanager
def _running(command: list[str], files: Sequence[int], limits: Limits) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a command, which gets open files, in a process group of its own, which ends with the context."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pipesize=_PIPE_BYTES,
        start_new_session=True,
        pass_fds=files,
    )
    try:
        resource.prlimit(process.pid, resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdout, process.stderr):
            cast("IO[bytes]", stream).close()


class _Output(RawIOBase):
    """What a process writes, as a file, its errors taken beside it; VideoError when it gives nothing for too long."""

    def __init__(self, process: "subprocess.Popen[bytes]", stop: Callable[[], bool], limits: Limits) -> None:
        self.errors = Errors()
        self._process, self._stop, self._limits = process, stop, limits
        self._frames, self._words = cast("IO[bytes]", process.stdout), cast("IO[bytes]", process.stderr)
        self._poll = select.poll()
        self._poll.register(self._frames, select.POLLIN)
        self._poll.register(self._words, select.POLLIN)
        self._silent = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Read what is there once there is something; 0 at the end."""
        begun = time.monotonic()
        while self._frames.fileno() not in self._ready():
            if time.monotonic() - begun >= self._limits.stall_seconds:
                raise VideoError(f"ffmpeg gave no frame for {self._limits.stall_seconds:g} s")
        return os.readv(self._frames.fileno(), [buffer])

    def finish(self) -> int:
        """Take no more frames, and return the process's exit code once it has ended."""
        self._poll.unregister(self._frames)
        self._frames.close()  # it would wait for a reader
        begun = time.monotonic()
        while not self._silent or self._process.poll() is None:
            if time.monotonic() - begun >= self._limits.stall_seconds:
                raise VideoError(f"ffmpeg did not end within {self._limits.stall_seconds:g} s after its last frame")
            if self._silent:
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(_TICK_SECONDS)
            else:
                self._ready()
        return self._process.returncode

    def _ready(self) -> set[int]:
        """Wait a moment, and return which descriptors have something to read; errors are taken at once."""
        if self._stop():
            raise VideoStoppedError
        ready = {descriptor for descriptor, _ in self._poll.poll(_TICK_SECONDS * 1000)}
        if self._words.fileno() in ready:
            written = os.read(self._words.fileno(), _READ_BYTES)
            self.errors.take(written or b"\n")
            if not written:
                self._poll.unregister(self._words)
                self._silent = True
        return ready


def _verdict(frames: int, status: int, errors: Errors, promise: Promise, marked: Marks, *, broken: str) -> str:
    """Return the note on a video, mostly ''; VideoError when it fails."""
    expected = promise.frames
    whole = expected is not None and frames >= expected and not errors.count and not status
    if status < 0:
        raise VideoError(f"ffmpeg was ended by {signal.Signals(-status).name}")
    if promise.missing and not whole:
        raise VideoError(f"truncated: the file ends at byte {promise.size:,} of {promise.size + promise.missing:,}")
    if expected == 0 and frames == 0:
        raise VideoError("none of its frames is to be shown")
    if expected is not None and 0 < frames < LEAST_SHARE * expected:
        raise VideoError(f"truncated: {frames} of {expected} frames decode")
    if status == TOO_MANY_ERRORS and frames:
        raise VideoError(f"damaged: over {1 - LEAST_SHARE:.0%} of its frames do not decode")
    if status > 0 or frames == 0:
        raise VideoError(str(errors) or f"ffmpeg gave {frames} frames and ended with code {status}")
    if broken:
        raise VideoError(broken)
    notes = []
    if expected is not None and frames < expected:
        notes.append(f"{frames} of {expected} frames decode")
    if promise.missing:
        notes.append(f"the file ends {promise.missing:,} bytes before its container says, but no frame is missing")
    if errors.count:
        notes.append(f"{errors.count} decoding errors, the first: {errors}")
    return "; ".join(notes)
