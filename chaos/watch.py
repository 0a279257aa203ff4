"""The watch: looks at the store all through a scenario, for what the end does not show."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from chaos.checker import WAL_BYTES, Breach
from chaos.ledger import Ledger, Row

INTERVAL = 0.1
SHARE = 0.1
"""Of the time that passes, so much is spent on looking at most."""


class Watch:
    """Compares each look with the one before, in a thread of its own."""

    def __init__(self, ledger: Ledger) -> None:
        self.breaches: list[Breach] = []
        self.looks = 0
        self._ledger = ledger
        self._jobs: dict[str, Row] = {}
        self._wal_bytes = 0
        self._looking = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="chaos-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    @contextmanager
    def looking_away(self) -> Iterator[None]:
        """Do not look meanwhile, and compare what is there afterwards with nothing before."""
        with self._looking:
            yield
            self._jobs = {}

    def _run(self) -> None:
        pause = INTERVAL
        while not self._stopping.wait(pause):
            began = time.monotonic()
            with self._looking:
                self._look()
            pause = max(INTERVAL, (time.monotonic() - began) / SHARE)

    def _look(self) -> None:
        try:
            jobs = self._ledger.jobs()
        except sqlite3.OperationalError:
            return  # the file is just being made, or its last writer was killed in the middle
        self.looks += 1
        for id, before in self._jobs.items():
            self.breaches += compared(before, jobs.get(id))
        self._jobs = jobs
        self._weigh()

    def _weigh(self) -> None:
        found = self._ledger.wal_bytes()
        if found > WAL_BYTES >= self._wal_bytes:
            self.breaches.append(Breach("wal", f"the write-ahead log takes {found} bytes"))
        self._wal_bytes = max(found, self._wal_bytes)


def compared(before: Row, after: Row | None) -> Iterator[Breach]:
    """What must not become of a job from one look to the next."""
    if after is None:
        yield Breach("kept", f"job {before.id} ({before.state}) is not in the store any more")
        return
    if before.final and after != before:
        yield Breach("recorded_once", f"job {after.id} was {before.state} and changed once more")
    if after.version < before.version or after.fence < before.fence:
        yield Breach("fences", f"the version or the fence of job {after.id} fell")
    if _fell(before, after):
        yield Breach(
            "progress",
            f"job {after.id} was at {before.current:g} and is at {after.current or 0:g} "
            "in the same attempt",
        )


def _fell(before: Row, after: Row) -> bool:
    same = (before.fence, before.total, "running") == (after.fence, after.total, after.state)
    return same and before.current is not None and (after.current or 0) < before.current
