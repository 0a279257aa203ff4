"""Durability: commits made to outlast a power cut, many by one sync, outside the gate."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from itertools import count

from .connections import File, identity

_sync: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)


class LogSync:
    """Syncs the write-ahead log of a SQLite file through a descriptor of its own.

    A commit is in the log before anybody asks for a sync, so one sync serves all who asked
    before it began.
    """

    def __init__(self, path: str) -> None:
        self.path = path + "-wal"
        self._tickets = count(1)
        self._issued = 0
        self._served = 0
        self._lock = threading.Lock()
        self._fd: int | None = None
        self._file: File | None = None

    def sync(self) -> None:
        """Return when everything committed before the call is on the device."""
        ticket = self._issued = next(self._tickets)
        with self._lock:
            if self._served >= ticket:
                return
            serving = self._issued
            self._sync_file()
            self._served = max(serving, ticket)

    def _sync_file(self) -> None:
        if self._fd is None or identity(self.path) != self._file:
            self.forget()
            try:
                self._fd = os.open(self.path, os.O_RDWR)
            except FileNotFoundError:
                return  # the log was checkpointed away, and a checkpoint syncs
            status = os.fstat(self._fd)
            self._file = status.st_dev, status.st_ino
            _sync_folder(os.path.dirname(self.path))
        _sync(self._fd)

    def close(self) -> None:
        """Close the descriptor; the next sync opens it again."""
        with self._lock:
            self.forget()

    def forget(self) -> None:
        fd, self._fd, self._file = self._fd, None, None
        if fd is not None:
            os.close(fd)

    def renew(self) -> None:
        """Start afresh in a forked child."""
        self._lock = threading.Lock()
        self.forget()


def _sync_folder(path: str) -> None:
    """Make a file's name durable, where a folder can be synced."""
    if os.name == "nt":
        return
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
