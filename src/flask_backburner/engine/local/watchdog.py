"""Watchdog: ends a process whose worker hangs, so that another can take its place."""

from __future__ import annotations

import faulthandler
import time

PATIENCE = 1.5
"""By so much later than others may rescue the jobs of a worker that hangs."""

STANDARD_ERROR = 2


class Watchdog:
    """Ends the process when it was not patted for too long, and writes where each thread was.

    It also barks when a job holds the interpreter's lock in C code and no line of Python runs
    any more. A process has one: it is for those that do nothing but run jobs.
    """

    def __init__(self, hang: float) -> None:
        self._limit = hang * PATIENCE
        self._patted_at = 0.0

    def pat(self) -> None:
        """All is well. Nearly free, so call it as often as you like."""
        now = time.monotonic()
        if not self._patted_at or now - self._patted_at > self._limit / 10:
            self._patted_at = now
            faulthandler.dump_traceback_later(self._limit, exit=True, file=STANDARD_ERROR)

    def rest(self) -> None:
        """Watch no more. Repeatable."""
        if self._patted_at:
            faulthandler.cancel_dump_traceback_later()
            self._patted_at = 0.0
