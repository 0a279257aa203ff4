"""Connections to one SQLite file: opened on demand, lent for a call, safe across forks."""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from ..errors import StoreBusy, StoreCorrupt, StoreError, StoreFull
from .gate import Gate

READERS_KEPT = 4
BUSY_SECONDS = 5.0
CACHED_STATEMENTS = 256

File = tuple[int, int]
"""Device and inode of a file; of no other for as long as somebody has it open."""


class Connections:
    """One writer, used by whoever holds the gate, and a few readers, each lent for a call.

    ``prepare`` is called with the first connection to a file, under the gate; ``forked`` in a
    child process, where what was opened before the fork must not be used.
    """

    def __init__(
        self,
        path: str,
        prepare: Callable[[sqlite3.Connection], None],
        forked: Callable[[], None],
    ) -> None:
        self.path = path
        self.gate = Gate(path + ".gate")
        self._prepare = prepare
        self._forked = forked
        self._writer: sqlite3.Connection | None = None
        self._readers: list[sqlite3.Connection] = []
        self._lent = 0
        self._returned = threading.Condition()
        self._file: File | None = None
        self._gated = False
        self._pid = os.getpid()
        _all.add(self)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The writer inside a transaction, alone on the machine; commits, or rolls back."""
        # Without the context managers for its parts, because every start of a job comes by here.
        self._notice_fork()
        try:
            self.gate.acquire()
            try:
                connection = self._current_writer()
                try:
                    connection.execute("BEGIN IMMEDIATE")
                    yield connection
                    connection.execute("COMMIT")
                except BaseException:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
            finally:
                self.gate.release()
        except (sqlite3.Error, OSError) as error:
            raise _translated(error, self.path) from error

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection to read from; its user fetches all, so that no read stays open."""
        try:
            connection, file = self._lend()
            try:
                yield connection
            finally:
                self._take_back(connection, file)
        except (sqlite3.Error, OSError) as error:
            raise _translated(error, self.path) from error

    @contextmanager
    def alone(self, busy_seconds: float) -> Iterator[sqlite3.Connection]:
        """A connection of its own under the gate, in no transaction, for housekeeping.

        It waits only so long for readers.
        """
        with translated(self.path), self._gate_held():
            self._current_writer()
            connection = self._open(busy_seconds)
            try:
                yield connection
            finally:
                connection.close()

    def _gate_held(self) -> AbstractContextManager[None]:
        self._notice_fork()
        return self.gate.held()

    def _current_writer(self) -> sqlite3.Connection:
        """Only under the gate."""
        if self._file is not None and identity(self.path) != self._file:
            with self._returned:
                self._let_go()
        if self._writer is None:
            writer = self._open(BUSY_SECONDS)
            try:
                self._prepare(writer)
            except BaseException:
                writer.close()
                raise
            self._file = identity(self.path)
            self._writer = writer
        return self._writer

    def _let_go(self) -> None:
        """Close all that are here; those that are lent are closed when they come back."""
        for connection in (*self._readers, *filter(None, [self._writer])):
            connection.close()
        self._readers, self._writer, self._file = [], None, None

    def _lend(self) -> tuple[sqlite3.Connection, File | None]:
        """A reader and the file it reads."""
        self._notice_fork()
        if self._file is None or identity(self.path) != self._file:
            with self.gate.held():  # a file that was deleted or replaced, or none so far
                self._current_writer()
        with self._returned:
            self._lent += 1
            file = self._file
            reader = self._readers.pop() if self._readers else None
        try:
            return reader or self._open(BUSY_SECONDS), file
        except BaseException:
            self._one_back()
            raise

    def _take_back(self, reader: sqlite3.Connection, file: File | None) -> None:
        with self._returned:
            keep = file is not None and file == self._file and len(self._readers) < READERS_KEPT
            if keep:
                self._readers.append(reader)
        if not keep:
            reader.close()
        self._one_back()

    def _one_back(self) -> None:
        with self._returned:
            self._lent -= 1
            self._returned.notify_all()

    def _open(self, busy_seconds: float) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path,
            timeout=busy_seconds,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=CACHED_STATEMENTS,
        )
        # Commits are made durable outside the gate (see durability.py); checkpoints are made
        # only under the gate, because SQLite before 3.51.3 can corrupt a file otherwise.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        return connection

    def _notice_fork(self) -> None:
        """For forks that no hook was told of, as by a server written in C."""
        if self._pid != os.getpid():
            self.abandon()

    def close(self) -> None:
        """Close all connections once they are back; the next call opens them again."""
        self._notice_fork()
        self.pause()
        self.resume()
        self.gate.close()

    def pause(self) -> None:
        """Wait for all that are lent, close them, and lend none until ``resume``.

        The last close makes a checkpoint, so it happens under the gate. Where that cannot be
        had the writer, which may be in use, stays open, and with it the file. Then the gate is
        for others again, among them other stores of this process on the same file.
        """
        try:
            self.gate.acquire(reopen=False)
            self._gated = True
        except StoreBusy:
            self._gated = False
        self._returned.acquire()
        self._returned.wait_for(lambda: self._lent == 0, timeout=BUSY_SECONDS)
        if self._gated:
            self._let_go()
            self.gate.open_to_others()

    def resume(self) -> None:
        """Lend again."""
        self._returned.release()
        if self._gated:
            self.gate.open_to_threads()

    def abandon(self) -> None:
        """Forget everything in a forked child, closing only what is safe to close there."""
        self._pid = os.getpid()
        # To close a parent's connection, or to let it be collected, could end with a
        # checkpoint beside the gate: they are kept open until the child ends.
        _abandoned.extend((*self._readers, *filter(None, [self._writer])))
        self._readers, self._writer, self._file = [], None, None
        self._lent = 0
        self._returned = threading.Condition()
        self.gate.renew()
        self._forked()


def identity(path: str) -> File | None:
    """Which file is at a path; ``None`` if there is none."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


@contextmanager
def translated(path: str) -> Iterator[None]:
    """SQLite's errors in our terms, with what to do about them."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise _translated(error, path) from error


def _translated(error: sqlite3.Error | OSError, path: str) -> StoreError:
    if isinstance(error, OSError):
        return StoreError(
            f"The job store {path} cannot be used: {error}. Make its folder writable, or set "
            "BACKBURNER_URL to a file in a folder that is."
        )
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if code is not None else None
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreBusy(f"The job store {path} is locked by another program. Try again later.")
    if primary == sqlite3.SQLITE_FULL:
        return StoreFull(f"No room is left for the job store {path}. Free some, then try again.")
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreCorrupt(
            f"The job store {path} is damaged or is no SQLite file ({error}). Move it aside "
            "together with its -wal and -shm files, then restart."
        )
    return StoreError(
        f"The job store {path} cannot be used: {error}. Make the file and its folder writable, "
        "or set BACKBURNER_URL to another file."
    )


_all: weakref.WeakSet[Connections] = weakref.WeakSet()
_abandoned: list[sqlite3.Connection] = []
_paused: list[Connections] = []
_forking = threading.Lock()


def _before_fork() -> None:
    _forking.acquire()
    for connections in list(_all):
        connections.pause()
        _paused.append(connections)


def _after_fork_in_parent() -> None:
    while _paused:
        _paused.pop().resume()
    _forking.release()


def _after_fork_in_child() -> None:
    global _forking
    _forking = threading.Lock()
    _paused.clear()
    for connections in list(_all):
        connections.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
