"""Streams that are read as they come: standard input, a camera, RTSP, HTTP. Asked for by name, never within a file.

What a stream holds may open nothing else: ffmpeg gets the protocols of this one kind and the formats of videos, so a
playlist, which names others, is refused.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

from tsn.pipeline.extract.ffmpeg_command import CONTAINERS, FrameSettings, stream_command
from tsn.pipeline.extract.ffmpeg_run import Limits
from tsn.pipeline.extract.timed import Asked, TimedFrames, timed_frames
from tsn.tsn_shared.errors import SettingsError

STANDARD_INPUT = "-"
FORMATS = f"{CONTAINERS},yuv4mpegpipe,mpjpeg,live_flv"
"""Besides the containers of files, what pipes and network cameras send: raw pictures, JPEGs in parts."""

ANALYSED = 1_000_000
"""Microseconds of a stream that ffmpeg looks at before its first frame; 5 s are usual."""

STALL_SECONDS = 30.0
"""A stream that gives no frame for so long has broken."""

_CAMERA = re.compile(r"/dev/video\d+")
_PROTOCOLS = {
    "rtsp": "rtsp,rtp,tcp,udp",
    "rtsps": "rtsp,rtp,tcp,udp,tls",
    "http": "http,https,httpproxy,tcp,tls",
    "https": "http,https,httpproxy,tcp,tls",
}


def is_stream(name: str) -> bool:
    """Return whether a name is that of a stream: -, /dev/video0, rtsp://... or http://..."""
    scheme = name.partition("://")[0].lower() if "://" in name else ""
    return name == STANDARD_INPUT or bool(_CAMERA.fullmatch(name)) or scheme in _PROTOCOLS


def shown(name: str) -> str:
    """Return a stream's name without the password that it may state."""
    if name == STANDARD_INPUT:
        return "standard input"
    if "@" not in name or "://" not in name:
        return name
    scheme, _, rest = name.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def source_of(name: str, descriptor: int, stall: float = STALL_SECONDS) -> tuple[str, dict[str, object]]:
    """Return what ffmpeg opens for a stream, and with which options; standard input is the open `descriptor`.

    SettingsError for an address that is none.
    """
    if name == STANDARD_INPUT:
        how = {"fd": descriptor, "protocol_whitelist": "fd", "format_whitelist": FORMATS}
        return "fd:", how | {"analyzeduration": ANALYSED}
    if _CAMERA.fullmatch(name):
        return name, {"format": "v4l2", "format_whitelist": "video4linux2,v4l2", "protocol_whitelist": "fd"}
    try:
        parts = urlsplit(name)
        sound = bool(parts.hostname) and name.isprintable() and " " not in name and parts.port != 0
    except ValueError:
        sound = False
    if not sound:
        raise SettingsError(
            f"{shown(name)} is no address of a stream: it is {name.partition(':')[0]}://HOST[:PORT]/..."
        )
    scheme = parts.scheme.lower()
    how = {"protocol_whitelist": _PROTOCOLS[scheme], "analyzeduration": ANALYSED}
    if scheme.startswith("rtsp"):
        more = {"format": "rtsp", "format_whitelist": "rtsp,rtp,sdp", "rtsp_transport": "tcp"}
        return name, how | more | {"timeout": round(stall * 1e6)}
    return name, how | {"format_whitelist": FORMATS, "rw_timeout": round(stall * 1e6)}


@contextmanager
def stream_frames(
    name: str, settings: FrameSettings, *, stop: Callable[[], bool], stall: float = STALL_SECONDS
) -> Iterator[TimedFrames]:
    """Open a stream for its frames, each with its time since the stream's begin. VideoError where none comes."""
    with ExitStack() as stack:
        files = list[int]()
        if name == STANDARD_INPUT:
            files.append(os.dup(0))  # a process of its own gets no standard input
            stack.callback(os.close, files[0])
        url, how = source_of(name, files[0] if files else -1, stall)
        asked = Asked(
            command=lambda marks: stream_command(url, how, marks, settings), files=files, quality=settings.quality
        )
        yield stack.enter_context(timed_frames(asked, stop=stop, limits=Limits(stall_seconds=stall)))
