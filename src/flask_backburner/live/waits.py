"""Live: what streams and waiting requests of one app share."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from ..store.base import Store
from .budget import Budget
from .preference import preferred_wait
from .server import current_server, hang_up_of, is_ending
from .watcher import Watch, Watcher

DIAGNOSIS_INTERVAL = 2.0
"""Seconds between looks at why a queued job waits, which changes without a version."""

FIRST_NAP = 0.001
LAST_NAP = 0.05


class Live:
    """The budget and the watcher of one app in this process."""

    def __init__(
        self, store: Callable[[], Store], *, max_streams: int | None, max_wait: float
    ) -> None:
        self.budget = Budget(max_streams)
        self.watcher = Watcher(store, is_ending)
        self._max_wait = max_wait

    def wait_as_preferred(
        self, environ: Mapping[str, Any], id: str, met: Callable[[], bool]
    ) -> int | None:
        """Let a request wait, if its client asked for that, until something is ``met``.

        Gives back how long the client wants to wait; ``None`` if it does not, or if there is no
        room to wait and the request must be answered at once.
        """
        seconds = preferred_wait(environ)
        if seconds is None or met():
            return seconds
        slot = self.budget.take(current_server(environ))
        if slot is None:
            return None
        with slot, self.watcher.watch([id], hang_up_of(environ)) as watch:
            _wait(watch, min(seconds, self._max_wait), met)
        return seconds

    def close(self) -> None:
        """End all streams and waits. Repeatable."""
        self.watcher.close()


def _wait(watch: Watch, seconds: float, met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + seconds
    nap = FIRST_NAP  # quick work is seen sooner than the watcher looks
    while not (watch.over or met() or (left := deadline - time.monotonic()) <= 0):
        watch.wait(min(left, nap if nap < LAST_NAP else DIAGNOSIS_INTERVAL))
        nap *= 2
