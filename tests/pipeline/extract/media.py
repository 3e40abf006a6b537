"""Small real videos of every container, and what their files declare."""

import os
import struct
import subprocess
from pathlib import Path

import imageio_ffmpeg

from tsn.pipeline.extract.container import read_declared_length
from tsn.pipeline.extract.declared import DeclaredLength

FRAMES = 25
TEST_PICTURE = ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=25:duration=1"]
SOUND = ["-f", "lavfi", "-i", "sine=duration=1"]
H264 = ["-c:v", "libx264", "-pix_fmt", "yuv420p"]
KINDS: dict[str, list[str]] = {
    "mpeg4.avi": ["-c:v", "mpeg4", "-bf", "2"],
    "sound.avi": [*SOUND, "-c:v", "mjpeg"],
    "index_last.mp4": H264,
    "index_first.mp4": [*SOUND, *H264, "-movflags", "faststart"],
    "fragments.mp4": [*SOUND, *H264, "-g", "5", "-movflags", "frag_keyframe+empty_moov"],
    "half_fragments.mp4": [*H264, "-g", "5", "-movflags", "frag_keyframe"],
    "prores.mov": ["-c:v", "prores"],
    "mpeg4.mkv": [*SOUND, "-c:v", "mpeg4"],
    "vp9.webm": ["-c:v", "libvpx-vp9", "-b:v", "200k"],
    "vp8.webm": ["-c:v", "libvpx", "-b:v", "200k", "-auto-alt-ref", "1", "-lag-in-frames", "16"],
    "sorenson.flv": [*SOUND, "-c:v", "flv1", "-c:a", "pcm_s16le", "-ar", "11025"],
    "h264.flv": H264,
    "hevc.flv": ["-c:v", "libx265", "-x265-params", "log-level=0"],
    "live.flv": ["-c:v", "flv1", "-flvflags", "no_duration_filesize"],
    "sound.wmv": [*SOUND, "-c:v", "wmv2", "-c:a", "wmav2"],
    "large.asf": ["-s", "320x240", "-c:v", "msmpeg4v3", "-q:v", "2"],
    "theora.ogv": [*SOUND, "-c:v", "libtheora", "-c:a", "libvorbis"],
    "vp8.ogv": ["-c:v", "libvpx", "-b:v", "200k", "-auto-alt-ref", "1", "-lag-in-frames", "16", "-f", "ogg"],
    "picture.gif": [],
}
"""One second of video each; the two of VP8 have pictures that are never shown."""


def ffmpeg(*words: str) -> bytes:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *words]
    return subprocess.run(command, check=True, capture_output=True).stdout


def declared(path: Path) -> DeclaredLength:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return read_declared_length(descriptor)
    finally:
        os.close(descriptor)


def declared_by(content: bytes, path: Path) -> DeclaredLength:
    path.write_bytes(content)
    return declared(path)


def chunk(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def avi(movie: bytes, *, claimed: int = 0, more: tuple[bytes, ...] = ()) -> bytes:
    """Return an AVI of two streams, sound and then video, with these chunks in its movie."""
    heads = [b"auds".ljust(32, b"\0") + bytes(4), b"vids".ljust(32, b"\0") + struct.pack("<I", claimed)]
    streams = b"".join(chunk(b"LIST", b"strl" + chunk(b"strh", head)) for head in heads)
    body = chunk(b"LIST", b"hdrl" + chunk(b"avih", bytes(56)) + streams) + chunk(b"LIST", b"movi" + movie)
    parts = [chunk(b"RIFF", b"AVI " + body), *(chunk(b"RIFF", b"AVIX" + chunk(b"LIST", b"movi" + m)) for m in more)]
    return b"".join(parts)
