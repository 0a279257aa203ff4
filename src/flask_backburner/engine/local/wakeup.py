"""Wake-up: a byte to a worker's socket. It only makes things faster; polling finds all."""

from __future__ import annotations

import hashlib
import os
import select
import socket
import tempfile
from contextlib import suppress

HAS_SOCKETS = hasattr(socket, "AF_UNIX")
IDLE = ".idle"
BUSY = ".busy"
_BYTE = b"!"


def runtime_folder(path: str, name: str) -> str | None:
    """The folder of the sockets of the workers of one store and namespace.

    Socket paths are limited to about 100 bytes, so they cannot lie beside the store. ``None``
    where there are no such sockets, or where the folder is somebody else's.
    """
    if not HAS_SOCKETS:
        return None
    key = hashlib.sha256(f"{path}\0{name}".encode()).hexdigest()[:16]
    user = os.path.join(tempfile.gettempdir(), f"backburner-{os.getuid()}")
    try:
        os.makedirs(os.path.join(user, key), mode=0o700, exist_ok=True)
    except OSError:
        return None
    owner = os.lstat(user)
    return os.path.join(user, key) if owner.st_uid == os.getuid() else None


class Bell:
    """A worker's end: it rings when another thread or process wants the worker's attention.

    Its socket's name tells whether the worker has room, so that new work wakes only one who
    has.
    """

    def __init__(self, folder: str | None) -> None:
        self._inner, self._ringer = socket.socketpair()
        self._inner.setblocking(False)
        self._ringer.setblocking(False)
        self._rung = False
        self._outer: socket.socket | None = None
        self._path = ""
        if folder is not None:
            self._listen(folder)

    def _listen(self, folder: str) -> None:
        name = f"{os.getpid()}-{os.urandom(3).hex()}"
        self._path = os.path.join(folder, name)
        outer = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        outer.setblocking(False)
        try:
            outer.bind(self._path + BUSY)
        except OSError:
            outer.close()  # too long a path, or a folder that was swept away: polling serves
        else:
            self._outer, self._state = outer, BUSY

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
        with suppress(FileNotFoundError):
            os.rename(self._path + self._state, self._path + state)
        self._state = state
        return True

    def wait(self, seconds: float) -> None:
        """Return when it rings, at the latest after so many seconds."""
        sockets = [self._inner] if self._outer is None else [self._inner, self._outer]
        ready, _, _ = select.select(sockets, (), (), max(0.0, seconds))
        self._rung = False
        for each in ready:
            with suppress(OSError):
                while each.recv(4096):
                    pass

    def close(self) -> None:
        """Stop listening. Repeatable."""
        if self._outer is not None:
            self._outer.close()
            with suppress(FileNotFoundError):
                os.unlink(self._path + self._state)
            self._outer = None
        self._inner.close()
        self._ringer.close()


class Caller:
    """The other end: rings workers' bells, whichever process they are in."""

    def __init__(self, folder: str | None) -> None:
        self._folder = folder
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
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
        try:
            self._socket.sendto(_BYTE, path)
        except ConnectionRefusedError:
            with suppress(OSError):
                os.unlink(path)  # left behind by a worker that was killed
            return False
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Give the socket back. Repeatable; a later call opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
