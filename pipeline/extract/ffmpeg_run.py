"""A run of ffmpeg under limits: the files that it gets, its process group, its frames and its errors as they come.

Its frames arrive through a pipe, so it dies with us.
"""

import os
import resource
import select
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from tsn.pipeline.extract.ffmpeg_output import Errors

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

STALL_SECONDS = 60.0
"""A video that gives no frame for so long has failed."""

MEMORY_BYTES = 4 << 30
"""Address space of an ffmpeg process: many times what a UCF101 video takes."""

_TICK_SECONDS = 0.25
_PIPE_BYTES = 1 << 20
_READ_BYTES = 1 << 16


class VideoError(Exception):
    """A video that gives no frames to train on; the message is the reason, the same on every machine."""


class VideoStoppedError(Exception):
    """The caller's `stop` said so; nothing is known of the video."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When a video is given up: after seconds without a frame, or at so many bytes of address space."""

    stall_seconds: float = STALL_SECONDS
    memory_bytes: int = MEMORY_BYTES


def never() -> bool:
    """Say that nobody asked to stop."""
    return False


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
def running(command: list[str], files: Sequence[int], limits: Limits) -> Iterator["subprocess.Popen[bytes]"]:
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


class Output(RawIOBase):
    """What a process writes, as a file, its errors taken beside it; VideoError when it gives nothing for too long.

    `pulse()` is another number for every sign of life that is no output.
    """

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        stop: Callable[[], bool],
        limits: Limits,
        pulse: Callable[[], int] = int,
    ) -> None:
        self.errors = Errors()
        self._pulse = pulse
        self._process, self._stop, self._limits = process, stop, limits
        self._frames, self._words = cast("IO[bytes]", process.stdout), cast("IO[bytes]", process.stderr)
        self._poll = select.poll()
        self._poll.register(self._frames, select.POLLIN)
        self._poll.register(self._words, select.POLLIN)
        self._silent = False

    def readable(self) -> bool:
        """Say that there is something to read."""
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Read what is there once there is something; 0 at the end."""
        begun, pulse = time.monotonic(), self._pulse()
        while self._frames.fileno() not in self._ready():
            if (now := self._pulse()) != pulse:
                begun, pulse = time.monotonic(), now
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
