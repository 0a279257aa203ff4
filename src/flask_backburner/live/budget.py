"""Budget: how many streams, and waits that clients asked for, this process may hold open."""

from __future__ import annotations

import os
import threading
from types import TracebackType

from .server import Server


class Slot:
    """Room for one stream or wait, until it is given back. To give it back twice does no harm."""

    def __enter__(self) -> Slot:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _held.discard(self)


class Budget:
    """At most so many for one app; those of all apps in the process count together.

    With ``most`` none it is what the server can do without.
    """

    def __init__(self, most: int | None) -> None:
        self._most = most

    @property
    def held(self) -> int:
        """How many there are now, in all apps of the process."""
        return len(_held)

    def take(self, server: Server) -> Slot | None:
        """Room for one more, or ``None``."""
        most = server.room if self._most is None else self._most
        with _lock:
            if len(_held) >= most:
                return None
            slot = Slot()
            _held.add(slot)
            return slot


# A lock from before gevent's patching is a real one: nothing may be waited for under it.
_lock = threading.Lock()
_held: set[Slot] = set()


def _after_fork_in_child() -> None:
    """The parent's streams are not ours, nor is a lock that one of its threads held."""
    global _lock
    _lock = threading.Lock()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
