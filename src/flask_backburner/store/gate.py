"""Gate: one writer at a time over all threads and processes of the machine."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ..errors import StoreBusy
from .locks import open_lock, try_lock, unlock

PATIENCE = 5.0
SHORTEST_NAP = 50e-6
LONGEST_NAP = 1e-3


class Gate:
    """A lock file around write transactions and checkpoints.

    SQLite's own busy handler sleeps for up to 100 ms between tries and lets writers starve; a
    lock that is tried again within a millisecond keeps the longest wait short. Waiting ends
    after ``PATIENCE`` seconds with ``StoreBusy``, which names the process that holds the gate.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._threads = threading.Lock()
        self._fd: int | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        self.acquire()
        try:
            yield
        finally:
            self.release()

    def acquire(self, *, reopen: bool = True) -> None:
        """Enter, or raise ``StoreBusy``.

        Without ``reopen`` a closed or vanished gate stays so, and keeps out only the threads of
        this process.
        """
        deadline = time.monotonic() + PATIENCE
        if not self._threads.acquire(timeout=PATIENCE):
            raise StoreBusy(self._complaint(os.getpid()))
        try:
            self._lock(deadline, reopen)
        except BaseException:
            self._threads.release()
            raise

    def release(self) -> None:
        self.open_to_others()
        self.open_to_threads()

    def open_to_others(self) -> None:
        """The first half of ``release``: only this object's own threads are still kept out."""
        if self._fd is not None:
            unlock(self._fd)

    def open_to_threads(self) -> None:
        """The second half of ``release``."""
        self._threads.release()

    def _lock(self, deadline: float, reopen: bool) -> None:
        if self._fd is None and not reopen:
            return
        try:
            fd = self._locked(deadline)
        except OSError:
            if reopen:
                raise
            return
        with suppress(OSError):  # on a full disk only the complaints of others miss it
            os.pwrite(fd, b"%-12d" % os.getpid(), 0)

    def _locked(self, deadline: float) -> int:
        nap = SHORTEST_NAP
        while (fd := self._try()) is None:
            if time.monotonic() > deadline:
                raise StoreBusy(self._complaint(self._holder()))
            time.sleep(nap)
            nap = min(nap * 1.5, LONGEST_NAP)
        return fd

    def _try(self) -> int | None:
        if self._fd is None:
            self._fd = open_lock(self.path)
        if not try_lock(self._fd):
            return None
        if os.fstat(self._fd).st_nlink:
            return self._fd
        self.forget()  # deleted: who opens the gate now would not meet us at this one
        return None

    def _holder(self) -> int:
        return int(os.pread(self._fd, 12, 0) or b"0") if self._fd is not None else 0

    def _complaint(self, holder: int) -> str:
        return (
            f"The job store is held by process {holder} for more than {PATIENCE:g} s "
            f"(gate {self.path}). Try again; if that process is stuck, end it."
        )

    def close(self) -> None:
        """Close the lock file; the next use opens it again."""
        with self._threads:
            self.forget()

    def forget(self) -> None:
        """Close the lock file without waiting for its users: only for a child after a fork.

        A lock lives as long as any descriptor of it, so a child that kept it would hold the
        gate for a parent that is dead.
        """
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def renew(self) -> None:
        """Start afresh in a forked child, where a lock may look held by a thread that is gone."""
        self._threads = threading.Lock()
        self.forget()
