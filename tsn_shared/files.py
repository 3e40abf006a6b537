"""Files that are never seen half-written: a temporary name, fsync, rename; their SHA-256; folders held by a lock.

Files are read without trust: never a FIFO or a device, which a reader could wait for without end, and never more of
them than a limit. Where a file system refuses locks or hard links, the work goes on without them, and one line says so.
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

UNSUPPORTED = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EPERM, errno.EINVAL})
"""How file systems answer what they do not support: Lustre and NFS without a lock service, exFAT, SMB, FUSE."""

KINDS = {stat.S_IFIFO: "a FIFO", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFSOCK: "a socket"}

LOCK = ".tsn-lock"
"""Name of a folder's lock file; that of a single file has the file's name before it. No other program uses it."""

TRIES = 100
"""How often a lock file that vanishes as it is opened is tried again: other processes come and go, each deletes it."""

NAME_MAX = 255
"""Bytes of a file's name."""

_LEFT_OVER = re.compile(rf"\.[0-9a-f]{{32}}{re.escape(TEMPORARY)}$")
_warned = set[str]()


@contextmanager
def writing(path: Path, or_else: str, *, then: str = "", library_error: type[Exception] = OSError) -> Iterator[None]:
    """Turn an OSError of writing to `path` into one line: what is wrong, and what to do (`or_else`, and `then`).

    `library_error` is what a library raises in place of an OSError. SettingsError where the path cannot be written to,
    TsnError where the disk is full or fails.
    """
    try:
        yield
    except (OSError, library_error) as error:
        stated = re.search(r"(?:errno = |os error )(\d+)", str(error))  # as HDF5 and Rust put it
        number = getattr(error, "errno", None) or (int(stated[1]) if stated else 0)
        reason = os.strerror(number) if number else brief(error)
        kind = SettingsError if number in WRONG_PATH else TsnError
        remedy = "free some space" if number in FULL else or_else
        raise kind(f"{path} cannot be written: {reason}: {remedy}{then}") from None


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
    """Remove what killed writers of a folder, or `of` one file in it, left behind; the caller must hold its lock."""
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
    """Give a file that is never changed in place a second name; make a copy where hard links are refused."""
    try:
        os.link(path, name)
    except OSError as error:
        if error.errno not in UNSUPPORTED | {errno.EMLINK}:
            raise
        _warn_once("hard links are", path.parent, error, "copies are made instead")
        shutil.copyfile(path, name)


def sha256(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def locked(folder: Path, busy: str, *within: str) -> Iterator[None]:
    """Hold a folder, made if need be; SettingsError(busy) while another process holds it. A dead process holds nothing.

    Half-written files that a dead process or a lost worker left in it, and in its folders `within`, are removed.
    Where the file system refuses locks, a line says so and the work goes on without.
    """
    with _held(folder / LOCK, busy) as protected:
        for part in (folder, *(folder / name for name in within)) if protected else ():
            remove_left_overs(part)
        yield
        if protected:
            remove_left_overs(folder)


@contextmanager
def alone(path: Path, or_else: str) -> Iterator[None]:
    """Hold a file as its only writer, its folder made if need be: for a command that works long before it writes.

    SettingsError where `path` cannot be written, or while another process does the same.
    """
    busy = f"{path} is being written by another tsn: wait for it, or {or_else}"
    with ExitStack() as stack:
        with writing(path, or_else):
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if stack.enter_context(_held(_beside(path, ".", LOCK), busy)):
                remove_left_overs(path.parent, of=path.name)
        yield


@contextmanager
def _held(lock: Path, busy: str) -> Iterator[bool]:
    """Hold a lock file, which exists while it is held; folders made for it are removed again if they stay empty.

    Yields whether the lock protects. What is locked is the open file, so a file that a dead process left locks nothing.
    """
    missing = [folder for folder in lock.parents if not folder.exists()]
    descriptor, protected = _take(lock, busy)
    try:
        yield protected
    finally:
        with suppress(OSError):
            lock.unlink()  # while it is held: a process that has opened it meanwhile finds it gone and opens another
        os.close(descriptor)
        with suppress(OSError):  # it is not empty
            for folder in missing:
                folder.rmdir()


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
        if error.errno not in UNSUPPORTED:
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
    """Warn once in a process of something that the file system refuses."""
    if what not in _warned:
        _warned.add(what)
        say(f"warning: {folder}: {what} refused here ({error.strerror}): {then}")


def _beside(path: Path, before: str, after: str) -> Path:
    """Return a path in the same folder, with this name between `before` and `after`, cut where it is too long."""
    room = NAME_MAX - len(before) - len(after)
    return path.with_name(before + os.fsdecode(os.fsencode(path.name)[:room]) + after)


def _sync(descriptor: int, folder: Path) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        _warn_once("fsync is", folder, error, "a power cut can lose what was just written")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _sync(descriptor, folder)
    finally:
        os.close(descriptor)


def working_folder() -> str | None:
    """Return the folder that relative paths of this process begin at; None where it is gone."""
    with suppress(OSError):
        return str(Path.cwd())
    return None


def found_from(path: Path, base: str | None) -> Path:
    """Return a path that was stated by a process whose working folder was `base`.

    It is looked for there first, unless this process works there as well. Where it is not there, or nobody noted the
    folder, the path is returned as it is.
    """
    if base is None or path.is_absolute() or base == working_folder():
        return path
    with suppress(OSError):
        if (Path(base) / path).exists():
            return Path(base) / path
    return path
