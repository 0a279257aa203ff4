"""Memo: what all streams of one job would read at the same moment is read once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")


class Memo:
    """What was read of one job since its last change."""

    __slots__ = ("_entries", "_reading")

    def __init__(self, reading: threading.Lock) -> None:
        """One thread reads at a time: a thousand at once would open as many connections."""
        self._reading = reading
        self._entries: dict[Hashable, tuple[float, Any]] = {}

    def read(self, what: Hashable, seconds: float, make: Callable[[], T]) -> T:
        """What ``make`` gives, or what it gave less than so many seconds ago."""
        entry = self._young(what, seconds)
        if entry is None:
            with self._reading:
                entry = self._young(what, seconds)
                if entry is None:
                    entry = self._entries[what] = (time.monotonic(), make())
        found: T = entry[1]
        return found

    def _young(self, what: Hashable, seconds: float) -> tuple[float, Any] | None:
        entry = self._entries.get(what)
        return entry if entry and time.monotonic() - entry[0] < seconds else None
