"""Transaction: what the parts of one write to a SQLite store share."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from typing import Any

from ..record import State
from .base import Keeping


class Transaction:
    """A connection inside a transaction at one moment, with the counters' changes so far."""

    def __init__(
        self, connection: sqlite3.Connection, namespace: int, now: float, keeping: Keeping
    ) -> None:
        self.connection = connection
        self.namespace = namespace
        self.now = now
        self.keeping = keeping
        self.execute = connection.execute
        self.executemany = connection.executemany
        self._changes: defaultdict[tuple[str, str], int] = defaultdict(int)

    def rows(self, sql: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """All rows of a query; none is left half read."""
        return self.execute(sql, parameters).fetchall()

    def count(self, queue: str, before: str | None, after: str | None, jobs: int = 1) -> None:
        """Note that so many jobs of a queue went from one state to another."""
        if before is not None:
            self._changes[queue, before] -= jobs
        if after is not None:
            self._changes[queue, after] += jobs

    def kept_until(self, state: State) -> float:
        """Until when a job is kept that ends now in this state."""
        keep = self.keeping.failed if state is State.FAILED else self.keeping.done
        return self.now + keep

    def write_counters(self) -> None:
        """Bring the counters up to date, as the last step before the commit."""
        for (queue, state), jobs in self._changes.items():
            if jobs:
                self.execute(
                    """
                    INSERT INTO counters (namespace, queue, state, jobs) VALUES (?, ?, ?, ?)
                    ON CONFLICT DO UPDATE SET jobs = jobs + excluded.jobs
                    """,
                    (self.namespace, queue, state, jobs),
                )
