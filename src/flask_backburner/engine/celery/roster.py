"""Roster: the processes of this machine that hold jobs, by files that the kernel unlocks."""

from __future__ import annotations

import os
import secrets
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec
from msgspec.structs import replace

from ...store.claim import Claim
from ...store.locks import is_locked, open_lock, try_lock

_NEW = ".new"


class Entry(msgspec.Struct, frozen=True):
    """What a process says of itself: its name as a worker in the store, and whose ``kin`` it is.

    While it runs a job that has a timeout: the ``claim``, and when its kin shall end it if it
    could not do so itself. ``seen_at`` is when it last had a moment to show itself. These times
    are monotonic.
    """

    worker: str
    kin: str
    pid: int
    seen_at: float
    claim: Claim | None = None
    ends_at: float = 0.0


class Seat:
    """A process's own file in the roster, locked until the process ends or gives it up."""

    def __init__(self, folder: str, worker: str, kin: str) -> None:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        self._entry = Entry(worker, kin, os.getpid(), time.monotonic())
        self._writing = threading.Lock()
        self._path = os.path.join(folder, f"{os.getpid()}-{secrets.token_hex(4)}")
        self._fd: int | None = open_lock(self._path + _NEW)
        try_lock(self._fd)
        self._write(self._entry)
        # Under its own name only once it is locked, lest it be taken for a dead one's.
        os.rename(self._path + _NEW, self._path)
        _seats.add(self)

    def note(self, claim: Claim, ends_at: float) -> None:
        """Say which job runs, and when others shall end this process for it."""
        bare = replace(claim, arguments=b"", saved=())
        self._change(claim=bare, ends_at=ends_at)

    def clear(self) -> None:
        """Nothing runs any more that others would have to end."""
        self._change(claim=None, ends_at=0.0)

    def show(self) -> None:
        """Show that the process has a moment for others."""
        self._change(seen_at=time.monotonic())

    def _change(self, **changes: Any) -> None:
        with self._writing:
            self._entry = replace(self._entry, **changes)
            self._write(self._entry)

    def _write(self, entry: Entry) -> None:
        if self._fd is not None:
            line = msgspec.json.encode(entry) + b"\n"
            # The end of an older, longer line stays behind the newline and is not read.
            os.pwrite(self._fd, line, 0)

    def leave(self) -> None:
        """Give it up. Repeatable."""
        if self._fd is not None:
            with suppress(FileNotFoundError):
                os.unlink(self._path)
        self.forget()

    def forget(self) -> None:
        """Close it without a trace: for a forked child, whose parent still sits there."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


class Roster:
    """All seats of the workers of one store and namespace on this machine."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def dead(self) -> Iterator[tuple[str, Entry]]:
        """The seats whose process has died, and their paths."""
        for path, locked, entry in self._seats():
            if not locked:
                yield path, entry

    def living(self, kin: str) -> Iterator[Entry]:
        """The seats of one kin whose process lives."""
        for _, locked, entry in self._seats():
            if locked and entry.kin == kin:
                yield entry

    def remove(self, path: str) -> None:
        """Its jobs have been taken up."""
        with suppress(FileNotFoundError):
            os.unlink(path)

    def _seats(self) -> Iterator[tuple[str, bool, Entry]]:
        for name in self._names():
            path = os.path.join(self.folder, name)
            try:
                fd = os.open(path, os.O_RDWR)
            except OSError:
                continue
            try:
                line = os.pread(fd, 64 << 10, 0).partition(b"\n")[0]
                yield path, is_locked(fd), msgspec.json.decode(line, type=Entry)
            except msgspec.DecodeError:
                continue  # just being written
            finally:
                os.close(fd)

    def _names(self) -> list[str]:
        with suppress(OSError):
            return [name for name in os.listdir(self.folder) if not name.endswith(_NEW)]
        return []


_seats: weakref.WeakSet[Seat] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    """A lock is held until its last copy is closed: a child must not keep any."""
    for seat in list(_seats):
        seat.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
