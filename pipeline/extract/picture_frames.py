"""A folder of frames to JPEG frames: those of the right size as they are, others through the ffmpeg that scales videos.

Their colours are taken, and their pixels scaled, by the same filters as those of a video.
"""

import io
import os
from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import simplejpeg

from tsn.pipeline.extract.ffmpeg_command import FrameSettings, frames_command
from tsn.pipeline.extract.ffmpeg_run import (
    Limits,
    Output,
    VideoError,
    VideoStoppedError,
    memory_file,
    never,
    open_video,
    running,
)
from tsn.pipeline.extract.frame_folders import list_pictures
from tsn.pipeline.extract.video import Decoded, FrameWriter
from tsn.tsn_shared.jpeg_header import read_header
from tsn.tsn_shared.settings import MAX_EDGE

MOST_BYTES = 256 << 20
"""Of a picture's file."""

TOGETHER_BYTES = 16 << 20
"""Pictures that one ffmpeg scales, by the size of their files."""

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture's name, what is in its file, and its size (width, height)."""

    name: str
    data: bytes
    size: tuple[int, int]


def decode_pictures(
    folder: Path,
    settings: FrameSettings,
    out: BinaryIO,
    *,
    stop: Callable[[], bool] = never,
    limits: Limits | None = None,
    wanted: Container[int] | None = None,
) -> Decoded:
    """Write the numbered pictures of a folder to `out` as a video's frames, JPEG after JPEG: all, or those `wanted`.

    JPEGs of the size of the settings, or of any where that is None, are written byte for byte. VideoError names the
    picture that is damaged, too large, or of another size than the first where sizes are kept.
    """
    series = list_pictures(folder)
    writer = FrameWriter(out, settings.quality, wanted=wanted)
    size, waiting = settings.size, list[Picture]()

    def scale() -> None:
        if waiting:
            _scale(waiting, settings, writer, stop, limits or Limits())
            waiting.clear()

    for name in series.names:
        if stop():
            raise VideoStoppedError
        picture = _read(folder / name)
        size = size or picture.size
        if settings.size is None and picture.size != size:
            other = "{}x{}, the first {}x{}".format(*picture.size, *size)
            raise VideoError(f"{name} is {other}: extract it with a --size")
        if picture.size == size and _is_plain_jpeg(picture):
            scale()
            writer.write(picture.data, picture.size)
            continue
        if waiting and (
            waiting[0].data[:2] != picture.data[:2]
            or sum(len(other.data) for other in waiting) + len(picture.data) > TOGETHER_BYTES
        ):
            scale()
        waiting.append(picture)
    scale()
    return writer.decoded(fps=0.0, note=series.note)


def _read(path: Path) -> Picture:
    """Read a JPEG or PNG file, and the size that it states; VideoError where it is none, or more than one may be."""
    try:
        with open_video(path) as descriptor, os.fdopen(os.dup(descriptor), "rb") as file:
            data = file.read(MOST_BYTES + 1) if os.fstat(descriptor).st_size <= MOST_BYTES else None
    except (VideoError, OSError) as error:
        raise VideoError(f"{path.name}: {getattr(error, 'strerror', None) or error}") from None
    if data is None or len(data) > MOST_BYTES:
        raise VideoError(f"{path.name}: a file of over {MOST_BYTES:,} bytes")
    if data.startswith(_PNG) and data[12:16] == b"IHDR" and len(data) >= 24:
        size = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    elif (header := read_header(data)) is not None:
        size = header.width, header.height
    else:
        raise VideoError(f"{path.name}: neither a JPEG nor a PNG picture, or damaged at its beginning")
    if not 1 <= min(size) <= max(size) <= MAX_EDGE:
        raise VideoError(f"{path.name}: its edges are not from 1 to {MAX_EDGE:,} pixels: {size[0]}x{size[1]}")
    return Picture(name=path.name, data=data, size=size)


def _is_plain_jpeg(picture: Picture) -> bool:
    """Say whether a picture is a JPEG in colours that a loader takes; VideoError where it does not decode."""
    if not picture.data.startswith(_JPEG):
        return False
    try:
        if simplejpeg.decode_jpeg_header(picture.data)[2] in ("CMYK", "YCCK"):
            return False
        simplejpeg.decode_jpeg(picture.data, colorspace="GRAY")
    except ValueError as error:
        raise VideoError(f"{picture.name} is damaged: {error}") from None
    return True


def _scale(
    pictures: list[Picture], settings: FrameSettings, writer: FrameWriter, stop: Callable[[], bool], limits: Limits
) -> None:
    """Write pictures of one kind as frames; VideoError names the one that ffmpeg does not take."""
    reason = _run(pictures, settings, writer, stop, limits)
    while reason and len(pictures) > 1:
        half = pictures[: len(pictures) // 2]
        found = _run(half, settings, FrameWriter(io.BytesIO(), settings.quality), stop, limits)
        pictures = half if found else pictures[len(half) :]
    if reason:
        nowhere = FrameWriter(io.BytesIO(), settings.quality)
        reason = _run(pictures, settings, nowhere, stop, limits) or reason
        raise VideoError(f"{pictures[0].name}: {reason}")


def _run(
    pictures: list[Picture], settings: FrameSettings, writer: FrameWriter, stop: Callable[[], bool], limits: Limits
) -> str:
    """Let ffmpeg scale pictures, as a stream of them; return what is wrong, '' where each became a frame."""
    before = writer.arrived
    with memory_file() as stream, memory_file() as marks:
        with os.fdopen(os.dup(stream), "wb") as file:
            file.writelines(picture.data for picture in pictures)
        os.lseek(stream, 0, os.SEEK_SET)
        command = frames_command([stream], marks, settings, rotated=False)  # it would turn those that follow, too
        with running(command, (stream, marks), limits) as process:
            output = Output(process, stop, limits)
            broken = writer.take(output)
            status = output.finish()
    frames = writer.arrived - before
    if status or broken or output.errors.count or frames != len(pictures):
        return str(output.errors) or broken or f"{len(pictures)} pictures became {frames} frames, with code {status}"
    return ""
