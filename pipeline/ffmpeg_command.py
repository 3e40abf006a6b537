"""The ffmpeg command that turns videos into one stream of frames."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import ffmpeg
import imageio_ffmpeg

SCALER = "bilinear"
"""Of swscale: what the published runs scaled their frames with."""

CONTAINERS = "avi,mov,matroska,mpeg,mpegts,mpegvideo,flv,asf,ogg,mxf,nut,ivf,gif"
"""Formats that ffmpeg may open, whatever a file is called: a playlist named x.avi would open other files."""

_LOGGED = ("-hide_banner", "-nostats", "-loglevel", "level+verbose")
_GATHER = ("-cpuflags", "+slowgather") if platform.machine() == "x86_64" else ()
"""swscale's way without AVX2's gather gives the same bytes; where a gather is slow, on AMD, it is a tenth faster."""


@dataclass(frozen=True, kw_only=True)
class FrameSettings:
    """What decides the bytes of a frame: size (width, height), None for the video's own; quality, 2 (best) to 31."""

    size: tuple[int, int] | None
    quality: int


def frames_command(videos: Sequence[Path], settings: FrameSettings) -> list[str]:
    """Return the command that writes the frames of videos, one video after the other, to its standard output.

    Every decoded picture becomes a frame once. Several videos need a size that they share.
    """
    # YUV4MPEG2 states the frames' size; flush_packets=0 writes fewer, larger pieces
    return _command(videos, settings, format="yuv4mpegpipe", flush_packets=0)


def stage_command(videos: Sequence[Path], settings: FrameSettings | None) -> list[str]:
    """Return the command that decodes videos, and scales them where there are settings, to nowhere."""
    return _command(videos, settings, format="null")


def _command(videos: Sequence[Path], settings: FrameSettings | None, **to: Any) -> list[str]:
    # `file:` takes any name literally
    names = {_stand_in(number): f"file:{video.absolute()}" for number, video in enumerate(videos)}
    return [names.get(word, word) for word in _words(len(videos), settings, **to)]


@cache
def _words(videos: int, settings: FrameSettings | None, **to: Any) -> tuple[str, ...]:
    """Return a command with stand-ins for the videos, since ffmpeg-python takes no name that is not UTF-8.

    Its log is what `read_logs` understands.
    """
    streams = [_source(number) for number in range(videos)]
    if settings is not None:
        streams = [_scaled(stream, settings) for stream in streams]
    # of sizes that differ only what goes nowhere may be joined
    joined = streams[0] if videos == 1 else ffmpeg.concat(*streams, unsafe=int(settings is None))
    output = joined.output("pipe:1", fps_mode="passthrough", **to).global_args(*_LOGGED, *_GATHER)
    return tuple(output.compile(cmd=imageio_ffmpeg.get_ffmpeg_exe()))


def _stand_in(number: int) -> str:
    return f"VIDEO{number}"


def _source(number: int) -> Any:
    """Return ffmpeg's view of a video: its first video stream that is no cover picture."""
    return ffmpeg.input(_stand_in(number), protocol_whitelist="file", format_whitelist=CONTAINERS, threads=1)["V:0"]


def _scaled(stream: Any, settings: FrameSettings) -> Any:
    """Return the pictures of a stream as frames: of their size, in the colours that JPEG files have, square pixels."""
    size = () if settings.size is None else settings.size
    scaled = stream.filter("scale", *size, flags=SCALER, out_color_matrix="bt601", out_range="pc")
    return scaled.filter("format", "yuv420p").filter("setsar", 1)
