"""Upkeep: the periodic duties that one elected process does."""

from __future__ import annotations

import logging
import time

from .store.base import Store

ROLE = "upkeep"
INTERVAL = 0.2

logger = logging.getLogger("flask_backburner")


class Upkeep:
    """Rescues jobs of dead workers and keeps house, when its time has come.

    Every worker calls ``work`` in its loop; the store elects the one that does it.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._due = 0.0

    def work(self) -> None:
        """Do the duties if they are due and this process is the one to do them."""
        now = time.monotonic()
        if now < self._due or not self._store.elect(ROLE):
            return
        self._due = now + INTERVAL
        rescued = self._store.rescue()
        if rescued:
            logger.warning("Took up %d jobs of a worker that died", rescued)
        self._store.tend()

    def resign(self) -> None:
        """Let another process do the duties."""
        self._store.resign(ROLE)
