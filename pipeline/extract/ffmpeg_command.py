"""The ffmpeg command that turns videos into one stream of frames, and a mark for every frame of which video it is."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import ffmpeg
import imageio_ffmpeg

SCALER = "bilinear"
"""Of swscale: what the published runs scaled their frames with."""

CONTAINERS = (
    "avi,mov,matroska,mpeg,mpegts,mpegvideo,flv,asf,ogg,mxf,nut,ivf,gif,rm,wtv,swf,apng,"
    "h264,hevc,vvc,m4v,mjpeg,jpeg_pipe,png_pipe,dv,obu,av1"
)
"""Formats that ffmpeg may open, whatever a file is called: a playlist named x.avi would open other files.

The second line are streams without a container.
"""

MOST_ERRORS = 0.25
"""Share of a video's frames that may fail to decode, by ffmpeg's own count, before it ends with code 69."""

TOO_MANY_ERRORS = 69

MARK = "video"
"""Key of the one fact that a frame carries: the number of its video."""

_GATHER = ("-cpuflags", "+slowgather") if platform.machine() == "x86_64" else ()
"""swscale's way without AVX2's gather gives the same bytes; where a gather is slow, on AMD, it is a tenth faster."""

_MARKS, _CHOSEN = "MARKS", "CHOSEN"


@dataclass(frozen=True, kw_only=True)
class FrameSettings:
    """What decides the bytes of a frame: size (width, height), None for the video's own; quality, 2 (best) to 31."""

    size: tuple[int, int] | None
    quality: int


def frames_command(
    videos: Sequence[int],
    marks: int,
    settings: FrameSettings,
    *,
    rotated: bool = True,
    chosen: Sequence[int] | None = None,
) -> list[str]:
    """Return the command that writes the frames of videos, one video after the other, to its standard output.

    Videos are open files, given by their descriptors, which ffmpeg reads from their present position: it sees no name,
    and may open nothing else. Every decoded picture becomes a frame once, and a mark in the open file `marks`, as
    `read_marks` understands it. Several videos need a size that they share. Standard error gets errors, a line each.
    Unless `rotated`, what a video says of its orientation is not applied. Of the pictures of one video that is read
    only those that are `chosen`, if any, become frames; all leave their marks. It counts from 0 again where a video
    changes the size or the kind of its pictures.
    """
    # YUV4MPEG2 states the frames' size; flush_packets=0 writes fewer, larger pieces
    words = _command(
        videos, marks, settings, rotated=rotated, some=chosen is not None, format="yuv4mpegpipe", flush_packets=0
    )
    if chosen is None:
        return words
    which = "+".join(f"eq(n,{number})" for number in chosen) or "0"
    return [word.replace(_CHOSEN, f"'{which}'") for word in words]


def stream_command(url: str, how: Mapping[str, Any], marks: int, settings: FrameSettings) -> list[str]:
    """Return the command that writes the frames of a stream as they come, opened with these options of ffmpeg's."""
    source = ffmpeg.input(url, threads=1, **how)["V:0"]
    frames = _scaled(_marked(source, 0), settings)
    output = frames.output("pipe:1", fps_mode="passthrough", format="yuv4mpegpipe").global_args(
        *_logged("warning"), *_GATHER
    )
    words = output.compile(cmd=imageio_ffmpeg.get_ffmpeg_exe())
    graph = words.index("-filter_complex") + 1  # the address is left as it is, whatever is in it
    return [*words[:graph], words[graph].replace(_MARKS, str(marks)), *words[graph + 1 :]]


def stage_command(videos: Sequence[int], marks: int, settings: FrameSettings | None) -> list[str]:
    """Return the command that decodes videos, and scales them where there are settings, to nowhere, with marks."""
    return _command(videos, marks, settings, format="null")


def as_stored_command(video: int) -> list[str]:
    """Return the command that writes the first picture of an open video as it is stored, whatever its colours."""
    stored = _source(0, rotated=False).output("pipe:1", format="yuv4mpegpipe", strict=-1, **{"frames:v": 1})
    words = stored.global_args(*_logged()).compile(cmd=imageio_ffmpeg.get_ffmpeg_exe())
    return [str(video) if word == _stand_in(0) else word for word in words]


def _logged(least: str = "error") -> list[str]:
    """Return the options that have ffmpeg write a line for each message of this level or above, and end at many."""
    return ["-hide_banner", "-nostats", "-loglevel", f"repeat+level+{least}", "-max_error_rate", str(MOST_ERRORS)]


def _command(videos: Sequence[int], marks: int, settings: FrameSettings | None, **how: Any) -> list[str]:
    numbers = {_stand_in(number): str(video) for number, video in enumerate(videos)}
    words = _words(len(videos), settings, **how)
    return [numbers.get(word, word).replace(_MARKS, str(marks)) for word in words]


@cache
def _words(
    videos: int, settings: FrameSettings | None, *, rotated: bool = True, some: bool = False, **to: Any
) -> tuple[str, ...]:
    """Return a command with stand-ins for the descriptors, and for which frames where it is about some of them."""
    marked = [_marked(_source(number, rotated=rotated), number) for number in range(videos)]
    chosen = [stream.filter("select", _CHOSEN) for stream in marked] if some else marked
    streams = [stream if settings is None else _scaled(stream, settings) for stream in chosen]
    # of sizes that differ only what goes nowhere may be joined
    joined = streams[0] if videos == 1 else ffmpeg.concat(*streams, unsafe=int(settings is None))
    output = joined.output("pipe:1", fps_mode="passthrough", **to).global_args(*_logged(), *_GATHER)
    return tuple(output.compile(cmd=imageio_ffmpeg.get_ffmpeg_exe()))


def _stand_in(number: int) -> str:
    return f"VIDEO{number}"


def _source(number: int, *, rotated: bool) -> Any:
    """Return ffmpeg's view of a video: its first video stream that is no cover picture."""
    turning = {} if rotated else {"noautorotate": None}  # without a value
    how = {"protocol_whitelist": "fd", "format_whitelist": CONTAINERS, "threads": 1, **turning}
    return ffmpeg.input("fd:", fd=_stand_in(number), **how)["V:0"]


def _marked(stream: Any, number: int) -> Any:
    """Return the pictures of a stream; each leaves a mark as it is decoded.

    A mark is its time in microseconds and the number of its video; what the video itself says of a picture goes.
    """
    bare = stream.filter("settb", "AVTB").filter("metadata", mode="delete")
    numbered = bare.filter("metadata", mode="add", key=MARK, value=number)
    # direct: without it the marks of several videos would come in pieces
    return numbered.filter("metadata", mode="print", file=f"pipe:{_MARKS}", direct=1)


def _scaled(stream: Any, settings: FrameSettings) -> Any:
    """Return the pictures of a stream as frames: of their size, in the colours that JPEG files have, square pixels."""
    size = () if settings.size is None else settings.size
    scaled = stream.filter("scale", *size, flags=SCALER, out_color_matrix="bt601", out_range="pc")
    return scaled.filter("format", "yuv420p").filter("setsar", 1)
