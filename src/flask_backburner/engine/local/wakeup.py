"""Wake-up: a byte to a worker's socket. It only makes things faster; polling finds all."""

from __future__ import annotations

import hashlib
import os
import selectors
import socket
import tempfile
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import cast

HAS_SOCKETS = hasattr(socket, "AF_UNIX")
IDLE = ".idle"
BUSY = ".busy"
_BYTE = b"!"


def runtime_folder(path: str, name: str) -> str | None:
    """Where the sockets of the workers of one store and namespace are; ``None`` for nowhere.

    Socket paths are limited to about 100 bytes, so they cannot lie beside the store.
    """
    if not HAS_SOCKETS:
        return None
    key = hashlib.sha256(f"{path}\0{name}".encode()).hexdigest()[:16]
    return os.path.join(tempfile.gettempdir(), f"backburner-{os.getuid()}", key)


def _made(folder: str) -> bool:
    """Make the folder; false if it cannot be made, or lies in somebody else's."""
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        return os.lstat(os.path.dirname(folder)).st_uid == os.getuid()
    except OSError:
        return False


class Bell:
    """A worker's end: it rings when another thread or process wants the worker's attention.

    Its socket's name tells whether the worker has room, so that new work wakes only one who
    has.
    """

    def __init__(self, folder: str | None) -> None:
        self._inner, self._ringer = socket.socketpair()
        self._inner.setblocking(False)
        self._ringer.setblocking(False)
        # Looked up late: gevent puts a selector of its own here, which lets others run.
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._inner, selectors.EVENT_READ)
        self._rung = False
        self._outer: socket.socket | None = None
        self._path = self._state = ""
        if folder is not None and _made(folder):
            self._listen(folder)
        _bells.add(self)

    def _listen(self, folder: str) -> None:
        path = os.path.join(folder, f"{os.getpid()}-{os.urandom(3).hex()}")
        outer = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        outer.setblocking(False)
        try:
            outer.bind(path + BUSY)
        except OSError:
            outer.close()  # too long a path, or a folder that was swept away: polling serves
        else:
            self._outer, self._path, self._state = outer, path, BUSY
            self._selector.register(outer, selectors.EVENT_READ)

    def watch(self, pipe: int, ended: Callable[[], None]) -> None:
        """While it waits: call ``ended`` when the other end of this pipe is closed.

        For the waiting thread's own use. Whatever comes through the pipe is dropped.
        """
        os.set_blocking(pipe, False)
        self._selector.register(pipe, selectors.EVENT_READ, ended)

    def ring(self) -> None:
        """Wake the waiting thread; callable from any thread and from a signal's handler."""
        if not self._rung:
            self._rung = True
            with suppress(OSError):
                self._ringer.send(_BYTE)

    def show(self, *, idle: bool) -> bool:
        """Tell others whether there is room here; true if that is news."""
        state = IDLE if idle else BUSY
        if self._outer is None or state == self._state:
            return False
        with suppress(OSError):
            os.rename(self._path + self._state, self._path + state)
        self._state = state
        return True

    def wait(self, seconds: float) -> bool:
        """Return when it rings, at the latest after so many seconds; whether it rang."""
        heard = self._selector.select(max(0.0, seconds))
        for key, _ in heard:
            if key.data is None:
                _drain(cast(socket.socket, key.fileobj))
            elif _ended(key.fd):
                self._selector.unregister(key.fd)
                key.data()
        # Only now: a byte sent in between would be drained while it seemed to be on its way,
        # and then nobody could ring any more.
        self._rung = False
        return bool(heard)

    def close(self) -> None:
        """Stop listening. Repeatable."""
        if self._outer is not None:
            with suppress(OSError):
                os.unlink(self._path + self._state)
        self.forget()

    def forget(self) -> None:
        """Close all without a trace: for a forked child, whose parent still listens."""
        if self._outer is not None:
            self._outer.close()
            self._outer = None
        with suppress(OSError):  # a forked child may have no copy of it
            self._selector.close()
        self._inner.close()
        self._ringer.close()


def _drain(listening: socket.socket) -> None:
    with suppress(OSError):
        while listening.recv(4096):
            pass


def _ended(pipe: int) -> bool:
    with suppress(BlockingIOError):
        return not os.read(pipe, 4096)
    return False


_bells: weakref.WeakSet[Bell] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    """A socket is deaf only when its last copy is closed: a child must not keep any."""
    for bell in list(_bells):
        bell.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


class Caller:
    """The other end: rings workers' bells, whichever process they are in."""

    def __init__(self, folder: str | None) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def call_idle(self, most: int) -> None:
        """Wake as many workers that have room as there are jobs for."""
        for name in self._names():
            if most <= 0:
                return
            if name.endswith(IDLE):
                most -= self._send(name)

    def call_all(self) -> None:
        """Wake every worker."""
        for name in self._names():
            self._send(name)

    def _names(self) -> list[str]:
        if self._folder is None:
            return []
        with suppress(OSError):
            return os.listdir(self._folder)
        return []

    def _send(self, name: str) -> bool:
        assert self._folder is not None
        path = os.path.join(self._folder, name)
        try:
            self._opened().sendto(_BYTE, path)
        except ConnectionRefusedError:
            with suppress(OSError):
                os.unlink(path)  # left behind by a worker that was killed
            return False
        except OSError:
            return False
        return True

    def _opened(self) -> socket.socket:
        with self._lock:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                self._socket.setblocking(False)
            return self._socket

    def close(self) -> None:
        """Give the socket back. Repeatable; a later call opens another."""
        with self._lock:
            if self._socket is not None:
                self._socket.close()
                self._socket = None

    def renew(self) -> None:
        """Start afresh in a forked child, where the lock may look held for ever."""
        self._lock = threading.Lock()
