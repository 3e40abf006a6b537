"""Files that are never seen half-written: a temporary name, fsync, rename; their SHA-256; folders held by a lock.

And files that are read without trust: never a FIFO or a device, which could be waited for without end, and never more
of one than it may hold. What a file system refuses (locks, hard links) is done without, and said once.
"""

import errno
import fcntl
import hashlib
import os
import re
import resource
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from tsn_shared.console import say
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

NOT_HERE = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EPERM, errno.EINVAL})
"""What file systems answer to what they cannot do: Lustre and NFS without a lock service, exFAT, SMB, FUSE."""

KINDS = {stat.S_IFIFO: "a FIFO", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFSOCK: "a socket"}

_told = set[str]()


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


def open_regular(path: Path) -> BufferedReader:
    """Open a file that a user named, for reading; OSError for a FIFO, a device or a socket, which is never waited for.

    As every OSError of opening, it says what is wrong in `strerror`.
    """
    _refuse_special(path, path.stat())  # first: to open a device can do something
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        _refuse_special(path, os.fstat(descriptor))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_bounded(path: Path, most: int) -> bytes:
    """Return all bytes of a regular file; OSError as `open_regular`, and where it is longer than `most` bytes."""
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size <= most:  # a sparse file is as long as it says and holds nothing
            content = file.read(most + 1)
            if len(content) <= most:
                return content
    raise OSError(errno.EFBIG, f"it is longer than {most:,} bytes", str(path))


def name_as_well(path: Path, name: Path) -> None:
    """Give a file, which is never changed in place, a second name; a copy where hard links are refused."""
    try:
        os.link(path, name)
    except OSError as error:
        if error.errno not in NOT_HERE | {errno.EMLINK}:
            raise
        _say_once(f"{path.parent}: hard links are refused here ({error.strerror}): copies are made instead")
        shutil.copyfile(path, name)


def sha256(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal."""
    with open_regular(path) as file:
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


def _refuse_special(path: Path, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        kind = KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise OSError(errno.EINVAL, f"it is {kind}, not a regular file", str(path))


def _say_once(words: str) -> None:
    """Warn of what this process does without, once."""
    if words not in _told:
        _told.add(words)
        say(f"warning: {words}")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
