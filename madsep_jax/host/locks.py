"""Locks between processes, on files. The system takes them back when their process ends, however it ends.

They are those of `flock(2)`. Between machines they hold on file systems that pass them on, as NFS does from version 4
on and Lustre when it is mounted with `flock`; on those that know no locks nothing is locked.
"""

import contextlib
import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

#: A look at a lock (`holder`) takes it for a moment, in which nobody should be turned away.
_PATIENCE_S = 2.0
_NO_LOCKS_HERE = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold a lock, waiting for it as long as another process has it."""
    with _opened(path) as descriptor:
        _take(descriptor, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def try_lock(path: Path) -> Iterator[bool]:
    """Hold a lock and yield True; yield False where another process has it. The file says who had it last."""
    with _opened(path) as descriptor:
        until = time.monotonic() + _PATIENCE_S
        while not (taken := _take(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)) and time.monotonic() < until:
            time.sleep(0.1)
        if taken:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
        yield taken


def holder(path: Path) -> str | None:
    """Return who has a lock, in words; None where nobody has."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return None
    try:
        if _take(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB):
            return None
        return os.read(descriptor, 1000).decode(errors="replace") or "another process"
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _take(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS_HERE:
            raise
    return True
