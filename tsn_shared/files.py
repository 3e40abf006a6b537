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
from contextlib import ExitStack, contextmanager, suppress
from io import BufferedReader
from pathlib import Path

from tsn.tsn_shared.console import say
from tsn.tsn_shared.errors import SettingsError, TsnError, brief

TEMPORARY = ".tmp"
"""Suffix of a file that is being written."""

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

LOCK = ".tsn-lock"
"""Name of the file that is held for a folder, and with a file's name before it for that; no other program's."""

TRIES = 100
"""Times that a lock is opened and found to be gone before it counts as held: that many others come and go."""

NAME_MAX = 255
"""Bytes of a file's name."""

_LEFT_OVER = re.compile(rf"\.[0-9a-f]{{32}}{re.escape(TEMPORARY)}$")
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
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to; on success it becomes `path`, on failure it is removed.

    The name is nobody else's: of several processes that write `path` at once, the last one's stays, whole.
    """
    temporary = _beside(path, "", f".{uuid.uuid4().hex}{TEMPORARY}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            _sync(file.fileno(), path.parent)
        temporary.replace(path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def remove_left_overs(folder: Path, *, of: str | None = None) -> None:
    """Remove what writers of a folder, or `of` one file in it, left as they were killed; for those who hold it."""
    for path in folder.glob(f"*{TEMPORARY}"):
        match = _LEFT_OVER.search(path.name)
        if match and of in (None, path.name[: match.start()]):
            path.unlink(missing_ok=True)


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
        _warn_once("hard links are", path.parent, error, "copies are made instead")
        shutil.copyfile(path, name)


def sha256(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def locked(folder: Path, busy: str, *within: str) -> Iterator[None]:
    """Hold a folder, made if need be; SettingsError(busy) while another process does. A dead one's lock does not hold.

    What was left half-written in it and in its folders `within`, by a dead one or a lost worker of ours, is removed.
    Where the file system refuses locks, that is said, and done without.
    """
    with _held(folder / LOCK, busy) as protected:
        for part in (folder, *(folder / name for name in within)) if protected else ():
            remove_left_overs(part)
        yield
        if protected:
            remove_left_overs(folder)


@contextmanager
def alone(path: Path, way_out: str) -> Iterator[None]:
    """Be the only one who writes a file, its folder made if need be; for a command that takes long to have its content.

    SettingsError where `path` cannot be written, or while another process does the same.
    """
    busy = f"{path} is being written by another tsn: wait for it, or {way_out}"
    with ExitStack() as stack:
        with writing(path, way_out):
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if stack.enter_context(_held(_beside(path, ".", LOCK), busy)):
                remove_left_overs(path.parent, of=path.name)
        yield


@contextmanager
def _held(lock: Path, busy: str) -> Iterator[bool]:
    """Hold a file that is there as long as it is held, and its folder, which goes again if it was made and stays empty.

    Gives whether that protects. It is the open file that is held, not its existence.
    """
    missing = [place for place in lock.parents if not place.exists()]
    descriptor, protected = _take(lock, busy)
    try:
        yield protected
    finally:
        with suppress(OSError):
            lock.unlink()  # while it is held: who has opened it meanwhile finds it gone, and opens another
        os.close(descriptor)
        with suppress(OSError):  # it is not empty
            for place in missing:
                place.rmdir()


def _take(lock: Path, busy: str) -> tuple[int, bool]:
    for again in reversed(range(TRIES)):
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        except (FileNotFoundError, FileExistsError):  # its holder has just taken the empty folder away
            if again:
                continue
            raise
        try:
            protected = _lock(descriptor, lock.parent, busy)
            with suppress(FileNotFoundError):
                if lock.lstat().st_ino == os.fstat(descriptor).st_ino:
                    return descriptor, protected
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    raise SettingsError(busy)


def _lock(descriptor: int, folder: Path, busy: str) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SettingsError(busy) from None
    except OSError as error:
        if error.errno not in NOT_HERE:
            raise
        _warn_once("locks are", folder, error, "another tsn that writes there is not noticed")
        return False
    return True


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


def _warn_once(what: str, folder: Path, error: OSError, then: str) -> None:
    """Warn of what is done without, once in a process."""
    if what not in _told:
        _told.add(what)
        say(f"warning: {folder}: {what} refused here ({error.strerror}): {then}")


def _beside(path: Path, before: str, after: str) -> Path:
    """Return a path in the same folder whose name is this one's with more before and after it, cut where too long."""
    room = NAME_MAX - len(before) - len(after)
    return path.with_name(before + os.fsdecode(os.fsencode(path.name)[:room]) + after)


def _sync(descriptor: int, folder: Path) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NOT_HERE:
            raise
        _warn_once("fsync is", folder, error, "a power cut can lose what was just written")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _sync(descriptor, folder)
    finally:
        os.close(descriptor)
