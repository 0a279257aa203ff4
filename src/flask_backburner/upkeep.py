"""Upkeep: the periodic duties that one elected process does."""

from __future__ import annotations

import logging
import time

from .files import FileFolder
from .store.base import Store

ROLE = "upkeep"
INTERVAL = 0.2
RETENTION_INTERVAL = 10.0
CHUNK = 200

logger = logging.getLogger("flask_backburner")


class Upkeep:
    """Rescues jobs of dead workers and keeps house, when its time has come.

    Every worker calls ``work`` in its loop; the store elects the one that does it.
    """

    def __init__(self, store: Store, files: FileFolder) -> None:
        self._store = store
        self._files = files
        self._due = 0.0
        self._retention_due = 0.0

    def work(self) -> None:
        """Do the duties if they are due and this process is the one to do them."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + INTERVAL
        if not self._store.elect(ROLE):
            return
        rescued = self._store.rescue()
        if rescued:
            logger.warning("Took up %d jobs of a worker that died", rescued)
        if now >= self._retention_due:
            self._retain(now)
        self._store.tend()

    def _retain(self, now: float) -> None:
        """Forget some jobs whose time is up; if there may be more, go on soon."""
        forgotten = forget_jobs(self._store, self._files)
        self._retention_due = now + (0.0 if forgotten else RETENTION_INTERVAL)

    def resign(self) -> None:
        """Let another process do the duties."""
        self._store.resign(ROLE)


def forget_jobs(store: Store, files: FileFolder, before: float | None = None) -> int:
    """Forget a chunk of finished jobs and remove their files; gives back how many."""
    ids = store.purge(CHUNK, before)
    for id in ids:
        files.remove(id)
    return len(ids)
