"""Files that are never seen half-written: a temporary name, fsync, rename; their SHA-256; folders held by a lock."""

import errno
import fcntl
import hashlib
import os
import re
import resource
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tsn_shared.errors import SettingsError, TsnError, brief

TEMPORARY = ".tmp"
"""Suffix of a file that is being written; whoever holds the folder may delete one that he finds."""

MOST_OPEN_FILES = 65_536
"""Files that a process asks to have open at once, at most; many systems give 1,024 unasked."""

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
WRONG_PATH = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST}
    | {errno.ENAMETOOLONG, errno.ELOOP}
)


@contextmanager
def writing(path: Path, way_out: str, then: str = "", also: type[Exception] = OSError) -> Iterator[None]:
    """Turn an OSError of writing to `path`, or what a library raises for one, into a line that says the way out.

    SettingsError where the path cannot be written to, TsnError where the disk is full or fails.
    """
    try:
        yield
    except (OSError, also) as error:
        stated = re.search(r"(?:errno = |os error )(\d+)", str(error))  # as HDF5 and Rust put it
        number = getattr(error, "errno", None) or (int(stated[1]) if stated else 0)
        reason = os.strerror(number) if number else brief(error)
        kind = SettingsError if number in WRONG_PATH else TsnError
        mend = "free some space" if number in FULL else way_out
        raise kind(f"{path} cannot be written: {reason}: {mend}{then}") from None


@contextmanager
def replacing(path: Path, *, unique: bool = False) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to; on success it becomes `path`, on failure it is removed.

    `unique` gives it a name of its own, for a file that several processes may write at once: the last one stays.
    """
    own = f".{uuid.uuid4().hex}" if unique else ""
    temporary = path.with_name(f"{path.name}{own}{TEMPORARY}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a whole text file at once, in UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape")


def sha256(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def locked(folder: Path, busy: str) -> Iterator[None]:
    """Hold a folder, made if need be; SettingsError(busy) while another process does. A dead one's lock does not hold.

    The lock is advisory and on a local file system; it is the open file `.lock` that is held, not its existence.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingsError(busy) from None
        yield
    finally:
        os.close(descriptor)


def allow_open_files() -> int:
    """Raise this process's limit of open files as far as it may, to MOST_OPEN_FILES at most; return the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY not in (soft, hard) and soft < MOST_OPEN_FILES:
        soft = max(soft, min(hard, MOST_OPEN_FILES))
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return MOST_OPEN_FILES if soft == resource.RLIM_INFINITY else soft


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
