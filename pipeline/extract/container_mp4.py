"""MP4 and MOV: the samples of the video track, where each lies in the file, and which of them an edit list shows.

What counts is that every sample is there: not where a box says that it ends, nor what follows the last one.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tsn.pipeline.extract.declared import MOST_PARTS, DeclaredLength, FileBytes, frames_of_part

FIRST = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp", b"pnot", b"moof", b"sidx")
"""Boxes that a file may begin with."""

_KINDS = {*FIRST, b"uuid", b"meta", b"mfra", b"ssix", b"udta", b"prft", b"emsg", b"pdin", b"junk"}
_MOST_MOOV = 256 << 20
_MOST_SAMPLES = 4_000_000
"""Samples of a track, at most; 37 hours of video."""

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class _Track:
    """A video track: its id, how many samples it shows, where the last one ends in the file, if it has any.

    Of a `fragmented` file it has more, in fragments of their own.
    """

    number: int
    shown: int
    end: int
    fragmented: bool


def read_mp4(file: FileBytes) -> DeclaredLength:
    """Walk the boxes of the file, up to what is no box of such a file, and read the tables of the video track."""
    track: _Track | None = None
    seen, at, fragments = set[bytes](), 0, 0
    for _ in range(MOST_PARTS):
        box = _box(file, at, seen)
        if box is None:
            break
        kind, length = box
        if kind == b"moov":
            track = _video_track(file.read(at, min(length, _MOST_MOOV)))
        elif kind == b"moof" and track is not None:
            fragments += _fragment_samples(file.read(at, min(length, _MOST_MOOV)), track.number)
        seen.add(kind)
        at += length
    else:
        return DeclaredLength(size=file.size)
    if track is None:
        return DeclaredLength(size=file.size, end=at)
    if not (track.fragmented or fragments):
        return DeclaredLength(size=file.size, end=track.end or at, frames=track.shown)
    frames = track.shown + fragments
    if at < file.size:
        frames = frames_of_part(frames, read_to=at, size=file.size, claimed=0)
    return DeclaredLength(size=file.size, end=at, frames=frames)


def _box(file: FileBytes, at: int, seen: set[bytes]) -> tuple[bytes, int] | None:
    """Return the kind and the length of the box at a place; None where there is none.

    Any kind will do until what makes a video was there.
    """
    header = file.read(at, 16)
    kind = header[4:8]
    if len(header) < 8 or not (kind.isascii() and kind.decode().isprintable()):
        return None
    if seen >= {b"moov", b"mdat"} and kind not in _KINDS:
        return None
    length: int = struct.unpack(">I", header[:4])[0]
    if length == 1 and len(header) == 16:
        length = struct.unpack(">Q", header[8:])[0]
    if length == 0:  # to the end of the file
        length = file.size - at
    return (kind, length) if length >= 8 else None


def _boxes(data: bytes, start: int = 8) -> Iterator[tuple[bytes, bytes]]:
    """Yield the boxes that lie in a box, each with its kind."""
    at = start
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if length < 8:
            return
        yield kind, data[at : at + length]
        at += length


def _within(data: bytes, *path: bytes) -> bytes:
    """Return the first box at a path of kinds, b'' where there is none."""
    for kind in path:
        data = next((inner for found, inner in _boxes(data) if found == kind), b"")
    return data


def _video_track(moov: bytes) -> _Track | None:
    for kind, trak in _boxes(moov):
        if kind == b"trak" and _within(trak, b"mdia", b"hdlr")[16:20] == b"vide":
            try:
                return _read_track(trak, moov)
            except (struct.error, ValueError, IndexError):
                return None
    return None


def _read_track(trak: bytes, moov: bytes) -> _Track | None:
    tkhd, tables = _within(trak, b"tkhd"), _within(trak, b"mdia", b"minf", b"stbl")
    number = struct.unpack_from(">I", tkhd, 28 if tkhd[8] == 1 else 20)[0]
    sizes = _sizes(tables)
    if sizes is None:
        return None
    ends = _ends(tables, sizes)
    shown = _shown(trak, tables, len(sizes), movie_scale=_scale(_within(moov, b"mvhd")))
    return _Track(
        number=number,
        shown=int(np.sum(shown * (sizes > 0))),
        end=int(ends.max(initial=0)),
        fragmented=bool(_within(moov, b"mvex")),
    )


def _table(box: bytes, *columns: str, start: int = 16) -> list[Numbers]:
    """Return the columns of a full box's table of big-endian numbers, as many rows as are there."""
    kind = np.dtype([(str(place), f">{column}") for place, column in enumerate(columns)])
    if len(box) < start:
        return [np.zeros(0, dtype=np.int64) for _ in columns]
    count = min(struct.unpack_from(">I", box, start - 4)[0], (len(box) - start) // kind.itemsize)
    rows = np.frombuffer(box, dtype=kind, count=count, offset=start)
    return [rows[name].astype(np.int64) for name in kind.names or ()]


def _sizes(tables: bytes) -> Numbers | None:
    """Return the bytes of every sample; None where there are too many, or a kind of table that nobody writes."""
    stsz = _within(tables, b"stsz")
    if len(stsz) < 20:
        return None
    alike, count = struct.unpack_from(">II", stsz, 12)
    if count > _MOST_SAMPLES:
        return None
    return np.full(count, alike, dtype=np.int64) if alike else _table(stsz, "u4", start=20)[0]


def _spread(values: Numbers, counts: Numbers, total: int) -> Numbers:
    """Repeat values by their counts, cut or filled with the last to a total."""
    steps = np.diff(np.minimum(np.cumsum(counts), total), prepend=0)
    spread = np.repeat(values, steps)
    rest = total - len(spread)
    return np.concatenate([spread, np.full(rest, values[-1] if len(values) else 0, dtype=np.int64)])


def _ends(tables: bytes, sizes: Numbers) -> Numbers:
    """Return where each sample ends in the file."""
    co64 = _within(tables, b"co64")
    chunks = _table(co64, "u8")[0] if co64 else _table(_within(tables, b"stco"), "u4")[0]
    first, each, _ = _table(_within(tables, b"stsc"), "u4", "u4", "u4")
    if not len(chunks) or not len(first) or bool(np.any(np.diff(first) <= 0)) or first[0] != 1:
        return np.zeros(0, dtype=np.int64)
    runs = np.diff(np.minimum(np.append(first, len(chunks) + 1), len(chunks) + 1))
    samples = np.minimum(np.repeat(each, runs), len(sizes))
    chunk = _spread(np.arange(len(chunks)), samples, int(min(samples.sum(), len(sizes))))
    total = np.cumsum(sizes[: len(chunk)])
    before = np.concatenate([[0], total])[np.minimum(np.cumsum(samples) - samples, len(chunk))]
    ends: Numbers = (chunks[chunk] + total - before[chunk])[sizes[: len(chunk)] > 0]
    return ends


def _shown(trak: bytes, tables: bytes, count: int, *, movie_scale: int) -> Numbers:
    """Return how often each sample is shown: once without an edit list."""
    elst = _within(trak, b"edts", b"elst")
    scale = _scale(_within(trak, b"mdia", b"mdhd"))
    durations, starts = _table(elst, "u8", "i8", "u4")[:2] if elst[8:9] == b"\1" else _table(elst, "u4", "i4", "u4")[:2]
    if not len(durations) or not scale or not movie_scale:
        return np.ones(count, dtype=np.int64)
    repeats, deltas = _table(_within(tables, b"stts"), "u4", "u4")
    ctts = _within(tables, b"ctts")
    offset_repeats, offsets = _table(ctts, "u4", "i4")
    steps = _spread(deltas, repeats, count)
    times = np.cumsum(steps) - steps
    if len(offsets):
        times = times + _spread(offsets, offset_repeats, count)
    shown = np.zeros(count, dtype=np.int64)
    for duration, start in zip(durations.tolist(), starts.tolist(), strict=True):
        if start >= 0:  # -1: nothing is shown for a while
            stop = start + round(duration * scale / movie_scale) if duration else np.iinfo(np.int64).max
            shown += (times >= start) & (times < stop)
    return shown


def _scale(header: bytes) -> int:
    """Return the ticks a second that a movie's or a medium's header gives, 0 where there is none."""
    at = 28 if header[8:9] == b"\1" else 20
    return int.from_bytes(header[at : at + 4], "big")


def _fragment_samples(moof: bytes, number: int) -> int:
    """Return how many samples of a track a fragment holds."""
    return sum(
        int.from_bytes(run[12:16], "big")
        for kind, traf in _boxes(moof)
        if kind == b"traf" and _within(traf, b"tfhd")[12:16] == number.to_bytes(4, "big")
        for found, run in _boxes(traf)
        if found == b"trun"
    )
