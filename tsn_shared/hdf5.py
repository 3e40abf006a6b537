"""The HDF5 files of tsn: written whole, sealed with a SHA-256, and read without trust.

Every file opens with a user block of 512 bytes, which HDF5 skips and `head -c 512 FILE` shows:

    tsn-frames 1
    payload <start> <stop>
    sha256 <hexadecimal>
    <zeros>

The digest covers every byte after the user block except the payload (a shard's JPEG bytes, which carry a CRC32 a
frame). It is checked before HDF5 sees the file: the library can loop for ever over a flipped byte. What a file sealed
with bad intent could do (external links, virtual data sets, absurd sizes, holes instead of data) is refused.
"""

import errno
import hashlib
import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from tsn.tsn_shared.errors import DataError, brief
from tsn.tsn_shared.files import open_regular, replacing

USER_BLOCK = 512
MOST_HOLES, SPARSE = 4 << 20, 16
"""Bytes that may be holes of a sparse file, and as many more for each byte that is there."""

MOST_ATTRIBUTE = 1 << 20  # bytes

_WRONG = (KeyError, OSError, RuntimeError, TypeError, ValueError)  # as h5py calls what it cannot read
_LIBVER = ("v110", "v110")  # a fixed format version: the same tables give the same bytes under any newer HDF5


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What a file is: the first line of its user block, and its root attributes `format` and `version`."""

    name: str
    version: int
    payload: str | None = None


@dataclass(frozen=True, kw_only=True)
class Seal:
    """What a user block states: where the payload lies, (start, stop) in bytes, and the SHA-256 of all the rest."""

    payload: tuple[int, int]
    sha256: str

    def encode(self, kind: Kind) -> bytes:
        """Return the whole user block."""
        text = f"{kind.name} {kind.version}\npayload {self.payload[0]} {self.payload[1]}\nsha256 {self.sha256}\n"
        return text.encode().ljust(USER_BLOCK, b"\0")


def create(path: Path, kind: Kind, fill: Callable[[h5py.File], None]) -> None:
    """Write an HDF5 file whole: `fill` writes its content, then it is marked complete, sealed, and given its name."""
    with replacing(path) as temporary:
        with _disk(temporary) as disk, h5py.File(disk, "w", userblock_size=USER_BLOCK, libver=_LIBVER) as file:
            file.attrs.update({"format": kind.name, "version": kind.version})
            fill(file)
            file.attrs["complete"] = True
        with _reading(temporary) as file:
            span = _payload_span(file, kind)
        with temporary.open("r+b") as raw:
            seal = Seal(payload=span, sha256=_digest(raw.fileno(), temporary, span))
            raw.write(seal.encode(kind))


class _Disk(io.FileIO):
    """A file whose writes never fail for HDF5, which crashes when it cannot close a file; `error` is the first one."""

    error: OSError | None = None

    def write(self, data: Any) -> int:
        left = memoryview(data)
        try:
            while left and self.error is None:
                left = left[super().write(left) :]
        except OSError as error:
            self.error = error
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0


@contextmanager
def _disk(path: Path) -> Iterator[_Disk]:
    """Open a file for HDF5 to write to; the first error of the disk is raised at the end, not what it led to."""
    with _Disk(path, "w+") as disk:
        try:
            yield disk
        finally:
            if disk.error is not None:
                raise disk.error


def read_seal(path: Path, kind: Kind) -> Seal:
    """Return what the user block states, unchecked: the file's identity at the cost of one small read."""
    with _raw(path) as raw:
        return _seal_of(path, raw.read(USER_BLOCK), kind)


def _seal_of(path: Path, block: bytes, kind: Kind) -> Seal:
    first, _, rest = block.partition(b"\n")
    if not first.startswith(kind.name.encode() + b" "):
        raise DataError(f"{path} is not a finished {kind.name} file: make it again")
    if first != f"{kind.name} {kind.version}".encode():
        raise DataError(f"{path} is {first.decode('ascii', 'replace')}, this tsn reads version {kind.version}")
    match = re.match(rb"payload (\d{1,18}) (\d{1,18})\nsha256 ([0-9a-f]{64})\n", rest)
    if match is None:
        raise DataError(f"{path}: the first {USER_BLOCK} bytes are damaged: make the file again")
    seal = Seal(payload=(int(match[1]), int(match[2])), sha256=match[3].decode())
    if block != seal.encode(kind):
        raise DataError(f"{path}: the first {USER_BLOCK} bytes are damaged: make the file again")
    return seal


@contextmanager
def opened(path: Path, kind: Kind) -> Iterator[h5py.File]:
    """Open a file of this kind for reading, its seal checked; DataError says why it cannot be read."""
    with _raw(path) as raw:
        seal, descriptor = _seal_of(path, raw.read(USER_BLOCK), kind), raw.fileno()
        if seal.payload[1] > os.fstat(descriptor).st_size:
            raise DataError(f"{path} is truncated: make it again")
        _refuse_holes(descriptor, path, seal.payload)
        if _digest(descriptor, path, seal.payload) != seal.sha256:
            raise DataError(f"{path}: the tables are damaged or cut off (SHA-256 differs): make the file again")
    try:
        file = _reading(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read as HDF5: {brief(error)}") from None
    with file:
        complete = _attribute(file, "complete") if "complete" in file.attrs else False
        if not (isinstance(complete, np.bool_) and complete):
            raise DataError(f"{path} was never finished: make it again")
        if _payload_span(file, kind) != seal.payload:
            raise DataError(f"{path}: the payload is not where the file says: refused")
        yield file


def _reading(path: Path) -> h5py.File:
    # a finished file is never written to: without HDF5's locks, which some file systems refuse, nothing is lost
    return h5py.File(path, "r", locking=False)


def column(file: h5py.File, name: str, dtype: npt.DTypeLike, *, rows: int | None = None) -> npt.NDArray[Any]:
    """Read a whole column, (rows,), after checking that it is a plain array of this file, no larger than it."""
    data = plain_dataset(file, name, dtype, rows=rows)
    try:
        return np.asarray(data[()])
    except _WRONG as error:
        raise DataError(f"{file.filename}, {name} cannot be read: {brief(error)}") from None


def plain_dataset(file: h5py.File, name: str, dtype: npt.DTypeLike, *, rows: int | None = None) -> h5py.Dataset:
    """Return a one-dimensional data set; refuse whatever could make a reader open another file or run out of memory."""
    where = f"{file.filename}, {name}"
    try:
        _refuse_links(file, name, where)
        data = file[name]
        _refuse_odd(data, np.dtype(dtype), where)
    except _WRONG as error:
        raise DataError(f"{where} is missing or damaged: {brief(error)}") from None
    if rows is not None and len(data) != rows:
        raise DataError(f"{where} has {len(data)} rows, not {rows}: refused")
    return data


def offset_of(file: h5py.File, name: str) -> int:
    """Return where a column's bytes begin in its file; 0 where it has no rows."""
    return int(plain_dataset(file, name, file[name].dtype).id.get_offset() or 0)


def _refuse_odd(data: Any, wanted: np.dtype[Any], where: str) -> None:
    if not isinstance(data, h5py.Dataset) or data.is_virtual or data.external:
        raise DataError(f"{where} is not a plain data set of this file: refused")
    # strings may have any length: it is that of the longest
    if data.ndim != 1 or (data.dtype.kind != "S" if wanted.kind == "S" else data.dtype != wanted):
        raise DataError(f"{where} is {data.dtype} of {data.ndim} dimensions, not a column of {wanted}: refused")
    size = data.shape[0] * data.dtype.itemsize
    if data.chunks is not None:
        raise DataError(f"{where} is stored in chunks: refused")
    if size > Path(data.file.filename).stat().st_size:
        raise DataError(f"{where} declares {size} bytes, more than its file holds: refused")


def text_attribute(file: h5py.File, name: str) -> str:
    """Return a root attribute that is one string."""
    value = _attribute(file, name)
    if not isinstance(value, str):
        raise DataError(f"{file.filename}: attribute {name} is not text: refused")
    return value


def _attribute(file: h5py.File, name: str) -> Any:
    """Return a root attribute that is one value of no absurd size."""
    where = f"{file.filename}: attribute {name}"
    try:
        stored = h5py.h5a.open(file.id, name.encode())
        if stored.shape != () or stored.get_storage_size() > MOST_ATTRIBUTE:
            raise DataError(f"{where} is {stored.get_storage_size()} bytes in {stored.shape} values: refused")
        return file.attrs[name]
    except _WRONG as error:
        raise DataError(f"{where} is missing or damaged: {brief(error)}") from None


def encode_names(names: list[str] | tuple[str, ...]) -> npt.NDArray[np.bytes_]:
    """Return file names as fixed-length bytes, (n,); names that are not UTF-8 keep their bytes."""
    encoded = [os.fsencode(name) for name in names]
    return np.array(encoded, dtype=f"S{max(map(len, encoded), default=1) or 1}")


def decode_names(column: npt.NDArray[np.bytes_]) -> tuple[str, ...]:
    """Undo `encode_names`."""
    return tuple(os.fsdecode(name) for name in column.tolist())


def _refuse_links(file: h5py.File, name: str, where: str) -> None:
    parts = name.split("/")
    for depth in range(1, len(parts) + 1):
        link = file.get("/".join(parts[:depth]), getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise DataError(f"{where} is not a plain data set of this file: refused")


def _payload_span(file: h5py.File, kind: Kind) -> tuple[int, int]:
    """Return where the payload's bytes lie in the file, (start, stop); (0, 0) without any."""
    length = 0 if kind.payload is None else len(plain_dataset(file, kind.payload, np.uint8))
    if kind.payload is None or length == 0:
        return 0, 0
    start = offset_of(file, kind.payload)
    if start == 0:
        raise DataError(f"{file.filename}, {kind.payload} has no bytes of its own in the file: refused")
    return start, start + length


@contextmanager
def _raw(path: Path) -> Iterator[BufferedReader]:
    try:
        with open_regular(path) as raw:
            yield raw
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or brief(error)}") from None


def _spans(size: int, payload: tuple[int, int]) -> list[tuple[int, int]]:
    """Return where the bytes of the tables lie: all after the user block except the payload."""
    return [(USER_BLOCK, payload[0]), (payload[1], size)] if payload[1] else [(USER_BLOCK, size)]


def _refuse_holes(descriptor: int, path: Path, payload: tuple[int, int]) -> None:
    """Refuse a sparse file that is mostly holes: reading it would take memory for data that are not there."""
    tables = _spans(os.fstat(descriptor).st_size, payload)
    for what, spans in (("tables", tables), ("payload", [payload])):
        declared = sum(max(stop - start, 0) for start, stop in spans)
        held = sum(_held_bytes(descriptor, start, stop) for start, stop in spans)
        if declared > MOST_HOLES + SPARSE * held:
            raise DataError(f"{path} declares {declared:,} bytes of {what} and holds {held:,} of them: refused")


def _held_bytes(descriptor: int, start: int, stop: int) -> int:
    """Return how many bytes of a span are stored, not holes, as far as the file system knows."""
    held = 0
    try:
        while start < stop:
            data = os.lseek(descriptor, start, os.SEEK_DATA)
            start = os.lseek(descriptor, data, os.SEEK_HOLE)
            held += max(min(start, stop) - data, 0)
    except OSError as error:
        return held if error.errno == errno.ENXIO else max(stop - start, 0)  # no data after that; or unknown
    return held


def _digest(descriptor: int, path: Path, payload: tuple[int, int]) -> str:
    """SHA-256 of the bytes after the user block except the payload."""
    digest = hashlib.sha256()
    for start, stop in _spans(os.fstat(descriptor).st_size, payload):
        while start < stop:
            block = os.pread(descriptor, min(1 << 20, stop - start), start)
            if not block:
                raise DataError(f"{path} became shorter while it was read")
            digest.update(block)
            start += len(block)
    return digest.hexdigest()
