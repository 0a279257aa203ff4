"""Lock files: held by a descriptor, given back by the kernel when its process dies."""

from __future__ import annotations

import os
import sys

if sys.platform == "win32":
    import msvcrt

    # Far behind any content, so that a locked file can still be read.
    _AT = 1 << 30

    def try_lock(fd: int) -> bool:
        """Take the lock now, or say that somebody else has it."""
        os.lseek(fd, _AT, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def is_locked(fd: int) -> bool:
        """Whether somebody holds the lock, without taking it from anybody."""
        if not try_lock(fd):
            return True
        unlock(fd)
        return False

    def unlock(fd: int) -> None:
        """Give the lock back."""
        os.lseek(fd, _AT, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def try_lock(fd: int) -> bool:
        """Take the lock now, or say that somebody else has it."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def is_locked(fd: int) -> bool:
        """Whether somebody holds the lock, without taking it from anybody."""
        try:
            # Shared, so that two who ask do not take each other for the holder.
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(fd, fcntl.LOCK_UN)
        return False

    def unlock(fd: int) -> None:
        """Give the lock back."""
        fcntl.flock(fd, fcntl.LOCK_UN)


def open_lock(path: str) -> int:
    """Open a lock file, made if need be. Its descriptor is not inherited by other programs."""
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
